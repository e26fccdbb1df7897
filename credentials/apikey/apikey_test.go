package apikey_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/credentials/apikey"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/module"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

const (
	readLogs  = `{"indices":[{"names":["logs-*"],"privileges":["read"]}]}`
	readSales = `{"cluster":["monitor"],"indices":[{"names":"sales","privileges":["read","view_index_metadata"]}]}`
)

// scene is a node, and what the replicas in front of it share.
type scene struct {
	*node
	storage, user, analysts, ops string

	module string // of the storage
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{node: newNode(t), storage: t.TempDir(), module: "file_system"}
	files := t.TempDir()
	write := func(name, content string) string {
		file := filepath.Join(files, name)
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		return file
	}
	s.user = write("user", "proxy:hunter2\n")
	s.analysts, s.ops = write("analysts.json", readSales), write("ops.json", readLogs)
	return s
}

func (s *scene) settings() map[string]any {
	return map[string]any{
		"user": "{file." + s.user + "}",
		"roles": []map[string]string{
			{"group": "ops", "file": s.ops}, {"group": "analysts", "file": s.analysts},
		},
	}
}

// provision provisions the kind in front of the node. logs returns what was logged.
func (s *scene) provision(t testing.TB, settings any) (made *apikey.APIKey, logs func() string, err error) {
	t.Helper()
	storage := module.JSON(t, map[string]any{"module": s.module, "root": s.storage})
	made, logs, err = module.Load[*apikey.APIKey](t, "elasticsearch_jwt.credentials.api_key", settings,
		func(c *caddy.Config) { c.StorageRaw = storage })
	if err == nil {
		made.SetCluster(s.cluster())
	}
	return made, logs, err
}

// replica is another Caddy on the same storage.
func (s *scene) replica(t testing.TB) *apikey.APIKey {
	t.Helper()
	a, _, err := s.provision(t, s.settings())
	require.NoError(t, err)
	return a
}

func newClient(t testing.TB, name string, groups ...string) *credential.Client {
	t.Helper()
	certificate, err := x509.ParseCertificate(pki.NewCA("clients").Client(name, groups...).TLS.Certificate[0])
	require.NoError(t, err)
	return &credential.Client{
		Principal: name, Groups: groups, Chain: []*x509.Certificate{certificate},
		NotAfter: time.Now().Add(48 * time.Hour).Unix(),
	}
}

// try makes or renews a credential.
func try(a *apikey.APIKey, c *credential.Client, last *credential.Credential) (*credential.Credential, error) {
	plan, err := a.Plan(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return a.Make(ctx, c, plan, last)
}

func get(t testing.TB, a *apikey.APIKey, c *credential.Client, last *credential.Credential) *credential.Credential {
	t.Helper()
	made, err := try(a, c, last)
	require.NoError(t, err)
	return made
}

func TestAKeyHasThePrivilegesOfTheGroups(t *testing.T) {
	s := newScene(t)
	a := s.replica(t)
	alice := newClient(t, "alice", "ops", "others", "analysts", "ops")
	made := get(t, a, alice, nil)
	k := s.keyOf(made.Authorization)
	require.NotNil(t, k)
	require.Equal(t, "alice", k.Name)
	require.Equal(t, k.ID, made.ID)
	require.Len(t, k.Descriptors, 2)
	require.JSONEq(t, readLogs, string(k.Descriptors["ops"]))
	require.JSONEq(t, strings.Replace(readSales, `"sales"`, `["sales"]`, 1), string(k.Descriptors["analysts"]))
	require.WithinDuration(t, time.Now().Add(4*time.Hour), k.Expires, time.Minute)

	var metadata map[string]map[string]any
	require.NoError(t, json.Unmarshal(k.Metadata, &metadata))
	about := metadata["caddy_elasticsearch_jwt"]
	require.Equal(t, "alice", about["principal"])
	require.Equal(t, []any{"analysts", "ops", "others"}, about["groups"])
	require.Len(t, about["certificate_sha256"], 64)
	require.NotEmpty(t, about["replica"])
	require.Len(t, about["store"], 32)
	require.Equal(t, []string{"Authorization"}, a.Sets())
}

func TestAClientIsRefusedWhoCanHaveNoKey(t *testing.T) {
	s := newScene(t)
	a := s.replica(t)
	for name, test := range map[string]struct {
		principal string
		groups    []string
		want      credential.Problem
	}{
		"no group":            {"alice", nil, credential.NoRole},
		"another group":       {"alice", []string{"Ops", ""}, credential.NoRole},
		"no name":             {"", []string{"ops"}, credential.InvalidName},
		"a reserved name":     {"_alice", []string{"ops"}, credential.InvalidName},
		"a blank at the end":  {"alice ", []string{"ops"}, credential.InvalidName},
		"a blank before":      {"\u00a0alice", []string{"ops"}, credential.InvalidName},
		"a control character": {"al\tice", []string{"ops"}, credential.InvalidName},
		"no UTF-8":            {"al\xffice", []string{"ops"}, credential.InvalidName},
		"too long":            {strings.Repeat("a", 257), []string{"ops"}, credential.InvalidName},
		"too long in UTF-16":  {strings.Repeat("😀", 129), []string{"ops"}, credential.InvalidName},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.Plan(newClient(t, "x", test.groups...))
			if test.want == credential.InvalidName {
				c := newClient(t, "x", test.groups...)
				c.Principal = test.principal
				_, err = a.Plan(c)
				_, explained := a.Explain(c)
				require.Equal(t, err, explained)
			}
			require.Equal(t, test.want, credential.AsRefusal(err).Problem)
			require.NotContains(t, credential.AsRefusal(err).Detail, "alice")
		})
	}
	for _, good := range []string{"a", "Zoë", "spiffe://example.org/a", "CN=a b,O=c", strings.Repeat("é", 256)} {
		c := newClient(t, "x", "ops")
		c.Principal = good
		require.NotNil(t, s.keyOf(get(t, a, c, nil).Authorization))
	}
	require.Equal(t, 5, s.total(creates), "nothing is asked for those who are refused")
}

