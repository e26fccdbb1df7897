package static_test

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/credentials/static"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/module"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

const notAfter = 1_900_000_000

// basic is a user's password as Basic has it.
var basic = "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:hunter2"))

// provision provisions the kind with settings in JSON. logs returns what was logged.
func provision(t *testing.T, settings any) (made *static.Static, logs func() string, err error) {
	t.Helper()
	return module.Load[*static.Static](t, "elasticsearch_jwt.credentials.static", settings)
}

func write(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "credentials.txt")
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	return file
}

// withFile provisions the kind with a file.
func withFile(t *testing.T, content string) *static.Static {
	t.Helper()
	s, _, err := provision(t, map[string]string{"file": write(t, content)})
	require.NoError(t, err)
	return s
}

func client(principal string, groups ...string) *credential.Client {
	return &credential.Client{Principal: principal, Groups: groups, NotAfter: notAfter}
}

// credentialOf is what a client gets.
func credentialOf(t *testing.T, s *static.Static, c *credential.Client) *credential.Credential {
	t.Helper()
	plan, err := s.Plan(c)
	require.NoError(t, err)
	made, err := s.Make(t.Context(), c, plan, nil)
	require.NoError(t, err)
	return made
}

const twoGroups = `# the keys of two groups
analysts ApiKey essu_analysts

	ops 	 Bearer  ops-token==
"Acme, Inc." ApiKey acme
`

func TestAClientGetsTheCredentialOfItsGroup(t *testing.T) {
	s := withFile(t, twoGroups)
	for name, test := range map[string]struct {
		groups    []string
		want, sID string
	}{
		"its group":               {[]string{"analysts"}, "ApiKey essu_analysts", "static:analysts"},
		"of several, the first":   {[]string{"ops", "analysts"}, "ApiKey essu_analysts", "static:analysts"},
		"with others":             {[]string{"zoo", "ops", "a"}, "Bearer ops-token==", "static:ops"},
		"a group that has blanks": {[]string{"Acme, Inc."}, "ApiKey acme", "static:Acme, Inc."},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, &credential.Credential{
				Authorization: test.want,
				Headers:       []credential.Header{{Name: "X-Opaque-Id", Value: "alice"}},
				ID:            test.sID,
				Until:         notAfter,
				RenewAt:       notAfter,
			}, credentialOf(t, s, client("alice", test.groups...)))
		})
	}
	require.Equal(t, []string{"Authorization", "X-Opaque-Id"}, s.Sets())
}

func TestAClientWithoutSuchAGroupIsRefused(t *testing.T) {
	s := withFile(t, twoGroups)
	for name, groups := range map[string][]string{
		"none": nil, "another": {"zoo"}, "another case": {"Analysts"}, "a part of one": {"Acme"}, "an empty one": {""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Plan(client("alice", groups...))
			require.Equal(t, credential.NoRole, credential.AsRefusal(err).Problem)
			_, explained := s.Explain(client("alice", groups...))
			require.Equal(t, err, explained)
		})
	}
}

func TestEachClientHasAPlanOfItsOwn(t *testing.T) {
	s := withFile(t, twoGroups)
	same := withFile(t, "ops ApiKey x\nanalysts ApiKey essu_analysts\n")
	changed := withFile(t, "analysts ApiKey essu_another\n")
	key := func(s *static.Static, c *credential.Client) string {
		plan, err := s.Plan(c)
		require.NoError(t, err)
		return plan.Key
	}
	alice := key(s, client("alice", "analysts"))
	require.Equal(t, alice, key(s, client("alice", "zoo", "analysts")))
	require.Equal(t, alice, key(same, client("alice", "analysts")))
	require.NotContains(t, alice, "essu_analysts", "a key is no secret")
	for name, other := range map[string]string{
		"another client":     key(s, client("bob", "analysts")),
		"another group":      key(s, client("alice", "ops")),
		"another credential": key(changed, client("alice", "analysts")),
	} {
		require.NotEqual(t, alice, other, name)
	}
}

