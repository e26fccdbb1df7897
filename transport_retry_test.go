package esjwt_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// forgetful is a node that refuses the first tokens of each key, as one does whose fetch of the JWKS goes
// to a replica that is being killed (seen on Elasticsearch 8.17.0).
type forgetful struct {
	mu       sync.Mutex
	refuses  int // how many more requests it refuses
	requests []forgottenRequest
}

type forgottenRequest struct {
	authorization, path, body string
	encoding                  []string
}

func (n *forgetful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests = append(n.requests, forgottenRequest{
		r.Header.Get("Authorization"), r.URL.Path, string(body),
		r.TransferEncoding,
	})
	if n.refuses > 0 {
		n.refuses--
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "refused")
		return
	}
	_, _ = io.WriteString(w, "hello")
}

// take returns what the node was sent, and how often it will refuse from now on.
func (n *forgetful) take(refuses int) []forgottenRequest {
	n.mu.Lock()
	defer n.mu.Unlock()
	requests := n.requests
	n.requests, n.refuses = nil, refuses
	return requests
}

func newForgetfulScene(t *testing.T, caddyfile, settings string) (*scene, *forgetful) {
	t.Helper()
	node := &forgetful{}
	return newSceneOf(t, caddyfile, append(nodeOf(t, httptest.NewUnstartedServer(node)), "{{settings}}", settings)...),
		node
}

// TestARequestIsSentOnceMoreToANodeThatLearnsAKey, with its body.
func TestARequestIsSentOnceMoreToANodeThatLearnsAKey(t *testing.T) {
	for name, c := range map[string]struct {
		body  string
		flows bool // without a length
		want  int  // how often it is sent
	}{
		"without a body":              {"", false, 2},
		"with a body":                 {`{"query":{}}`, false, 2},
		"with a body without length":  {`{"index":{}}`, true, 2},
		"with 64 KiB":                 {strings.Repeat("a", 64<<10), false, 2},
		"with more":                   {strings.Repeat("a", 64<<10+1), false, 1},
		"with more, without a length": {strings.Repeat("a", 1<<20), true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, node := newForgetfulScene(t, withTransport(""), "")
			node.take(1)
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			if c.flows {
				body = io.MultiReader(body)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+site+"/_search", body)
			require.NoError(t, err)
			a, err := s.do(s.httpClient(s.clients.client("alice")), req)
			require.NoError(t, err)
			requests := node.take(0)
			require.Len(t, requests, c.want)
			for _, r := range requests {
				require.Equal(t, requests[0], r, "the same token, path, body and framing")
				require.Equal(t, c.body, r.body)
			}
			if c.want == 1 {
				require.Equal(t, http.StatusUnauthorized, a.StatusCode)
				require.Equal(t, "refused", a.body)
				return
			}
			require.Equal(t, http.StatusOK, a.StatusCode)
			require.Equal(t, "hello", a.body)
		})
	}
}

// TestAWrongTokenIsRefusedOnce: a node that knows the key is believed, and so is one that goes on saying no.
func TestAWrongTokenIsRefusedOnce(t *testing.T) {
	s, node := newForgetfulScene(t, strings.NewReplacer("	auto_https", "	order metrics first\n	auto_https",
		"	elasticsearch_jwks\n", "	elasticsearch_jwks\n	metrics /metrics\n").Replace(withTransport("")), optional)
	alice, nobody := s.httpClient(s.clients.client("alice")), s.httpClient()
	sent := func(want int, status int, client *http.Client, header ...string) {
		t.Helper()
		before := s.metrics()["retries_total{}"]
		require.Equal(t, status, s.get(client, "/", header...).StatusCode)
		require.Len(t, node.take(1000), want)
		require.InDelta(t, want-1, s.metrics()["retries_total{}"]-before, 0)
	}
	node.take(1000)
	sent(1, 401, nobody, "Authorization", "Basic YWJj") // that password is wrong, whatever the keys are
	sent(2, 401, alice)                                 // never more often
	node.take(0)
	sent(1, 200, alice)
	sent(1, 401, alice) // it has taken the key: the token is wrong, or the user gone
}

// TestAWebSocketIsNotAskedForTwice: there is no telling what the node has begun.
func TestAWebSocketIsNotAskedForTwice(t *testing.T) {
	s, node := newForgetfulScene(t, withTransport(""), "")
	node.take(1)
	res := s.raw(s.clients.client("alice"), "GET / HTTP/1.1\r\nHost: "+site+
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	require.Len(t, node.take(0), 1)
}

// TestBurstsOfClientsKeepTheirConnections: Caddy's default of 32 idle ones made 200 clients open 1,764
// connections for 3,697 requests.
func TestBurstsOfClientsKeepTheirConnections(t *testing.T) {
	ours := strings.Replace(withTransport(""), "tls_trust_pool", "versions 1.1\n\t\t\ttls_trust_pool", 1)
	for name, c := range map[string]struct {
		caddyfile string
		opened    int
	}{
		"ours": {ours, 100},
		"as it is told": {
			strings.Replace(ours, "versions", "keepalive_idle_conns_per_host 10\n\t\t\tversions", 1), 100 + 2*90,
		},
		"Caddy's own": {strings.Replace(ours, "transport elasticsearch_jwt", "transport http", 1), 100 + 2*68},
		"Caddy's, as the docs say": {
			strings.NewReplacer("transport elasticsearch_jwt", "transport http", "versions",
				"keepalive_idle_conns_per_host 512\n\t\t\tversions").Replace(ours), 100,
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.opened, connectionsOfBursts(t, c.caddyfile, 100, 3))
		})
	}
}

