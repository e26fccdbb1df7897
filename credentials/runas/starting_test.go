package runas_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// starting is a node that ignores the header, and answers 401 to the first questions, as one does that cannot read keys
// yet.
type starting struct {
	*node
	left int
}

func (s *starting) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.left > 0 {
		s.left--
		recorder := httptest.NewRecorder()
		recorder.WriteHeader(http.StatusUnauthorized)
		return recorder.Result(), nil
	}
	return s.node.RoundTrip(r)
}

// TestANodeThatHasJustStartedProvesNothing: its first 401 is not about the header.
func TestANodeThatHasJustStartedProvesNothing(t *testing.T) {
	n := newNode()
	n.ignores = true
	kind, _ := newKind(t, n)
	err := kind.Prove(context.Background(), cluster.NewNode("http://es1:9200", &starting{n, 1}),
		&credential.Credential{
			Authorization: apiKey("secret"), Headers: []credential.Header{{Name: userHeader, Value: "alice"}},
		})
	require.Error(t, err)
}

// TestANodeThatHasJustStartedRefusesNobody: it cannot read keys for a moment, and answers 401. That is no reason to refuse a key that was
// good, unless it lasts.
func TestANodeThatHasJustStartedRefusesNobody(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := newNode()
		kind, _ := newKind(t, n)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go kind.Run(ctx, nil)
		time.Sleep(time.Second)
		alice := made(t, kind, client("alice"))
		prove := func() *credential.Refusal {
			return credential.AsRefusal(kind.Prove(context.Background(), n.asNode(), alice))
		}
		time.Sleep(5*time.Minute - 3*time.Second)
		n.set(func() { n.key = "" })
		require.Equal(t, credential.Unavailable, prove().Problem)
		time.Sleep(6 * time.Second) // in which it is looked again
		_, err := kind.Plan(client("alice"))
		require.NoError(t, err)
		n.set(func() { n.key = apiKey("secret") })
		time.Sleep(time.Hour)
		_, err = kind.Plan(client("alice"))
		require.NoError(t, err)

		n.set(func() { n.key = "" })
		time.Sleep(6 * time.Minute)
		_, err = kind.Plan(client("alice"))
		require.Error(t, err, "it is the key")
		require.Equal(t, credential.ProxyRefused, prove().Problem)
	})
}
