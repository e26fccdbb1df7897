package integration

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/caddy"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// front is a node with a Caddy in front, both real.
type front struct {
	node  *realnode.Node
	caddy *caddy.Caddy
	site  site
}

// startedOnce returns the stack of a version, which the first test to ask for it
// starts.
func startedOnce[S any](
	t testing.TB, stacks *sync.Map, version string, start func(context.Context, string) (S, error),
) S {
	t.Helper()
	once, _ := stacks.LoadOrStore(version, sync.OnceValues(func() (S, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		return start(ctx, version)
	}))
	s, err := once.(func() (S, error))()
	requireReal(t, err)
	return s
}

// showLogsOfAFailure shows, if the test fails, what was logged since now.
func (f *front) showLogsOfAFailure(t testing.TB) {
	node, proxy := f.node.LogPosition(), f.caddy.LogPosition()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the node's log:\n%.20000s", f.node.LogSince(node))
			t.Logf("Caddy's log:\n%.20000s", f.caddy.LogSince(proxy))
		}
	})
}

// startCaddy starts the Caddy of the site in front of the node, for the whole run.
func (f *front) startCaddy(ctx context.Context) error {
	program, err := builtCaddy()
	if err != nil {
		return err
	}
	if f.caddy, err = caddy.New(program); err != nil {
		return err
	}
	closeAtEnd(f.caddy.Close)
	f.site.upstream = f.node.URL()
	caddyfile, err := f.site.caddyfile()
	if err != nil {
		return err
	}
	return f.caddy.Run(ctx, caddyfile)
}

// startSites runs one Caddy more, for sites which sign with the keys of the
// front's.
func (f *front) startSites(t *testing.T, sites ...*site) {
	t.Helper()
	text := globalOptions
	for _, site := range sites {
		site.port, site.upstream = freePort(t), f.node.URL()
		block, err := site.block()
		require.NoError(t, err)
		text += block
	}
	StartCaddy(t, text, "XDG_DATA_HOME="+f.caddy.DataHome())
}

// addSales writes the documents that tests search for.
func (f *front) addSales(ctx context.Context) error {
	status, body, err := f.node.Do(ctx, http.MethodPost, "/sales/_bulk?refresh=true",
		`{"create":{}}`+"\n"+`{"item":"bread","price":3}`+"\n"+
			`{"create":{}}`+"\n"+`{"item":"wine","price":12}`+"\n")
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return errors.New("write the documents to search for: " + string(body))
	}
	return nil
}

// search asks for the wine among the sales, as a user of a group.
func (f *front) search(t testing.TB, name, group string) answer {
	t.Helper()
	client := f.site.client(clientCA().Client(name, group).TLS)
	return send(t, client, http.MethodPost, f.site.url("/sales/_search"), `{"query":{"match":{"item":"wine"}}}`, nil)
}
