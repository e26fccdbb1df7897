package esjwt_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// obeying is a node that runs requests as others, or ignores who that is.
type obeying struct {
	*httptest.Server
	ignores atomic.Bool
	asked   atomic.Int64 // who a client is
	served  atomic.Int64
}

func (n *obeying) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, lookup := r.Header.Get("Es-Security-Runas-User"), "native1"
	if user == "" || n.ignores.Load() {
		user, lookup = "proxy", "_es_api_key"
	}
	switch r.URL.Path {
	case "/_security/_authenticate":
		n.asked.Add(1)
		_, _ = fmt.Fprintf(w, `{"username":%q,"authentication_type":"api_key",`+
			`"authentication_realm":{"name":"_es_api_key"},"lookup_realm":{"name":%q}}`, user, lookup)
	case "/_security/api_key":
		_, _ = io.WriteString(w, `{"api_keys":[{"id":"key-id","role_descriptors":{"r":{"run_as":["*"]}}}]}`)
	default:
		n.served.Add(1)
		_, _ = io.WriteString(w, user)
	}
}

// TestANodeGetsNoRequestBeforeItHasProvedThatItObeys: one that ignores the header would serve everybody as the proxy.
func TestANodeGetsNoRequestBeforeItHasProvedThatItObeys(t *testing.T) {
	n := new(obeying)
	n.ignores.Store(true)
	n.Server = httptest.NewServer(n)
	t.Cleanup(n.Close)
	file := filepath.Join(t.TempDir(), "key")
	secret := base64.StdEncoding.EncodeToString([]byte("key-id:a-secret"))
	require.NoError(t, os.WriteFile(file, []byte("ApiKey "+secret+"\n"), 0o600))
	s := newSceneOf(t, withCredential, "{{upstream}}", strings.TrimPrefix(n.URL, "http://"),
		"{{settings}}", "credential run_as {\nkey {file."+file+"}\n}")

	alice := s.httpClient(s.clients.client("alice"))
	a := s.get(alice, "/")
	require.Equal(t, http.StatusBadGateway, a.StatusCode, a.body)
	require.Contains(t, a.body, "proxy_refused")
	require.Contains(t, a.body, "does not obey")
	require.Zero(t, n.served.Load())

	n.ignores.Store(false)
	require.Equal(t, "alice", s.get(alice, "/").body)
	asked := n.asked.Load()
	require.Equal(t, "bob", s.get(s.httpClient(s.clients.client("bob")), "/").body)
	require.LessOrEqual(t, n.asked.Load()-asked, int64(1), "a node proves it once; the check of the key may ask late")
	require.NotContains(t, s.logs.String(), secret)
}

// TestANodeThatCannotProveAnythingNow is one for which clients are told to try again, and when.
func TestANodeThatCannotProveAnythingNow(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "key")
	secret := base64.StdEncoding.EncodeToString([]byte("key-id:a-secret"))
	require.NoError(t, os.WriteFile(file, []byte("ApiKey "+secret+"\n"), 0o600))
	s := newSceneOf(t, withCredential, "{{upstream}}", strings.TrimPrefix(server.URL, "http://"),
		"{{settings}}", "credential run_as {\nkey {file."+file+"}\n}")
	a := s.get(s.httpClient(s.clients.client("alice")), "/")
	require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
	require.Contains(t, a.body, "no_credential")
	require.NotEmpty(t, a.Header.Get("Retry-After"))
}
