package esjwt_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// delegating is a node with a PKI realm, which gives out tokens. It can forget them.
type delegating struct {
	*httptest.Server

	mu   sync.Mutex
	down bool

	starting bool // it can neither read nor make tokens
	good     string
	given    int
	bodies   []string // of the requests with a good token
}

func newDelegating(t testing.TB) *delegating {
	t.Helper()
	n := new(delegating)
	n.Server = httptest.NewServer(n)
	t.Cleanup(n.Close)
	return n
}

func (n *delegating) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.down:
		w.WriteHeader(http.StatusServiceUnavailable)
	case n.starting && r.URL.Path == "/_security/delegate_pki":
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/_security/delegate_pki":
		n.given++
		n.good = fmt.Sprintf("token-%d", n.given)
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": n.good, "type": "Bearer", "expires_in": 1200})
	case n.starting || r.Header.Get("Authorization") != "Bearer "+n.good:
		w.Header().Set("WWW-Authenticate", `Bearer realm="security", error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"type":"security_exception"},"status":401}`)
	default:
		n.bodies = append(n.bodies, string(body))
		_, _ = io.WriteString(w, n.good)
	}
}

func (n *delegating) forget() { n.set(func() { n.good = "forgotten" }) }

func (n *delegating) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

// post sends a body to a path of the site.
func (p *proxy) post(client *http.Client, path, body string) answer {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "https://"+site+path, strings.NewReader(body))
	require.NoError(p.t, err)
	a, err := p.do(client, req)
	require.NoError(p.t, err)
	return a
}

// newDelegatingScene is a Caddy in front of such a node.
func newDelegatingScene(t *testing.T) (*scene, *delegating) {
	t.Helper()
	n := newDelegating(t)
	file := filepath.Join(t.TempDir(), "user")
	require.NoError(t, os.WriteFile(file, []byte("proxy:a-password\n"), 0o600))
	s := newSceneOf(t, withCredential, "{{upstream}}", strings.TrimPrefix(n.URL, "http://"),
		"{{settings}}", "credential delegate_pki {\nuser {file."+file+"}\n}")
	return s, n
}

// TestACredentialThatANodeHasForgottenIsReplaced, and the client notices nothing: its request is sent again, with its
// body. At most once in ten seconds: then the client gets the node's answer.
func TestACredentialThatANodeHasForgottenIsReplaced(t *testing.T) {
	s, n := newDelegatingScene(t)
	client := s.httpClient(s.clients.client("alice"))
	post := func() answer {
		return s.post(client, "/logs/_doc", `{"a":1}`)
	}
	require.Equal(t, "token-1", post().body)
	n.forget()
	a := post()
	require.Equal(t, http.StatusOK, a.StatusCode)
	require.Equal(t, "token-2", a.body)
	require.Equal(t, []string{`{"a":1}`, `{"a":1}`}, n.bodies)

	n.forget()
	require.Equal(t, http.StatusUnauthorized, post().StatusCode, "it was replaced just now")
	require.Equal(t, 2, n.given)
	require.NotContains(t, s.logs.String(), "token-1")
	require.NotContains(t, s.logs.String(), "token-2")
	require.NotContains(t, s.logs.String(), "a-password")
}

// TestABodyThatWasNotKeptIsNotSentAgain: the client is told to do that itself, and then has the other credential. A 401
// would be final for clients of Elasticsearch.
func TestABodyThatWasNotKeptIsNotSentAgain(t *testing.T) {
	s, n := newDelegatingScene(t)
	client := s.httpClient(s.clients.client("alice"))
	require.Equal(t, "token-1", s.get(client, "/").body)
	n.forget()
	a := s.post(client, "/_bulk", strings.Repeat("x", 1<<20))
	require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
	require.NotEmpty(t, a.Header.Get("Retry-After"))
	require.Contains(t, a.body, "send the request again")
	require.Equal(t, "token-2", s.post(client, "/_bulk", strings.Repeat("x", 1<<20)).body)
}

// TestAClusterThatMakesNoCredential is told to those who need one, and to nobody else.
func TestAClusterThatMakesNoCredential(t *testing.T) {
	s, n := newDelegatingScene(t)
	alice := s.httpClient(s.clients.client("alice"))
	require.Equal(t, "token-1", s.get(alice, "/").body)
	n.set(func() { n.down = true })
	a := s.get(s.httpClient(s.clients.client("bob")), "/")
	require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
	require.Contains(t, a.body, "no_credential")
	require.NotEmpty(t, a.Header.Get("Retry-After"))
	n.set(func() { n.down = false })
	require.Equal(t, "token-1", s.get(alice, "/").body)
}

// TestAReloadKeepsTheCredentials that the cluster has given out.
func TestAReloadKeepsTheCredentials(t *testing.T) {
	n := newDelegating(t)
	file := filepath.Join(t.TempDir(), "user")
	require.NoError(t, os.WriteFile(file, []byte("proxy:a-password\n"), 0o600))
	replacements := []string{
		"{{upstream}}", strings.TrimPrefix(n.URL, "http://"),
		"{{settings}}", "credential delegate_pki {\nuser {file." + file + "}\n}",
	}
	s := newSceneOf(t, withCredential, replacements...)
	alice := s.clients.client("alice")
	require.Equal(t, "token-1", s.get(s.httpClient(alice), "/").body)
	s.load(withCredential, s.replacements(replacements...)...)
	require.Equal(t, "token-1", s.get(s.httpClient(alice), "/").body)
	require.Equal(t, 1, n.given)
}

// TestTheNodesAreAskedWithTheNameOfEachNode: tls_server_name can have placeholders, which Caddy's transport takes from a
// request of a client. A question of the proxy's own has none, and Caddy would panic outside of any handler.
func TestTheNodesAreAskedWithTheNameOfEachNode(t *testing.T) {
	for name, settings := range map[string]string{
		"a placeholder": "tls_server_name {http.reverse_proxy.upstream.host}",
		"a name":        "tls_server_name example.com",
	} {
		t.Run(name, func(t *testing.T) {
			n := new(delegating)
			n.Server = httptest.NewTLSServer(n)
			t.Cleanup(n.Close)
			file := writeFile(t, "user", []byte("proxy:a-password\n"))
			s := newSceneOf(t, strings.Replace(withCredential, "transport elasticsearch_jwt", "transport elasticsearch_jwt {\n"+
				"tls_trust_pool file "+writeFile(t, "node.pem", pemOf(n.Certificate().Raw))+"\n"+settings+"\n}", 1),
				"{{upstream}}", n.URL, "{{settings}}", "credential delegate_pki {\nuser {file."+file+"}\n}")
			require.Equal(t, "token-1", s.get(s.httpClient(s.clients.client("alice")), "/").body)
		})
	}
}