// BenchmarkBurstsOfClients counts the connections to a node that many clients cost who ask at the same time,
// again and again.
func BenchmarkBurstsOfClients(b *testing.B) {
	ours := strings.Replace(withTransport(""), "tls_trust_pool", "versions 1.1\n\t\t\ttls_trust_pool", 1)
	for name, caddyfile := range map[string]string{
		"transport=elasticsearch_jwt": ours,
		"transport=http":              strings.Replace(ours, "transport elasticsearch_jwt", "transport http", 1),
	} {
		b.Run(name, func(b *testing.B) {
			const clients, bursts = 200, 10
			opened := 0
			for b.Loop() {
				opened += connectionsOfBursts(b, caddyfile, clients, bursts)
			}
			b.ReportMetric(float64(opened)/float64(b.N), "connections")
			b.ReportMetric(float64(opened)/float64(b.N)/(clients*bursts), "connections/request")
		})
	}
}

// connectionsOfBursts has a number of requests wait for each other at the node, some times over, and
// returns how many connections it has seen.
func connectionsOfBursts(t testing.TB, caddyfile string, clients, bursts int) (opened int) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	node := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		all.Done()
		all.Wait()
		w.WriteHeader(http.StatusNoContent)
	}))
	node.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			mu.Lock()
			defer mu.Unlock()
			opened++
		}
	}
	s := newSceneOf(t, caddyfile, append(nodeOf(t, node), "{{settings}}", "")...)
	client := s.httpClient(s.clients.client("alice")) // all of them over one connection of HTTP/2
	for range bursts {
		all.Add(clients)
		var burst sync.WaitGroup
		for range clients {
			burst.Go(func() {
				a, err := s.try(client, "/")
				if err != nil || a.StatusCode != http.StatusNoContent {
					t.Error(err, a.Response)
				}
			})
		}
		burst.Wait()
	}
	mu.Lock()
	defer mu.Unlock()
	return opened
}

// TestNoLogHasAClientsOwnSharedSecret, with which it authenticates itself to Elasticsearch as another
// issuer's proxy: not one of reverse_proxy's lines has it, at any level, also of the attempts after the
// first one.
func TestNoLogHasAClientsOwnSharedSecret(t *testing.T) {
	const secret = "SharedSecret of-the-client-itself"
	received := make(chan string, 10)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received <- r.Header.Get("Es-Client-Authentication")
		switch r.URL.Path {
		case "/truncated":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "ten bytes.")
		case "/gone":
			conn, _, _ := http.NewResponseController(w).Hijack()
			conn.Close()
		}
	})
	retrying := withTransport("\t\tlb_retries 1")
	afterAnother := strings.NewReplacer("https://{{upstream}}", "https://127.0.0.1:1 https://{{upstream}}",
		"lb_retries 1", "lb_retries 1\n\t\tlb_policy first\n\t\tfail_duration 1m")
	const plainly = "to a node without TLS"
	for name, caddyfile := range map[string]string{
		"as it is":                       retrying,
		"with header_up":                 withTransport("\t\tlb_retries 1\n\t\theader_up X-More 1"),
		"after a node that is not there": afterAnother.Replace(retrying),
		// Here reverse_proxy uses one request for all attempts.
		plainly: strings.NewReplacer("https://{{upstream}}", "{{plain}}", "tls_trust_pool file {{node-ca}}",
			"").Replace(retrying),
	} {
		t.Run(name, func(t *testing.T) {
			plain := httptest.NewServer(handler)
			defer plain.Close()
			s := newSceneOf(t, strings.Replace(caddyfile, "	reverse_proxy", `	handle_errors {
		respond "error {http.request.header.Es-Client-Authentication}"
	}
	reverse_proxy`, 1), append(nodeOf(t, httptest.NewUnstartedServer(handler)), "{{settings}}", optional, "{{plain}}",
				plain.Listener.Addr().String())...)
			client := s.httpClient(tls.Certificate{})
			for path, status := range map[string]int{"/": http.StatusOK, "/truncated": http.StatusOK, "/gone": http.StatusBadGateway} {
				a, err := s.try(client, path, "Authorization", "Bearer e30.e30.", "Es-Client-Authentication", secret)
				require.Equal(t, secret, <-received, path)
				if path == "/truncated" {
					continue
				}
				require.NoError(t, err)
				require.Equal(t, status, a.StatusCode, a.body)
				require.NotContains(t, a.body, "of-the-client-itself")
				if path == "/gone" && name == plainly {
					require.Equal(t, secret, <-received, "the second attempt")
					require.Equal(t, "error ", a.body)
				}
			}
			logs := s.logs.String()
			require.Contains(t, logs, "upstream roundtrip")
			require.Contains(t, logs, "aborting with incomplete response")
			for line := range strings.Lines(logs) {
				if !strings.Contains(line, `"logger":"http.log.`) { // of Caddy's own, which the handler warns of
					require.NotContains(t, line, "of-the-client-itself")
				}
			}
			require.Equal(t, 1, strings.Count(logs, "a client has sent an Es-Client-Authentication of its own"),
				"a warning, once")
		})
	}

	t.Run("filtered as the warning says", func(t *testing.T) {
		const filtered = `log {
		format filter {
			wrap json
			fields {
				request>headers>Es-Client-Authentication delete
			}
		}
	}
	`
		config := adapt(t, strings.NewReplacer("{{site}}", "https://es.example.com", "{{tls}}", "a b", "{{storage}}", "s",
			"{{clients}}", "c", "{{upstream}}", "u:1", "{{settings}}", optional,
			"	elasticsearch_jwks\n", "	elasticsearch_jwks\n	"+filtered).Replace(minimal))
		require.Contains(t, string(config), `"request\u003eheaders\u003eEs-Client-Authentication":{"filter":"delete"}`)
	})
}
