package esjwt_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// notOurs is what Elasticsearch answers with the status 401 if somebody else has refused Elasticsearch: the service of
// an inference endpoint, or the other cluster of a reindex.
const notOurs = `{"error":{"type":"status_exception","reason":"Received an authentication error status code for request ` +
	`from inference entity id [x] status [401]. Error message: [Incorrect API key provided]"},"status":401}`

// inferring is a node that takes all credentials, and is refused by a service itself.
type inferring struct {
	given, inferred atomic.Int32
}

func (n *inferring) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(body any) { _ = json.NewEncoder(w).Encode(body) }
	switch r.Method + " " + r.URL.Path {
	case "POST /_security/delegate_pki":
		token := fmt.Sprintf("token-%d", n.given.Add(1))
		answer(map[string]any{"access_token": token, "type": "Bearer", "expires_in": 1200})
	case "POST /_security/api_key":
		id := fmt.Sprintf("id-%d", n.given.Add(1))
		encoded := base64.StdEncoding.EncodeToString([]byte(id + ":secret"))
		answer(map[string]any{"id": id, "api_key": "secret", "encoded": encoded})
	case "GET /_security/api_key":
		expires := time.Now().Add(time.Hour).UnixMilli()
		answer(map[string]any{"api_keys": []any{map[string]any{"id": r.URL.Query().Get("id"), "expiration": expires}}})
	case "POST /_inference/x":
		n.inferred.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, notOurs)
	default:
		answer(map[string]any{})
	}
}

// TestA401ThatIsNotAboutTheCredential has no challenge: the client gets it as it is, its request is not sent again, and
// the credential stays.
func TestA401ThatIsNotAboutTheCredential(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "user"), []byte("proxy:a-password\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "role.json"), []byte(`{"cluster":["monitor"]}`), 0o600))
	for kind, settings := range map[string]string{
		"delegate_pki": "credential delegate_pki {\nuser {file." + dir + "/user}\n}",
		"api_key":      "credential api_key {\nuser {file." + dir + "/user}\nrole operators " + dir + "/role.json\n}",
	} {
		t.Run(kind, func(t *testing.T) {
			n := new(inferring)
			server := httptest.NewServer(n)
			t.Cleanup(server.Close)
			s := newSceneOf(t, withCredential,
				"{{upstream}}", strings.TrimPrefix(server.URL, "http://"), "{{settings}}", settings)
			client := s.httpClient(s.clients.client("alice", "operators"))
			a := s.post(client, "/_inference/x", `{"input":"a"}`)
			require.Equal(t, http.StatusUnauthorized, a.StatusCode)
			require.JSONEq(t, notOurs, a.body)
			require.EqualValues(t, 1, n.inferred.Load(), "it is sent once")
			require.EqualValues(t, 1, n.given.Load(), "the credential stays")
		})
	}
}
