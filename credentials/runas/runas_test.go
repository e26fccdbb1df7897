package runas_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/credentials/runas"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/module"
)

const userHeader = "Es-Security-Runas-User"

func apiKey(secret string) string {
	return "ApiKey " + base64.StdEncoding.EncodeToString([]byte("key-id:"+secret))
}

// node answers as Elasticsearch does. It is its own transport, so that it can be in a bubble.
type node struct {
	mu          sync.Mutex
	key         string // that it takes
	descriptors string
	expires     time.Time // zero: never
	ignores     bool      // the header
	off         bool      // security
	down        bool
	asked       int
	users       map[string]bool // by name, and whether they are enabled
}

func newNode() *node {
	return &node{
		key: apiKey("secret"), descriptors: `{"r":{"cluster":[],"indices":[],"run_as":["edge-*","alice"]}}`,
		users: map[string]bool{"alice": true, "edge-analysts": true, "edge-disabled": false},
	}
}

func (n *node) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func (n *node) times() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

func (n *node) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if n.down {
		return nil, fmt.Errorf("connection refused")
	}
	recorder := httptest.NewRecorder()
	n.serve(recorder, r)
	return recorder.Result(), nil
}

func (n *node) serve(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, reason string) {
		w.WriteHeader(status)
		failed := map[string]string{"type": "security_exception", "reason": reason}
		_ = json.NewEncoder(w).Encode(map[string]any{"error": failed})
	}
	user := r.Header.Get(userHeader)
	enabled, known := n.users[user]
	switch {
	case n.off:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"error":"no handler found for uri [%s] and method [GET]"}`, r.URL.Path)
	case r.Header.Get("Authorization") != n.key:
		fail(http.StatusUnauthorized, "unable to authenticate with provided credentials")
	case r.URL.Path == "/_security/api_key":
		expiration := ""
		if !n.expires.IsZero() {
			expiration = fmt.Sprintf(`"expiration":%d,`, n.expires.UnixMilli())
		}
		_, _ = fmt.Fprintf(w, `{"api_keys":[{"id":%q,%s"role_descriptors":%s}]}`, r.URL.Query().Get("id"), expiration,
			n.descriptors)
	case user == "" || n.ignores:
		_, _ = fmt.Fprint(w, `{"username":"elastic","authentication_type":"api_key","authentication_realm":`+
			`{"name":"_es_api_key"},"lookup_realm":{"name":"_es_api_key"},"api_key":{"id":"key-id"}}`)
	case !known:
		fail(http.StatusForbidden, "action [cluster:admin/xpack/security/user/authenticate] is unauthorized for API key id "+
			"[key-id] of user [elastic], because user [elastic] is unauthorized to run as ["+user+"]")
	case !enabled:
		fail(http.StatusUnauthorized, "failed to authenticate user ["+user+"]")
	default:
		_, _ = fmt.Fprintf(w, `{"username":%q,"authentication_type":"api_key","authentication_realm":`+
			`{"name":"_es_api_key"},"lookup_realm":{"name":"native1"}}`, user)
	}
}

func (n *node) asNode() cluster.Node { return cluster.NewNode("http://es1:9200", n) }

// newKind returns a kind, and the file of its key.
func newKind(t testing.TB, n *node, users ...runas.User) (kind *runas.RunAs, file string) {
	t.Helper()
	kind, file, _ = newLoggedKind(t, n, users...)
	return kind, file
}

// newLoggedKind returns what newKind does, and what is logged.
func newLoggedKind(
	t testing.TB, n *node, users ...runas.User,
) (kind *runas.RunAs, file string, logs func() string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(apiKey("secret")+"\n"), 0o600))
	kind, logs, err := module.Load[*runas.RunAs](t, "elasticsearch_jwt.credentials.run_as",
		runas.RunAs{Key: "{file." + file + "}", Users: users})
	require.NoError(t, err)
	kind.SetCluster(cluster.New(n.asNode()))
	return kind, file, logs
}

var groups = []runas.User{{Group: "ops", Name: "edge-ops"}, {Group: "analysts", Name: "edge-a"}}

func client(name string, groups ...string) *credential.Client {
	return &credential.Client{Principal: name, Groups: groups, NotAfter: time.Now().Add(time.Hour).Unix()}
}

func made(t testing.TB, kind *runas.RunAs, c *credential.Client) *credential.Credential {
	t.Helper()
	plan, err := kind.Plan(c)
	require.NoError(t, err)
	got, err := kind.Make(context.Background(), c, plan, nil)
	require.NoError(t, err)
	return got
}

func TestTheUserIsThePrincipalOrThatOfTheFirstGroup(t *testing.T) {
	kind, _ := newKind(t, newNode())
	alice := client("CN=alice,O=x")
	got := made(t, kind, alice)
	require.Equal(t, apiKey("secret"), got.Authorization)
	require.Equal(t, []credential.Header{{Name: userHeader, Value: "CN=alice,O=x"}}, got.Headers)
	require.Equal(t, alice.NotAfter, got.Until)
	require.Equal(t, []string{"Authorization", userHeader}, kind.Sets())

	kind, _ = newKind(t, newNode(), groups...)
	require.Equal(t, "edge-ops", made(t, kind, client("Zoë", "analysts", "ops")).Headers[0].Value)
	require.Equal(t, "edge-a", made(t, kind, client("_x", "analysts")).Headers[0].Value)
	for _, groups := range [][]string{nil, {"Ops"}, {"others"}} {
		_, err := kind.Plan(client("alice", groups...))
		require.Equal(t, credential.NoRole, credential.AsRefusal(err).Problem)
	}
}

func TestOnlyThoseWhoAreTheSameUserShareACredential(t *testing.T) {
	kind, _ := newKind(t, newNode(), groups...)
	key := func(c *credential.Client) string {
		plan, err := kind.Plan(c)
		require.NoError(t, err)
		require.NotContains(t, plan.Key, "secret")
		return plan.Key
	}
	require.Equal(t, key(client("alice", "ops")), key(client("bob", "ops", "analysts")))
	require.NotEqual(t, key(client("alice", "ops")), key(client("alice", "analysts")))
}

func TestNamesThatNoClientMayRunAs(t *testing.T) {
	kind, _ := newKind(t, newNode())
	for _, name := range []string{
		"", "elastic", "kibana", "kibana_system", "logstash_system", "beats_system", "apm_system", "remote_monitoring_user",
		"_xpack", " alice", "alice ", "Zoë", "a\tb", "a\r\nb", "a\x7f", strings.Repeat("x", 508),
	} {
		_, err := kind.Plan(client(name))
		require.Equal(t, credential.InvalidName, credential.AsRefusal(err).Problem, name)
		if name != "" {
			other := &runas.RunAs{Key: "{env.KEY}", Users: []runas.User{{Group: "g", Name: name}}}
			require.ErrorContains(t, other.Provision(caddy.Context{}), "user g: ", name)
		}
	}
	for _, name := range []string{"a b", "a@b", "spiffe://example.org/x", "elastic2", "a,b", strings.Repeat("x", 507)} {
		require.Equal(t, name, made(t, kind, client(name)).Headers[0].Value)
	}
}

func TestEachNodeProvesThatItObeys(t *testing.T) {
	for name, c := range map[string]struct {
		user    string
		change  func(*node)
		problem credential.Problem // 0: it is proved
		advice  string
	}{
		"another user":      {user: "alice"},
		"no such user":      {user: "nobody"},
		"a disabled user":   {user: "edge-disabled"},
		"a header ignored":  {"alice", func(n *node) { n.ignores = true }, credential.ProxyRefused, "does not obey"},
		"the owner himself": {"elastic", func(n *node) { n.ignores = true }, credential.ProxyRefused, "does not obey"},
		"another key":       {"alice", func(n *node) { n.key = "" }, credential.ProxyRefused, "`key` of run_as"},
		"security off":      {"alice", func(n *node) { n.off = true }, credential.ProxyRefused, "xpack.security.enabled"},
		"down":              {"alice", func(n *node) { n.down = true }, credential.Unavailable, "try again"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode()
			if c.change != nil {
				c.change(n)
			}
			kind, _ := newKind(t, n)
			err := kind.Prove(context.Background(), n.asNode(), &credential.Credential{
				Authorization: apiKey("secret"), Headers: []credential.Header{{Name: userHeader, Value: c.user}},
			})
			if c.problem == 0 {
				require.NoError(t, err)
				return
			}
			refusal := credential.AsRefusal(err)
			require.Equal(t, c.problem, refusal.Problem, err)
			require.Contains(t, refusal.Detail, c.advice)
		})
	}
}

func TestAKeyThatIsNoGoodIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*node)
		advice string // "": all is well
	}{
		"run_as alone":             {func(*node) {}, ""},
		"every right of its owner": {func(n *node) { n.descriptors = `{}` }, "no role_descriptors"},
		"nothing":                  {func(n *node) { n.descriptors = `{"r":{}}` }, "has no run_as"},
		"a cluster privilege": {
			func(n *node) { n.descriptors = `{"r":{"run_as":["a"]},"s":{"cluster":["monitor"]}}` }, "other rights",
		},
		"something new": {func(n *node) { n.descriptors = `{"r":{"run_as":["a"],"new":{"x":1}}}` }, "other rights"},
		"no harm": {
			func(n *node) {
				n.descriptors = `{"r":{"run_as":["a"],"applications":[],"global":{},"metadata":{"x":1},` +
					`"transient_metadata":{"enabled":true}}}`
			}, "",
		},
		"another key":                          {func(n *node) { n.key = "" }, "`key` of run_as"},
		"security off":                         {func(n *node) { n.off = true }, "xpack.security.enabled"},
		"a cluster is down":                    {func(n *node) { n.down = true }, ""},
		"no descriptors that anybody can read": {func(n *node) { n.descriptors = `[1]` }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				n := newNode()
				c.change(n)
				kind, _ := newKind(t, n)
				before := kind.Version()
				ctx, cancel := context.WithCancel(context.Background())
				go kind.Run(ctx, nil)
				time.Sleep(time.Minute)
				_, err := kind.Plan(client("alice"))
				e, explained := kind.Explain(client("alice"))
				require.NoError(t, explained)
				if c.advice == "" {
					require.NoError(t, err)
				} else {
					refusal := credential.AsRefusal(err)
					require.Equal(t, credential.ProxyRefused, refusal.Problem, err)
					require.Contains(t, refusal.Detail, c.advice)
					require.NotEqual(t, before, kind.Version(), "so that credentials that are there are looked at again")
					require.Contains(t, fmt.Sprint(e.Missing), c.advice)
				}
				cancel()
			})
		})
	}
}

// TestAVerdictIsRevised when the cluster says something else, and stands during an outage.
func TestAVerdictIsRevised(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := newNode()
		good := n.descriptors
		n.set(func() { n.descriptors = `{}` })
		kind, _ := newKind(t, n, runas.User{Group: "ops", Name: "ops"}, runas.User{Group: "g", Name: "edge-g"})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go kind.Run(ctx, nil)
		refused := func(want bool, why string) {
			t.Helper()
			_, err := kind.Plan(client("alice", "ops"))
			require.Equal(t, want, err != nil, why)
		}
		time.Sleep(time.Second)
		refused(true, "it has every right")
		n.set(func() { n.down = true })
		time.Sleep(time.Hour)
		refused(true, "an outage tells nothing")
		n.set(func() { n.down, n.descriptors = false, good })
		time.Sleep(15 * time.Second)
		refused(false, "it was mended")
		version, asked := kind.Version(), n.times()
		time.Sleep(time.Hour)
		require.Equal(t, version, kind.Version())
		require.LessOrEqual(t, n.times()-asked, 3*12+3, "it asks each five minutes")
		n.set(func() { n.descriptors = `{}` })
		time.Sleep(6 * time.Minute)
		refused(true, "somebody has updated it")

		n.set(func() { n.descriptors = good })
		time.Sleep(15 * time.Second)
		e, err := kind.Explain(client("alice", "ops"))
		require.NoError(t, err)
		require.Len(t, e.Missing, 2)
		require.Contains(t, e.Missing[0], `an API key whose run_as has "ops"`)
		require.Contains(t, e.Missing[1], `a user "edge-g", which the cluster does not have`)
	})
}

// TestTheEndOfTheKeyIsAnnounced once a day in its last two weeks: all clients are refused when it has ended.
func TestTheEndOfTheKeyIsAnnounced(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := newNode()
		n.expires = time.Now().Add(15 * 24 * time.Hour)
		kind, _, logs := newLoggedKind(t, n)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go kind.Run(ctx, nil)
		announced := func() int { return strings.Count(logs(), "the API key of run_as ends soon") }
		lacks := func() string {
			e, err := kind.Explain(client("alice"))
			require.NoError(t, err)
			return fmt.Sprint(e.Missing)
		}
		time.Sleep(23 * time.Hour)
		require.Zero(t, announced())
		require.NotContains(t, lacks(), "ends at")
		time.Sleep(2 * time.Hour)
		require.Equal(t, 1, announced())
		require.Contains(t, lacks(), "ends at "+n.expires.UTC().Format(time.RFC3339))
		time.Sleep(3 * 24 * time.Hour)
		require.Equal(t, 4, announced())
		_, err := kind.Plan(client("alice"))
		require.NoError(t, err, "it is good until then")
	})
}

// TestAConfigurationThatEndsWarnsOfNothing: its question was not answered because nobody waits any more.
func TestAConfigurationThatEndsWarnsOfNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		kind, _, logs := newLoggedKind(t, newNode())
		kind.SetCluster(cluster.New(cluster.NewNode("http://es1:9200", silent{})))
		ctx, cancel := context.WithCancel(context.Background())
		go kind.Run(ctx, nil)
		time.Sleep(5 * time.Second)
		cancel()
		time.Sleep(time.Second)
		require.NotContains(t, logs(), "does not say")

		ctx, cancel = context.WithCancel(context.Background())
		defer cancel()
		go kind.Run(ctx, nil)
		time.Sleep(time.Minute)
		require.Contains(t, logs(), "does not say")
	})
}

// silent is a node that never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

func TestAChangedKeyIsUsed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := newNode()
		kind, file := newKind(t, n)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for _, w := range kind.Watched() {
			go w.Watch(ctx)
		}
		go kind.Run(ctx, nil)
		time.Sleep(time.Second)
		version := kind.Version()
		require.NoError(t, os.WriteFile(file, []byte(apiKey("other")), 0o600))
		n.set(func() { n.key = apiKey("other") })
		time.Sleep(time.Minute)
		require.NotEqual(t, version, kind.Version())
		require.Equal(t, apiKey("other"), made(t, kind, client("alice")).Authorization)
	})
}

func TestExplainShowsNoSecret(t *testing.T) {
	kind, _ := newKind(t, newNode())
	e, err := kind.Explain(client("alice"))
	require.NoError(t, err)
	require.Equal(t, []string{"Authorization: ApiKey …", userHeader + ": alice"}, e.Sends)
	require.NotContains(t, fmt.Sprint(e), strings.TrimPrefix(apiKey("secret"), "ApiKey "))
	require.Equal(t, []string{credential.NotAsked}, e.Missing)
	_, err = kind.Explain(client("elastic"))
	require.Equal(t, credential.InvalidName, credential.AsRefusal(err).Problem)
}

func TestOnlyAnAPIKeyIsTaken(t *testing.T) {
	for content, want := range map[string]string{
		"proxy:hunter2":        "each client could set a password",
		"Basic cHJveHk6aHVudA": "each client could set a password",
		"Bearer AAEAAWhunter2": "a service account run as nobody",
		"bearer AAEAAWhunter2": "a service account run as nobody",
		"":                     "empty",
		"ApiKey hunter2":       "encoded",
		"hunter2":              "no `ApiKey ` before it",
		"ApiKey: hunter2":      "with a blank and no colon",
	} {
		file := filepath.Join(t.TempDir(), "key")
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		err := (&runas.RunAs{Key: "{file." + file + "}"}).Provision(ctx)
		cancel()
		require.ErrorContains(t, err, want, content)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestSettings(t *testing.T) {
	for text, want := range map[string]string{
		"run_as {\nkey {file./run/key}\ncluster https://es1:9200 https://es2:9200/\nuser a edge-a\nuser \"b c\" edge-b\n}": "",
		"run_as":                                              "key: it is missing",
		"run_as x":                                            "in a block",
		"run_as {\nkey ApiKeyhunter2\n}":                      "a secret in the configuration",
		"run_as {\nkey {env.KEY}\nuser a\n}":                  "user takes a group and the user",
		"run_as {\nkey {env.KEY}\nuser a b c\n}":              "user takes a group and the user",
		"run_as {\nkey {env.KEY}\nuser a b\nuser a c\n}":      "the group is in line 3 too",
		"run_as {\nkey {env.KEY}\nuser a elastic\n}":          "a reserved user",
		"run_as {\nkey {env.KEY}\nuser a _x\n}":               "begins with _",
		"run_as {\nkey {env.KEY}\ncluster es1:9200\n}":        "a node is written as",
		"run_as {\nkey {env.KEY}\npassword x\n}":              "unknown setting",
		"run_as {\nkey {env.KEY}\ncluster https://u:p@e:1\n}": "leave the user and the password out",
	} {
		kind := new(runas.RunAs)
		err := kind.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if want == "" {
			require.NoError(t, err)
			require.Equal(t, []string{"https://es1:9200", "https://es2:9200"}, kind.Nodes())
			require.Equal(t, []runas.User{{Group: "a", Name: "edge-a"}, {Group: "b c", Name: "edge-b"}}, kind.Users)
			continue
		}
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
