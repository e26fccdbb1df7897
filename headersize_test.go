package esjwt_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// withTransport is the minimal site with elasticsearch_jwt's transport to a node that speaks TLS, and more
// settings of reverse_proxy.
func withTransport(settings string) string {
	return strings.Replace(minimal, "reverse_proxy {{upstream}}",
		"reverse_proxy https://{{upstream}} {\n\t\ttransport elasticsearch_jwt {\n\t\t\ttls_trust_pool file {{node-ca}}\n"+
			"\t\t}\n"+settings+"\n\t}", 1)
}

// roomy is a site on which Caddy itself reads more headers than it does by default, which is 16 KiB.
func roomy(caddyfile string) string {
	return strings.Replace(caddyfile, "	auto_https", "	servers {\n		max_header_size 256KiB\n	}\n	auto_https", 1)
}

// nodeOf serves HTTPS as a node, and returns what a Caddyfile needs to know of it.
func nodeOf(t testing.TB, node *httptest.Server) []string {
	t.Helper()
	node.StartTLS()
	t.Cleanup(node.Close)
	file := filepath.Join(t.TempDir(), "node-ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{
		Type:  "CERTIFICATE",
		Bytes: node.Certificate().Raw,
	}), 0o600))
	return []string{"{{upstream}}", strings.TrimPrefix(node.URL, "https://"), "{{node-ca}}", file}
}

// linesOf counts the header lines of a request as a node does, which does not count their ends.
func linesOf(r *http.Request) int {
	size := len("Host: ") + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(": ") + len(value)
		}
	}
	return size
}

// TestNoNodeGetsMoreHeadersThanItReads: Elasticsearch answers such a request with 400 and never reads
// again from the connection, on which Caddy then sends the next client's (seen on 9.2.0).
func TestNoNodeGetsMoreHeadersThanItReads(t *testing.T) {
	const limit = 16 << 10
	for name, caddyfile := range map[string]string{
		"the http transport": minimal,
		"ours": strings.Replace(minimal, "reverse_proxy {{upstream}}",
			"reverse_proxy {{upstream}} {\n\t\ttransport elasticsearch_jwt\n\t}", 1),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, roomy(caddyfile), "{{settings}}", "certificate optional\nheader X-Also {jwt}")
			clients := map[string]*http.Client{
				"with a certificate": s.httpClient(s.clients.client("alice")),
				"without one":        s.httpClient(),
			}
			for who, client := range clients {
				largest, refused := 0, 0
				for padding := limit - 4000; padding <= limit+100; padding += 50 {
					a := s.get(client, "/", "Authorization", "Basic YWJj", "X-Padding", strings.Repeat("a", padding/2), "X-More",
						strings.Repeat("a", padding-padding/2))
					if a.StatusCode != http.StatusOK {
						require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, a.StatusCode, who)
						refused++
						s.upstream.requireNone(t)
						continue
					}
					require.Zero(t, refused, "where one is too large, all larger ones are")
					largest = max(largest, linesOf(s.upstream.last(t)))
				}
				require.LessOrEqual(t, largest, limit, who)
				require.Greater(t, largest, limit-1024, "%s: what fits is not refused", who)
				require.Positive(t, refused, who)
			}
			many := make([]string, 0, 4000)
			for i := range cap(many) / 2 {
				many = append(many, fmt.Sprintf("X-%d", i), "") // nothing in them, but 10 bytes each
			}
			require.Equal(t, http.StatusRequestHeaderFieldsTooLarge,
				s.get(clients["with a certificate"], "/", many...).StatusCode)
		})
	}
}

