package delegatepki_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/credentials/delegatepki"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/module"
)

// unconnected asks a node without a connection, so that both can be in a bubble.
type unconnected struct {
	mu     sync.Mutex
	down   bool
	silent bool
	*node
}

func (u *unconnected) RoundTrip(r *http.Request) (*http.Response, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.silent {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	}
	if u.down {
		return nil, http.ErrServerClosed
	}
	recorder := httptest.NewRecorder()
	u.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

func (u *unconnected) set(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
}

// TestWhatTheProxysUserLacksIsSaidAtStart, and that it is mended.
func TestWhatTheProxysUserLacksIsSaidAtStart(t *testing.T) {
	n := newNode(t)
	bubble.Test(t, func(t *testing.T) {
		kind, logs, err := module.Load[*delegatepki.DelegatePKI](t, "elasticsearch_jwt.credentials.delegate_pki",
			map[string]string{"user": "{file." + userFile(t) + "}"})
		require.NoError(t, err)
		u := &unconnected{node: n, down: true}
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

		u.set(func() { u.down, n.may = false, false })
		require.Contains(t, missing(), `"proxy" lacks the cluster privilege delegate_pki: grant it`)
		u.set(func() { n.password = "another" })
		require.Contains(t, missing(), "refuses the proxy's own user")
		u.set(func() { n.password, n.may = "secret", true })
		require.Empty(t, missing())
		require.Contains(t, logs(), "the cluster has what `credential delegate_pki` needs")
		require.Equal(t, 2, strings.Count(logs(), "something is missing"))
		require.NotContains(t, logs(), "secret")
	})
}

// TestAConfigurationThatEndsWarnsOfNothing: its question was not answered because nobody waits any more.
func TestAConfigurationThatEndsWarnsOfNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		kind, logs, err := module.Load[*delegatepki.DelegatePKI](t, "elasticsearch_jwt.credentials.delegate_pki",
			map[string]string{"user": "{file." + userFile(t) + "}"})
		require.NoError(t, err)
		kind.SetCluster(cluster.New(cluster.NewNode("http://es1:9200", &unconnected{silent: true})))
		ctx, cancel := context.WithCancel(context.Background())
		go kind.Run(ctx, nil)
		time.Sleep(5 * time.Second)
		cancel()
		time.Sleep(time.Second)
		require.NotContains(t, logs(), "could not be checked")
	})
}