func TestPlansDifferInWhatShapesAKey(t *testing.T) {
	s := newScene(t)
	a := s.replica(t)
	id := func(c *credential.Client) string {
		plan, err := a.Plan(c)
		require.NoError(t, err)
		return plan.ID()
	}
	alice := id(newClient(t, "alice", "ops", "x"))
	require.Equal(t, alice, id(newClient(t, "alice", "x", "ops", "x")), "the order and repetitions of groups do not matter")
	require.NotEqual(t, alice, id(newClient(t, "bob", "ops", "x")))
	require.NotEqual(t, alice, id(newClient(t, "alice", "ops")))
	require.NotEqual(t, alice, id(newClient(t, "alice", "ops", "x", "analysts")))

	require.NoError(t, os.WriteFile(s.ops, []byte(readSales), 0o600))
	a = s.replica(t)
	require.NotEqual(t, alice, id(newClient(t, "alice", "ops", "x")), "another descriptor")
	require.NoError(t, os.WriteFile(s.ops, []byte(readLogs), 0o600))
	require.NoError(t, os.WriteFile(s.user, []byte("proxy2:hunter2"), 0o600))
	a = s.replica(t)
	require.NotEqual(t, alice, id(newClient(t, "alice", "ops", "x")), "another user")
}

func TestSettingsThatAreWrongAreErrors(t *testing.T) {
	s := newScene(t)
	with := func(name string, value any) map[string]any {
		settings := s.settings()
		settings[name] = value
		return settings
	}
	role := func(group, file string) []map[string]string {
		return []map[string]string{{"group": group, "file": file}}
	}
	user := func(content string) string {
		file := filepath.Join(t.TempDir(), "user")
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		return "{file." + file + "}"
	}
	tests := map[string]struct {
		settings any
		problem  string
	}{
		"no user":                {with("user", ""), "user: it is missing"},
		"a password":             {with("user", "proxy:hunter2"), "user: a secret in the configuration shows"},
		"no colon":               {with("user", user("hunter2")), "it has no colon"},
		"an API key":             {with("user", user("ApiKey YTpodW50ZXIy")), "user: {file"},
		"no file of the user":    {with("user", "{file./no/such/file}"), "no such file"},
		"no roles":               {with("roles", nil), "add a line `role <group> <file>`"},
		"a role without a group": {with("roles", role("", s.ops)), "the group has no name"},
		"a role without a file":  {with("roles", role("ops", "")), "role ops: the file with the role descriptor is missing"},
		"a role twice":           {with("roles", append(role("ops", s.ops), role("ops", s.ops)...)), "role ops: it is there twice"},
		"no file of a role":      {with("roles", role("ops", "/no/such/file")), "role ops: /no/such/file: no such file"},
		"a placeholder":          {with("roles", role("ops", "{file."+s.ops+"}")), "write the file's path as it is"},
		"no descriptor":          {with("roles", role("ops", s.user)), "it is no JSON object"},
		"a short life":           {with("lifetime", "5m"), "lifetime: 5m: write a duration from 10m to 30d"},
		"a long life":            {with("lifetime", "721h"), "lifetime: 721h: write a duration"},
		"an address":             {with("cluster", []string{"es1:9200"}), "cluster: "},
		"an address with a user": {with("cluster", []string{"https://a:hunter2@es1:9200"}), "leave the user and the password out"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := s.provision(t, test.settings)
			require.ErrorContains(t, err, test.problem)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	entries, err := os.ReadDir(s.storage)
	require.NoError(t, err)
	_, _, err = s.provision(t, with("lifetime", "10m"))
	require.NoError(t, err)
	require.Empty(t, entries, "nothing is stored before a client comes")
}

func TestCaddyfile(t *testing.T) {
	tests := map[string]struct{ block, want, problem string }{
		"all": {
			"cluster https://es1:9200 https://es2:9200/\nuser {file./u}\nrole a a.json\nrole \"b c\" b.json\nlifetime 1d",
			`{"cluster":["https://es1:9200","https://es2:9200"],"user":"{file./u}","lifetime":86400000000000,
			  "roles":[{"group":"a","file":"a.json"},{"group":"b c","file":"b.json"}]}`, "",
		},
		"the least":      {"user {env.U}\nrole a f", `{"user":"{env.U}","roles":[{"group":"a","file":"f"}]}`, ""},
		"nothing":        {"", "", "user: it is missing"},
		"no role":        {"user {env.U}", "", "Testfile:1"},
		"a user twice":   {"user {env.U}\nuser {env.U}", "", "user is there twice"},
		"a password":     {"user proxy:hunter2\nrole a f", "", "a secret in the configuration shows"},
		"a role twice":   {"user {env.U}\nrole a f\nrole a g", "", "role a: it is in line 3 too"},
		"a role alone":   {"user {env.U}\nrole a", "", "role takes a group and the file"},
		"a short life":   {"user {env.U}\nrole a f\nlifetime 1m", "", "Testfile:4"},
		"an address":     {"cluster es1\nuser {env.U}\nrole a f", "", "Testfile:2"},
		"a typing error": {"roles a f", "", "did you mean role?"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var a apikey.APIKey
			err := a.UnmarshalCaddyfile(caddyfile.NewTestDispenser("api_key {\n" + test.block + "\n}"))
			if test.problem != "" {
				require.ErrorContains(t, err, test.problem)
				require.NotContains(t, err.Error(), "hunter2")
				return
			}
			require.NoError(t, err)
			require.JSONEq(t, test.want, string(module.JSON(t, &a)))
		})
	}
	require.ErrorContains(t, new(apikey.APIKey).UnmarshalCaddyfile(caddyfile.NewTestDispenser("api_key hunter2")),
		"api_key takes its settings in a block")
}

func TestExplainHasNoSecret(t *testing.T) {
	s := newScene(t)
	a := s.replica(t)
	explained, err := a.Explain(newClient(t, "alice", "ops", "analysts"))
	require.NoError(t, err)
	require.Equal(t, "api_key", explained.Kind)
	require.Equal(t, []string{"Authorization: ApiKey …"}, explained.Sends)
	require.Contains(t, explained.Needs[0], `"analysts", "ops"`)
	require.NotContains(t, string(module.JSON(t, explained))+string(module.JSON(t, a)), "hunter2")
	require.Len(t, a.Watched(), 3)
	require.Zero(t, s.total(creates))
}

// keysOff is the answer of 8.17.0 and 9.2.0 with xpack.security.authc.api_key.enabled: false.
const keysOff = `{"error":{"type":"feature_not_enabled_exception","reason":"api keys are not enabled",` +
	`"disabled.feature":"api_keys"},"status":400}`

// TestRefusalsOfTheCluster say who must do what.
func TestRefusalsOfTheCluster(t *testing.T) {
	fails := func(status int, body string) func(*node) { return func(n *node) { n.answers = answer(status, body) } }
	for name, test := range map[string]struct {
		change func(*node)
		want   credential.Problem
		says   string
	}{
		"down":                {func(n *node) { n.down = true }, credential.Unavailable, "no node"},
		"another password":    {func(n *node) { n.passwords["proxy"] = "x" }, credential.ProxyRefused, "refuses the user"},
		"no privilege":        {func(n *node) { n.lacks = []string{"manage_own_api_key"} }, credential.ProxyRefused, "manage_own_api_key"},
		"security off":        {func(n *node) { n.security = false }, credential.ProxyRefused, "has no API keys"},
		"read-only":           {fails(403, `{"error":{"type":"cluster_block_exception","reason":"blocked by: [FORBIDDEN/6/cluster read-only (api)];"}}`), credential.Unavailable, "read-only"},
		"API keys off":        {fails(400, keysOff), credential.ProxyRefused, "has no API keys"},
		"an unknown role":     {fails(400, `{"error":{"type":"x","reason":"unknown privilege"}}`), credential.ProxyRefused, "perhaps for a role"},
		"too much":            {fails(429, `{}`), credential.Unavailable, "cannot make"},
		"no master":           {fails(503, `{}`), credential.Unavailable, "cannot make"},
		"something else":      {fails(200, `<html>`), credential.Unavailable, "no node"},
		"a key without an ID": {fails(200, `{"encoded":"YTpi"}`), credential.Unavailable, "no node"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			a := s.replica(t)
			test.change(s.node)
			_, err := try(a, newClient(t, "alice", "ops"), nil)
			refusal := credential.AsRefusal(err)
			require.Equal(t, test.want, refusal.Problem, err)
			require.Contains(t, refusal.Detail, test.says)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	s := newScene(t)
	a := s.replica(t)
	a.SetCluster(nil)
	_, err := try(a, newClient(t, "alice", "ops"), nil)
	require.Equal(t, credential.Unavailable, credential.AsRefusal(err).Problem)
}
