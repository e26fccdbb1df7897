package integration

import (
	"crypto/sha256"
	"crypto/tls"
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

// keyPassword is that of the proxy's users.
const keyPassword = "correct-horse"

// keyStacks counts the stacks of this run. Each has a user of its own.
var keyStacks atomic.Int32

// keyStack is a node with a basic licence, and what Caddys in front of it need to make API keys.
type keyStack struct {
	front
	es       *realnode.Elasticsearch
	user     string // of the proxy
	settings string
	denied   string // a file
}

func newKeyStack(t *testing.T, n *basicNode) *keyStack {
	t.Helper()
	s := &keyStack{es: n.es, front: front{node: n.node}, user: fmt.Sprintf("caddy-keys-%d", keyStacks.Add(1))}
	status, body, err := s.es.Do(t.Context(), http.MethodPut, "/_security/user/"+s.user,
		`{"password":"`+keyPassword+`","roles":["key_maker","sales_reader","cluster_watcher"]}`)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, string(body))
	dir := t.TempDir()
	write := func(name, content string) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		return file
	}
	s.denied = write("denied.txt", "")
	s.settings = fmt.Sprintf("deny %s\ncredential api_key {\nuser {file.%s}\nrole analysts %s\nrole operators %s\nlifetime 30s\n}",
		s.denied, write("user", s.user+":"+keyPassword+"\n"),
		write("analysts.json", `{"indices":[{"names":["sales*"],"privileges":["read"]}]}`),
		write("operators.json", `{"cluster":["monitor"]}`))
	return s
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

// realKey is a key as the node has it.
type realKey struct {
	ID, Name, Username string
	Invalidated        bool
	Creation           int64
	Expiration         int64
	Metadata           map[string]struct{ Principal, Store string }
}

// keys returns all keys, by an administrator's look. The node finds a new one a second later.
func (s *keyStack) keys(t testing.TB) []realKey {
	t.Helper()
	status, body, err := s.es.Do(t.Context(), http.MethodGet, "/_security/api_key", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, string(body))
	var answer struct {
		Keys []realKey `json:"api_keys"`
	}
	require.NoError(t, json.Unmarshal(body, &answer))
	return answer.Keys
}

// isInvalidated reports whether somebody has invalidated a key. One that has expired is something else.
func (s *keyStack) isInvalidated(t testing.TB, id string) bool {
	t.Helper()
	return slices.ContainsFunc(s.keys(t), func(k realKey) bool { return k.ID == id && k.Invalidated })
}

// keyOf returns the name and the ID of the key with which a client's requests go on.
func (f *front) keyOf(t testing.TB, certificate tls.Certificate) (name, id string) {
	t.Helper()
	a := f.site.authenticate(t, &http.Client{Transport: f.site.http1(certificate)})
	require.Equal(t, http.StatusOK, a.status, a.body)
	var who struct {
		Username string
		Key      struct{ Name, ID string } `json:"api_key"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &who))
	require.Contains(t, who.Username, "caddy-keys-")
	return who.Key.Name, who.Key.ID
}

// TestClientsHaveAPIKeysOfTheirOwn on a basic licence, shared by replicas and restarts, renewed, and deleted when nobody
// needs them.
func TestClientsHaveAPIKeysOfTheirOwn(t *testing.T) {
	for _, version := range versions(*elasticsearchVersions) {
		t.Run(version, func(t *testing.T) {
			s := newKeyStack(t, basicNodeOf(t, version))
			f := s.replica(t)
			require.Equal(t, http.StatusOK, f.search(t, "alice", "analysts").status)
			require.Equal(t, http.StatusForbidden, f.search(t, "bob", "operators").status)
			carol := f.search(t, "carol", "others")
			require.Equal(t, http.StatusForbidden, carol.status)
			require.Contains(t, carol.body, "no_role")
			for _, name := range []string{"Zoë", "a b", "_x"} {
				got := f.search(t, name, "analysts")
				if name == "_x" {
					require.Equal(t, http.StatusForbidden, got.status)
					require.Contains(t, got.body, "invalid_name")
					continue
				}
				require.Equal(t, http.StatusOK, got.status, got.body)
			}

			alice := clientCA().Client("alice", "analysts")
			name, id := f.keyOf(t, alice.TLS)
			require.Equal(t, "alice", name)
			other := s.replica(t, "XDG_DATA_HOME="+f.caddy.DataHome())
			_, theirs := other.keyOf(t, alice.TLS)
			require.Equal(t, id, theirs)

			require.NoError(t, f.caddy.Kill())
			require.NoError(t, f.caddy.Run(t.Context(), f.keyCaddyfile(t)))
			_, again := f.keyOf(t, alice.TLS)
			require.Equal(t, id, again)

			// Renewed, and so used for longer than it lived at first.
			for began := time.Now(); time.Since(began) < 40*time.Second; time.Sleep(time.Second) {
				_, again = f.keyOf(t, alice.TLS)
				require.Equal(t, id, again)
			}

			// A key that somebody has made and not stored is deleted, and those of others stay.
			_, _, err := s.es.Do(t.Context(), http.MethodPost, "/_security/api_key", `{"name":"of-the-administrator"}`)
			require.NoError(t, err)
			var store string
			for _, k := range s.keys(t) {
				if k.ID == id {
					store = k.Metadata["caddy_elasticsearch_jwt"].Store
				}
			}
			require.NotEmpty(t, store)
			stray, foreign := s.makeFor(t, store), s.makeFor(t, "another")
			s.requireInvalidated(t, stray)
			require.False(t, s.isInvalidated(t, foreign))
			require.False(t, s.isInvalidated(t, id))

			// An operator invalidates a key: the client gets another one, and notices nothing.
			_, _, err = s.es.Do(t.Context(), http.MethodDelete, "/_security/api_key", `{"ids":["`+id+`"]}`)
			require.NoError(t, err)
			_, second := f.keyOf(t, alice.TLS)
			require.NotEqual(t, id, second)

			// Its client is denied.
			require.NoError(t, os.WriteFile(s.denied, fmt.Appendf(nil, "fingerprint %x\n", sha256.Sum256(alice.Leaf.Raw)), 0o600))
			s.requireInvalidated(t, second)
			require.Equal(t, http.StatusForbidden, f.site.authenticate(t, f.site.client(alice.TLS)).status)
			require.Contains(t, f.caddy.LogSince(0), "the cluster has what `credential api_key` needs")
		})
	}
}

func (s *keyStack) requireInvalidated(t *testing.T, id string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.True(c, s.isInvalidated(t, id))
	}, 40*time.Second, time.Second)
}

// makeFor makes a key as a Caddy with a store does.
func (s *keyStack) makeFor(t *testing.T, store string) (id string) {
	t.Helper()
	got := send(t, directClient(), http.MethodPost, s.es.URL()+"/_security/api_key",
		`{"name":"stray","expiration":"1h","role_descriptors":{"r":{"cluster":["monitor"]}},`+
			`"metadata":{"caddy_elasticsearch_jwt":{"store":"`+store+`"}}}`,
		http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(s.user+":"+keyPassword))}})
	require.Equal(t, http.StatusOK, got.status, got.body)
	var made struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(got.body), &made))
	return made.ID
}