// TestTheTransportCountsWhatHeaderUpAdds: it is the last to see a request.
func TestTheTransportCountsWhatHeaderUpAdds(t *testing.T) {
	var reached atomic.Int32
	node := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	s := newSceneOf(t, withTransport("\t\tfail_duration 1m\n\t\tlb_retries 3\n\t\theader_up X-Added "+
		strings.Repeat("a", 8000)),
		append(nodeOf(t, node), "{{settings}}", "max_header_size 12KiB")...)
	alice := s.httpClient(s.clients.client("alice"))
	require.Equal(t, http.StatusOK, s.get(alice, "/").StatusCode)
	for range 3 {
		a := s.get(alice, "/", "X-Own", strings.Repeat("a", 4000))
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, a.StatusCode, a.body)
		var answer struct {
			Error  struct{ Type, Reason string }
			Status int
		}
		require.NoError(t, json.Unmarshal([]byte(a.body), &answer))
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, answer.Status)
		require.Equal(t, "too_long_http_header_exception", answer.Error.Type)
		require.Contains(t, answer.Error.Reason, "12288 bytes")
	}
	require.Equal(t, http.StatusOK, s.get(alice, "/").StatusCode, "it is no failure of the node")
	require.EqualValues(t, 2, reached.Load())
	require.Equal(t, "too_large", s.loggedOnce("clients are being refused")["reason"])
}

// TestWhoTheTransportRefusesIsInTheLogs, also a client with credentials of its own.
func TestWhoTheTransportRefusesIsInTheLogs(t *testing.T) {
	s := newSceneOf(t, strings.Replace(withTransport("\t\theader_up X-Added "+strings.Repeat("a", 8000)),
		"	elasticsearch_jwks", "	log\n	elasticsearch_jwks", 1),
		append(nodeOf(t, httptest.NewUnstartedServer(http.NotFoundHandler())),
			"{{settings}}", "max_header_size 12KiB\n"+optional)...)
	for who, client := range map[string]*http.Client{
		"a certificate": s.httpClient(s.clients.client("alice")), "credentials of its own": s.httpClient(),
	} {
		line := s.accessLine(func() {
			a := s.get(client, "/", "X-Own", strings.Repeat("a", 4000), "Authorization", "Basic YWJj")
			require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, a.StatusCode, who)
		})
		require.Equal(t, "too_large", line["elasticsearch_jwt"].(map[string]any)["reason"], who)
	}
}

// TestANodeIsAskedOverHTTP11: over HTTP/2, OpenSearch announces a smaller limit than it has over HTTP/1.1, and what is
// larger was an empty 502, which clients take for a dead node. With `versions 1.1 2` it is a 431 that says so.
func TestANodeIsAskedOverHTTP11(t *testing.T) {
	for name, c := range map[string]struct {
		transport, proto string
		status           int // of a request with more headers than the node takes over HTTP/2
	}{
		"by default":       {"", "HTTP/1.1", http.StatusOK},
		"as the site says": {"versions 1.1 2\n", "HTTP/2.0", http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			node := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, r.Proto)
			}))
			node.EnableHTTP2 = true
			node.Config.MaxHeaderBytes = 4 << 10 // over HTTP/1.1, net/http reads twice that
			s := newSceneOf(t, strings.Replace(withTransport(""), "tls_trust_pool", c.transport+"tls_trust_pool", 1),
				append(nodeOf(t, node), "{{settings}}", "")...)
			alice := s.httpClient(s.clients.client("alice"))
			require.Equal(t, c.proto, s.get(alice, "/").body)
			a := s.get(alice, "/", "X-Own", strings.Repeat("a", 6000))
			require.Equal(t, c.status, a.StatusCode, a.body)
			require.Equal(t, c.proto, s.get(alice, "/").body, "the others go on")
		})
	}
}