func TestXOpaqueIDSaysWhoItIs(t *testing.T) {
	s := withFile(t, "g ApiKey x\n")
	long := strings.Repeat("a", 200)
	for principal, want := range map[string]string{
		"alice":                  "alice",
		"spiffe://example.org/a": "spiffe://example.org/a",
		"Alice Smith":            "Alice Smith",
		"Zoë":                    "Zo%C3%AB",
		"100%":                   "100%25",
		" a ":                    "%20a%20",
		"a~b":                    "a%7Eb",
		"a\x00\r\n":              "a%00%0D%0A",
		"":                       "",
		strings.Repeat("a", 128): strings.Repeat("a", 128),
		long:                     strings.Repeat("a", 111) + "~c2a908d98f5df987",
		strings.Repeat("ë", 22):  strings.Repeat("%C3%AB", 18) + "%C3~",
	} {
		t.Run(principal, func(t *testing.T) {
			got := credentialOf(t, s, client(principal, "g")).Headers[0].Value
			require.LessOrEqual(t, len(got), 128)
			if before, isCut := strings.CutSuffix(want, "~"); isCut {
				require.True(t, strings.HasPrefix(got, before+"~"), got)
				return
			}
			require.Equal(t, want, got)
		})
	}
}

func FuzzOpaqueID(f *testing.F) {
	f.Add("alice", "Zoë")
	f.Add(strings.Repeat("a", 128), strings.Repeat("a", 129))
	f.Add(strings.Repeat("%", 50), "~")
	file := filepath.Join(f.TempDir(), "credentials.txt")
	require.NoError(f, os.WriteFile(file, []byte("g ApiKey x"), 0o600))
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	s := &static.Static{File: file}
	require.NoError(f, s.Provision(ctx))
	value := func(t *testing.T, principal string) string {
		return credentialOf(t, s, client(principal, "g")).Headers[0].Value
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		of, other := value(t, a), value(t, b)
		require.Equal(t, a == b, of == other)
		require.LessOrEqual(t, len(of), 128)
		require.Equal(t, strings.TrimSpace(of), of)
		require.False(t, strings.ContainsFunc(of, func(r rune) bool { return r < ' ' || r > '~' }))
	})
}

// TestAnythingElseThanACredentialIsAnError: a mistake would show as a 401 of every request otherwise.
func TestAnythingElseThanACredentialIsAnError(t *testing.T) {
	const secret = "hunter2"
	tests := map[string]struct{ credential, problem string }{
		"nothing":                {"", "there is no credential"},
		"the value alone":        {secret, "the scheme is missing: write `ApiKey `"},
		"the scheme alone":       {"ApiKey ", "the scheme is missing"},
		"a header":               {"Authorization: ApiKey " + secret, "write what follows the colon"},
		"no scheme":              {"Api(Key " + secret, "the scheme is none"},
		"more words":             {"ApiKey " + secret + " more", "more than two words"},
		"a comment behind it":    {"ApiKey " + secret + " # of ops", "a comment has a line of its own"},
		"not ASCII":              {"ApiKey " + secret + "ë", "printable ASCII"},
		"a control character":    {"ApiKey " + secret + "\x00", "printable ASCII"},
		"another bearer":         {"bearer " + secret, "with a capital B"},
		"an undecoded key":       {"ApiKey id:" + secret, "calls encoded"},
		"a password as it is":    {"Basic alice:" + secret, "the base64 of `user:password`"},
		"a password and no user": {"Basic " + base64.StdEncoding.EncodeToString([]byte(secret)), "the base64 of"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, logs, err := provision(t, map[string]string{"file": write(t, "# comment\nanalysts "+test.credential+"\n")})
			require.ErrorContains(t, err, "file: ")
			require.ErrorContains(t, err, "credentials.txt: line 2: ")
			require.ErrorContains(t, err, test.problem)
			requireNoSecret(t, err.Error()+logs())

			_, logs, err = provision(t, groups("analysts", "{file."+write(t, test.credential+"\n")+"}"))
			require.ErrorContains(t, err, "group analysts: {file.")
			require.ErrorContains(t, err, test.problem)
			requireNoSecret(t, err.Error()+logs())
		})
	}
}

func requireNoSecret(t *testing.T, text string) {
	t.Helper()
	require.NotContains(t, text, "hunter2")
	require.NotContains(t, text, strings.TrimPrefix(basic, "Basic "))
}

// groups are settings with groups and their placeholders in turns.
func groups(pairs ...string) any {
	var all []static.Group
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, static.Group{Name: pairs[i], Credential: pairs[i+1]})
	}
	return map[string]any{"groups": all}
}

