package runas_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
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
	err := kind.Prove(context.Background(), cluster.NewNode("http://es1:9200", &starting{n, 1}), "alice",
		&credential.Credential{
			Authorization: apiKey("secret"), Headers: []credential.Header{{Name: userHeader, Value: "alice"}},
		})
	require.Error(t, err)
}
