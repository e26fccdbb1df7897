package integration

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/caddy"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// firstPassword is that of the proxy's users, and nextPassword what one of them gets instead.
const (
	firstPassword = "first-correct-horse"
	nextPassword  = "next-correct-horse"
)

// keyStacks counts the stacks of this run. Each has a user of its own.
var keyStacks atomic.Int32

// keyStack is a node with a basic licence, and what Caddys in front of it need to make API keys.
type keyStack struct {
	front
	es       *realnode.Elasticsearch
	user     string // of the proxy
	dir      string // the files that the settings name
	settings string
}

// newKeyStack makes a user whose password can change, and the files. The lifetime is that of keys, for a Caddy whose
// minutes are seconds.
func newKeyStack(t *testing.T, n *basicNode, lifetime time.Duration) *keyStack {
	t.Helper()
	s := &keyStack{
		es: n.es, front: front{node: n.node}, user: fmt.Sprintf("caddy-keys-%d", keyStacks.Add(1)), dir: t.TempDir(),
	}
	s.do(t, http.MethodPut, "/_security/user/"+s.user,
		`{"password":"`+firstPassword+`","roles":["key_maker","sales_reader","cluster_watcher"]}`)
	s.write(t, "user", s.user+":"+firstPassword+"\n")
	s.write(t, "analysts.json", `{"indices":[{"names":["sales*"],"privileges":["read"]}]}`)
	s.write(t, "operators.json", `{"cluster":["monitor","manage_own_api_key"]}`)
	s.deny(t)
	s.settings = fmt.Sprintf("deny %[1]s/denied.txt\ncredential api_key {\nuser {file.%[1]s/user}\n"+
		"role analysts %[1]s/analysts.json\nrole operators %[1]s/operators.json\nlifetime %[2]s\n}", s.dir, lifetime)
	return s
}

// write replaces a file in one step.
func (s *keyStack) write(t *testing.T, name, content string) {
	t.Helper()
	file := filepath.Join(s.dir, name)
	require.NoError(t, os.WriteFile(file+".new", []byte(content), 0o600))
	require.NoError(t, os.Rename(file+".new", file))
}

// deny has the proxies deny the clients with these certificates, and nobody else.
func (s *keyStack) deny(t *testing.T, fingerprints ...[32]byte) {
	t.Helper()
	var lines []byte
	for _, f := range fingerprints {
		lines = fmt.Appendf(lines, "fingerprint %x\n", f)
	}
	s.write(t, "denied.txt", string(lines))
}

// do asks the node as its administrator.
func (s *keyStack) do(t *testing.T, method, path, body string) {
	t.Helper()
	status, answer, err := s.es.Do(t.Context(), method, path, body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, string(answer))
}

// replica starts a Caddy whose minutes are seconds.
func (s *keyStack) replica(t *testing.T, env ...string) *front {
	t.Helper()
	program, err := fastCaddy()
	require.NoError(t, err)
	f := &front{node: s.node, site: site{port: freePort(t), upstream: s.es.URL(), handler: s.settings}}
	f.caddy = caddy.Start(t, program, f.keyCaddyfile(t), env...)
	return f
}

func (f *front) keyCaddyfile(t *testing.T) string {
	t.Helper()
	caddyfile, err := f.site.caddyfile()
	require.NoError(t, err)
	return tokenSettings.ReplaceAllString(caddyfile, "")
}

// madeKey is a key as the node has it.
type madeKey struct {
	ID, Name, Username string
	Invalidated        bool
	Expiration         int64
	Metadata           struct {
		About struct {
			Principal   string
			Groups      []string
			Fingerprint string `json:"certificate_sha256"`
			Store       string
		} `json:"caddy_elasticsearch_jwt"`
	}
}

// keys returns the keys that the proxy's user has made, as an administrator sees them. The node finds a new one a second
// later.
func (s *keyStack) keys(t testing.TB) []madeKey {
	t.Helper()
	status, body, err := s.es.Do(t.Context(), http.MethodGet, "/_security/api_key?username="+s.user, "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, string(body))
	var answer struct {
		Keys []madeKey `json:"api_keys"`
	}
	require.NoError(t, json.Unmarshal(body, &answer))
	return answer.Keys
}

// keysNamed returns the keys with a name, as soon as the node finds one.
func (s *keyStack) keysNamed(t *testing.T, name string) (found []madeKey) {
	t.Helper()
	require.Eventually(t, func() bool {
		found = slices.DeleteFunc(s.keys(t), func(k madeKey) bool { return k.Name != name })
		return len(found) > 0
	}, 20*time.Second, 200*time.Millisecond)
	return found
}

// isInvalidated reports whether somebody has invalidated a key. One that has expired is something else.
func (s *keyStack) isInvalidated(t testing.TB, id string) bool {
	t.Helper()
	return slices.ContainsFunc(s.keys(t), func(k madeKey) bool { return k.ID == id && k.Invalidated })
}

func (s *keyStack) requireInvalidated(t *testing.T, id string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.True(c, s.isInvalidated(t, id))
	}, 40*time.Second, 200*time.Millisecond)
}

// makeFor makes a key as a Caddy with a store does.
func (s *keyStack) makeFor(t *testing.T, store string) (id string) {
	t.Helper()
	got := send(t, directClient(), http.MethodPost, s.es.URL()+"/_security/api_key",
		`{"name":"stray","expiration":"1h","role_descriptors":{"r":{"cluster":["monitor"]}},`+
			`"metadata":{"caddy_elasticsearch_jwt":{"store":"`+store+`"}}}`,
		http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(s.user+":"+firstPassword))}})
	require.Equal(t, http.StatusOK, got.status, got.body)
	var made struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(got.body), &made))
	return made.ID
}