func TestAFileThatIsWrongIsAnError(t *testing.T) {
	tests := map[string]struct{ content, problem string }{
		"nothing":              {"", "it has no credential in it"},
		"comments alone":       {"# a\n\n", "it has no credential in it"},
		"a group alone":        {"analysts\n", "line 1: there is no credential"},
		"a group twice":        {"a ApiKey hunter2\n#\na ApiKey hunter2\n", `line 3: the group "a" is in line 1 too`},
		"a quote too many":     {`"a ApiKey hunter2`, "no other one ends it"},
		"a quote in a group":   {`"a"b" ApiKey hunter2`, "not followed by a blank"},
		"no name":              {`"" ApiKey hunter2`, "the group has no name"},
		"blanks around a name": {`" a" ApiKey hunter2`, "begins or ends with a blank"},
		"a control character":  {"a\x01b ApiKey hunter2", "control character"},
		"the scheme first":     {"ApiKey hunter2 analysts", "write the group before it"},
		"a colon":              {"analysts: ApiKey hunter2", "leave that out"},
		"two wrong lines":      {"a hunter2\nb hunter2", "line 2: "},
		"UTF-16":               {"\xff\xfea\x00", "UTF-16"},
		"not UTF-8":            {"a\xff ApiKey hunter2", "not UTF-8"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, logs, err := provision(t, map[string]string{"file": write(t, test.content)})
			require.ErrorContains(t, err, test.problem)
			requireNoSecret(t, err.Error()+logs())
		})
	}
}

func TestWhatEditorsAddToAFileIsNoError(t *testing.T) {
	s := withFile(t, "\ufeffanalysts ApiKey a\r\nops ApiKey b  \r\n\r\n")
	require.Equal(t, "ApiKey a", credentialOf(t, s, client("alice", "analysts")).Authorization)
	require.Equal(t, "ApiKey b", credentialOf(t, s, client("alice", "ops")).Authorization)
}

func TestCredentialsOfGroupsAreInFilesAndVariables(t *testing.T) {
	t.Setenv("STATIC_TEST_OPS", "ApiKey of-ops")
	s, _, err := provision(t, groups(
		"analysts", "{file."+write(t, "ApiKey of-analysts\n")+"}", "ops", "{env.STATIC_TEST_OPS}"))
	require.NoError(t, err)
	require.Equal(t, "ApiKey of-ops", credentialOf(t, s, client("alice", "ops")).Authorization)
	require.Equal(t, "ApiKey of-analysts", credentialOf(t, s, client("alice", "ops", "analysts")).Authorization, "the order")
	require.Len(t, s.Watched(), 2)
	for _, watched := range s.Watched() {
		name, usable := watched.State()
		require.Equal(t, "credential", name)
		require.True(t, usable)
	}
	_, _, err = provision(t, groups("ops", "{env.STATIC_TEST_NO_SUCH_VARIABLE}"))
	require.ErrorContains(t, err, "set the variable")
	_, _, err = provision(t, groups("ops", "{file."+write(t, "ApiKey a\nApiKey b\n")+"}"))
	require.ErrorContains(t, err, "it has several lines")
}

func TestSettingsThatAreWrongAreErrors(t *testing.T) {
	file := write(t, twoGroups)
	both := groups("a", "{env.A}").(map[string]any)
	both["file"] = file
	tests := map[string]struct {
		settings any
		problem  string
	}{
		"nothing":                  {map[string]string{}, "no credential: add a line `file <file>`"},
		"a file and a group":       {both, "file: there are groups beside the file"},
		"a group twice":            {groups("a", "{env.A}", "a", "{env.B}"), "group a: it is there twice"},
		"a group without a name":   {groups("", "{env.A}"), "the group has no name"},
		"a credential that is one": {groups("a", "ApiKey hunter2"), "group a: a secret in the configuration shows"},
		"a file as a placeholder":  {map[string]string{"file": "{file." + file + "}"}, "write the file's path as it is"},
		"no such file":             {map[string]string{"file": file + ".no"}, "no such file"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := provision(t, test.settings)
			require.ErrorContains(t, err, test.problem)
			requireNoSecret(t, err.Error())
		})
	}
}

