package esjwt_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheLogSaysWhyANodeCannotBeReached, and what to write. The client gets a 502.
func TestTheLogSaysWhyANodeCannotBeReached(t *testing.T) {
	transport := func(settings string) string {
		return strings.Replace(withTransport(""), "tls_trust_pool file {{node-ca}}", settings, 1)
	}
	const trusted = "tls_trust_pool file {{node-ca}}"
	for name, c := range map[string]struct{ caddyfile, upstream, want string }{
		"http:// to a node that speaks TLS": {
			strings.Replace(transport(""), "reverse_proxy https:", "reverse_proxy http:", 1), closingNode(t),
			"write `reverse_proxy https://127.0.0.1:",
		},
		"https:// to a node that does not": {
			transport(trusted), newUpstream(t).Listener.Addr().String(), "does not speak TLS",
		},
		"an unknown authority": {transport("tls"), "", "write `tls_trust_pool file es-ca.pem`"},
		"another name":         {transport(trusted + "\n\t\t\ttls_server_name es9"), "", "`tls_server_name`"},
	} {
		t.Run(name, func(t *testing.T) {
			node := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			replacements := nodeOf(t, node)
			if c.upstream != "" {
				replacements[1] = c.upstream
			}
			s := newSceneOf(t, c.caddyfile, append(replacements, "{{settings}}", "")...)
			require.Equal(t, http.StatusBadGateway, s.get(s.httpClient(s.clients.client("alice")), "/").StatusCode)
			eventually(t, func() bool {
				for line := range strings.Lines(s.logs.String()) {
					if strings.Contains(line, `"logger":"http.log.error"`) && strings.Contains(line, c.want) {
						return true
					}
				}
				return false
			}, c.want)
		})
	}
}

// closingNode is a node that closes each connection without an answer, as Elasticsearch does if it is to speak TLS.
func closingNode(t testing.TB) (address string) {
	t.Helper()
	return listen(t, func(conn net.Conn) { _, _ = io.ReadAtLeast(conn, make([]byte, 4096), 1) })
}

// listen serves each connection in the same way, and then closes it.
func listen(t testing.TB, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}
