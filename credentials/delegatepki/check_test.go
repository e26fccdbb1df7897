package delegatepki_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/credentials/delegatepki"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/module"
)

// unconnected asks a node without a connection, so that both can be in a bubble. It is down while it is nil.
type unconnected struct{ *node }

func (u *unconnected) RoundTrip(r *http.Request) (*http.Response, error) {
	if u.node == nil {
		return nil, http.ErrServerClosed
	}
	recorder := httptest.NewRecorder()
	u.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

// TestWhatTheProxysUserLacksIsSaidAtStart, and that it is mended.
func TestWhatTheProxysUserLacksIsSaidAtStart(t *testing.T) {
	n := newNode(t)
	bubble.Test(t, func(t *testing.T) {
		kind, logs, err := module.Load[*delegatepki.DelegatePKI](t, "elasticsearch_jwt.credentials.delegate_pki",
			map[string]string{"user": "{file." + userFile(t) + "}"})
		require.NoError(t, err)
		u := new(unconnected)
		kind.SetCluster(cluster.New(cluster.NewNode("http://es1:9200", u)))
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go kind.Run(ctx, nil)
		missing := func() string {
			time.Sleep(time.Minute)
			e, err := kind.Explain(newClient(t))
			require.NoError(t, err)
			return strings.Join(e.Missing, "; ")
		}
		require.Contains(t, missing(), "not known")
		require.Contains(t, logs(), "it could not be checked")

		n.may = false
		u.node = n
		require.Contains(t, missing(), `"proxy" lacks the cluster privilege delegate_pki: grant it`)
		n.password = "another"
		require.Contains(t, missing(), "refuses the proxy's own user")
		n.password, n.may = "secret", true
		require.Empty(t, missing())
		require.Contains(t, logs(), "the cluster has what `credential delegate_pki` needs")
		require.Equal(t, 2, strings.Count(logs(), "something is missing"))
		require.NotContains(t, logs(), "secret")
	})
}