func TestWhatIsDangerousIsAWarning(t *testing.T) {
	const ofPassword, ofMode = "can set another one for that user", "every account of this machine may read"
	file := write(t, "a ApiKey x\nops "+basic+"\n")
	require.NoError(t, os.Chmod(file, 0o644))
	_, logs, err := provision(t, map[string]string{"file": file})
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(logs(), ofPassword))
	require.Contains(t, logs(), `"ops"`)
	require.Equal(t, 1, strings.Count(logs(), ofMode))

	alone := write(t, strings.ToLower(basic[:5])+basic[5:])
	require.NoError(t, os.Chmod(alone, 0o604))
	_, logs, err = provision(t, groups("ops", "{file."+alone+"}"))
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(logs(), ofPassword), "basic in small letters is the same")
	require.Equal(t, 1, strings.Count(logs(), ofMode))
	requireNoSecret(t, logs())

	_, logs, err = provision(t, map[string]string{"file": write(t, twoGroups)})
	require.NoError(t, err)
	require.NotContains(t, logs(), "warn")
}

func TestAChangedFileIsNoticed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		file := write(t, "analysts ApiKey old\n")
		s, logs, err := provision(t, map[string]string{"file": file})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer func() { cancel(); synctest.Wait() }()
		go s.Watched()[0].Watch(ctx)
		alice := func() string { return credentialOf(t, s, client("alice", "analysts")).Authorization }
		change := func(content string) (changed bool) {
			before := s.Version()
			require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
			require.NoError(t, os.Chtimes(file, time.Time{}, time.Now()))
			time.Sleep(watch.Latest)
			synctest.Wait()
			return s.Version() != before
		}
		require.True(t, change("analysts ApiKey new\n"))
		require.Equal(t, "ApiKey new", alice())
		require.False(t, change("analysts hunter2\n"), "a broken file changes nothing")
		require.Equal(t, "ApiKey new", alice())
		_, usable := s.Watched()[0].State()
		require.False(t, usable)
		requireNoSecret(t, logs())
		require.True(t, change("ops ApiKey ops\nanalysts ApiKey newer\n"))
		require.Equal(t, "ApiKey newer", alice())
	})
}

func TestExplainHasNoSecret(t *testing.T) {
	s := withFile(t, "ops ApiKey hunter2\n")
	explained, err := s.Explain(client("Zoë", "ops"))
	require.NoError(t, err)
	require.Equal(t, "static", explained.Kind)
	require.Equal(t, []string{"Authorization: ApiKey …", "X-Opaque-Id: Zo%C3%AB"}, explained.Sends)
	require.Contains(t, explained.Needs[0], `"ops"`)
	requireNoSecret(t, string(module.JSON(t, explained))+string(module.JSON(t, s)))
}

func TestCaddyfile(t *testing.T) {
	tests := map[string]struct{ block, want, problem string }{
		"a file": {"file credentials.txt", `{"file":"credentials.txt"}`, ""},
		"groups": {
			"group a {env.A}\ngroup \"Acme, Inc.\" {file./run/b}",
			`{"groups":[{"group":"a","credential":"{env.A}"},{"group":"Acme, Inc.","credential":"{file./run/b}"}]}`, "",
		},
		"nothing":        {"", "", "Testfile:1"},
		"both":           {"group a {env.A}\nfile f", "", "Testfile:3"},
		"a file twice":   {"file a\nfile b", "", "file is there twice"},
		"a group twice":  {"group a {env.A}\n\ngroup a {env.B}", "", "group a: it is in line 2 too: keep one of them, at Testfile:4"},
		"a secret":       {"group a hunter2", "", "a secret in the configuration shows"},
		"a group alone":  {"group a", "", "group takes a group and a placeholder"},
		"three words":    {"group a ApiKey hunter2", "", "group takes a group and a placeholder"},
		"no name":        {`group "" {env.A}`, "", "the group has no name"},
		"a typing error": {"files a", "", "did you mean file?"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var s static.Static
			err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser("static {\n" + test.block + "\n}"))
			if test.problem != "" {
				require.ErrorContains(t, err, test.problem)
				requireNoSecret(t, err.Error())
				return
			}
			require.NoError(t, err)
			require.JSONEq(t, test.want, string(module.JSON(t, s)))
		})
	}
	require.ErrorContains(t, new(static.Static).UnmarshalCaddyfile(caddyfile.NewTestDispenser("static credentials.txt")),
		"static takes its settings in a block")
}