// TestMaxHeaderSizeIsOfTheCluster covers the setting.
func TestMaxHeaderSizeIsOfTheCluster(t *testing.T) {
	for setting, want := range map[string]string{
		"max_header_size 1KiB":     "use what the cluster has in http.max_header_size",
		"max_header_size 2MiB":     "use what the cluster has in http.max_header_size",
		"max_header_size -1":       "write a size such as 16KiB",
		"max_header_size lots":     "write a size such as 16KiB",
		"max_header_size 999999TB": "write a size such as 16KiB",
		"max_header_size":          "takes exactly one value",
	} {
		_, err := tryAdapt(strings.NewReplacer("{{settings}}", setting, "{{site}}", "https://es.example.com", "{{tls}}",
			"a b", "{{storage}}", "s", "{{clients}}", "c", "{{upstream}}", "u:1").Replace(minimal))
		require.ErrorContains(t, err, want, setting)
		require.ErrorContains(t, err, "Caddyfile:", setting)
	}
	s := newSceneOf(t, roomy(minimal), "{{settings}}", "max_header_size 64KiB")
	alice := s.httpClient(s.clients.client("alice"))
	require.Equal(t, http.StatusOK, s.get(alice, "/", "X-Own", strings.Repeat("a", 60_000)).StatusCode)
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge,
		s.get(alice, "/", "X-Own", strings.Repeat("a", 65_000)).StatusCode)
	groups := make([]string, 900)
	for i := range groups {
		groups[i] = fmt.Sprintf("group number %d, with a long name", i)
	}
	require.Equal(t, http.StatusOK, s.get(s.httpClient(s.clients.client("bob", groups...)), "/").StatusCode,
		"a certificate has as much room")
}

// TestAPooledConnectionIsNeverSpoiled is what fault and protection look like, with a node that does as
// Elasticsearch does.
func TestAPooledConnectionIsNeverSpoiled(t *testing.T) {
	for name, settings := range map[string]string{
		"the http transport": "transport http",
		"ours":               "transport elasticsearch_jwt",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, roomy(strings.Replace(minimal, "reverse_proxy {{upstream}}", "reverse_proxy {{upstream}} {\n\t\t"+
				settings+"\n\t}", 1)),
				"{{settings}}", optional, "{{upstream}}", deafNode(t))
			alice, nobody := s.httpClient(s.clients.client("alice")), s.httpClient(tls.Certificate{})
			for range 10 {
				require.Equal(t, http.StatusRequestHeaderFieldsTooLarge,
					s.get(nobody, "/", "Authorization", "Basic YWJj", "X-Own", strings.Repeat("a", 16500)).StatusCode)
				require.Equal(t, http.StatusNoContent, s.get(alice, "/").StatusCode)
			}
		})
	}
}

// deafNode is a node that reads no more from a connection on which it got too many headers.
func deafNode(t testing.TB) (address string) {
	t.Helper()
	return listen(t, func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		for {
			r, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if linesOf(r) > 16<<10 {
				_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
				<-t.Context().Done()
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
}

// TestALongHostCountsWhereverItIsSent: reverse_proxy sends it in Host and in X-Forwarded-Host, and a site for
// a wildcard takes one of any length.
func TestALongHostCountsWhereverItIsSent(t *testing.T) {
	const limit = 16 << 10
	for name, transport := range map[string]string{"the http transport": "http", "ours": "elasticsearch_jwt"} {
		t.Run(name, func(t *testing.T) {
			caddyfile := strings.NewReplacer("{{site}} {", "https://:{{port}} {", "auto_https", "fallback_sni "+site+
				"\n\tauto_https",
				"reverse_proxy {{upstream}}", "reverse_proxy {{upstream}} {\n\t\ttransport "+transport+
					"\n\t}").Replace(roomy(minimal))
			s := newSceneOf(t, caddyfile, "{{settings}}", optional)
			largest, refused := 0, 0
			for length := 4000; length < 12_000; length += 250 {
				host := strings.Repeat("a", length) + ".example.com"
				client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
					InsecureSkipVerify: true,
					ServerName:         host,
				}}}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.address+"/", nil)
				require.NoError(t, err)
				req.Host = host
				req.Header.Set("Authorization", "Basic YWJj")
				a, err := s.do(client, req)
				client.CloseIdleConnections()
				require.NoError(t, err)
				if a.StatusCode == http.StatusRequestHeaderFieldsTooLarge {
					refused++
					s.upstream.requireNone(t)
					continue
				}
				require.Equal(t, http.StatusOK, a.StatusCode)
				largest = max(largest, linesOf(s.upstream.last(t)))
			}
			require.LessOrEqual(t, largest, limit)
			require.Greater(t, largest, limit-2048, "what fits is not refused")
			require.Positive(t, refused)
		})
	}
}
