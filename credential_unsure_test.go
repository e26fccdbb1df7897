package esjwt_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// starting is a node that makes API keys. Until it is up, it refuses all of them, because it cannot read any.
type starting struct {
	up   atomic.Bool
	made atomic.Int32
}

func (n *starting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, body any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	_, _, isProxy := r.BasicAuth()
	switch {
	case isProxy && r.Method == http.MethodPost && r.URL.Path == "/_security/api_key":
		n.made.Add(1)
		encoded := base64.StdEncoding.EncodeToString([]byte("id:secret"))
		answer(http.StatusOK, map[string]any{"id": "id", "api_key": "secret", "encoded": encoded})
	case isProxy:
		answer(http.StatusServiceUnavailable, map[string]any{"status": 503})
	case !n.up.Load():
		w.Header().Set("WWW-Authenticate", "ApiKey")
		answer(http.StatusUnauthorized, map[string]any{"status": 401})
	default:
		answer(http.StatusOK, map[string]any{"key": r.Header.Get("Authorization")})
	}
}

// TestANodeThatCannotReadKeysYetRefusesNobody: the client is told to try again, and keeps its key.
func TestANodeThatCannotReadKeysYetRefusesNobody(t *testing.T) {
	n := new(starting)
	n.up.Store(true)
	server := httptest.NewServer(n)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "user"), []byte("proxy:a-password\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "role.json"), []byte(`{"cluster":["monitor"]}`), 0o600))
	s := newSceneOf(t, withCredential, "{{upstream}}", strings.TrimPrefix(server.URL, "http://"),
		"{{settings}}", "credential api_key {\nuser {file."+dir+"/user}\nrole operators "+dir+"/role.json\n}")
	client := s.httpClient(s.clients.client("alice", "operators"))
	require.Equal(t, http.StatusOK, s.get(client, "/").StatusCode)
	n.up.Store(false)
	for range 3 {
		a := s.get(client, "/")
		require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
		require.Contains(t, a.body, "no_credential")
		require.NotEmpty(t, a.Header.Get("Retry-After"))
		require.Empty(t, a.Header.Get("Www-Authenticate"))
	}
	n.up.Store(true)
	require.Equal(t, http.StatusOK, s.get(client, "/").StatusCode)
	require.EqualValues(t, 1, n.made.Load())
}
