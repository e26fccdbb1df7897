package setting_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// settings are some of each kind.
type settings struct {
	Text     string         `json:"text,omitempty"`
	Texts    []string       `json:"texts,omitempty"`
	Flag     bool           `json:"flag,omitempty"`
	Number   int            `json:"number,omitempty"`
	Size     int            `json:"size,omitempty"`
	Duration caddy.Duration `json:"duration,omitempty"`
	Secret   string         `json:"secret,omitempty"`
}

// parse parses a block with settings, of which texts can be there more than once.
func parse(block string) (settings, error) {
	var s settings
	tokens, err := caddyfile.Tokenize([]byte(block), "Testfile")
	if err != nil {
		return s, err
	}
	d := caddyfile.NewDispenser(tokens)
	d.Next()
	err = setting.ParseBlock(d, s.parsers(), "texts")
	return s, err
}

func (s *settings) parsers() setting.Parsers {
	return setting.Parsers{
		"text":          func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &s.Text) },
		"texts":         func(d *caddyfile.Dispenser) error { return setting.ParseStrings(d, &s.Texts) },
		"flag":          func(d *caddyfile.Dispenser) error { return setting.ParseFlag(d, &s.Flag) },
		"number":        func(d *caddyfile.Dispenser) error { return setting.ParseInt(d, &s.Number) },
		"size":          func(d *caddyfile.Dispenser) error { return setting.ParseSize(d, &s.Size) },
		"duration":      func(d *caddyfile.Dispenser) error { return setting.ParseDuration(d, &s.Duration) },
		"shared_secret": func(d *caddyfile.Dispenser) error { return setting.ParseSecret(d, &s.Secret) },
	}
}

func TestABlockHasItsSettings(t *testing.T) {
	tests := map[string]struct {
		block string
		want  settings
	}{
		"no block":           {"directive", settings{}},
		"an empty block":     {"directive {\n}", settings{}},
		"a text":             {"directive {\n text a \n}", settings{Text: "a"}},
		"a text in quotes":   {"directive {\n text \"a b\" \n}", settings{Text: "a b"}},
		"several texts":      {"directive {\n texts a b \n}", settings{Texts: []string{"a", "b"}}},
		"texts in two lines": {"directive {\n texts a \n texts b \n}", settings{Texts: []string{"a", "b"}}},
		"a flag":             {"directive {\n flag \n}", settings{Flag: true}},
		"a number":           {"directive {\n number 3 \n}", settings{Number: 3}},
		"a negative number":  {"directive {\n number -3 \n}", settings{Number: -3}},
		"bytes":              {"directive {\n size 100 \n}", settings{Size: 100}},
		"KiB":                {"directive {\n size 16KiB \n}", settings{Size: 16384}},
		"KB":                 {"directive {\n size 16KB \n}", settings{Size: 16000}},
		"the largest size":   {"directive {\n size 2147483647 \n}", settings{Size: math.MaxInt32}},
		"minutes":            {"directive {\n duration 10m \n}", settings{Duration: caddy.Duration(10 * time.Minute)}},
		"days":               {"directive {\n duration 30d \n}", settings{Duration: caddy.Duration(720 * time.Hour)}},
		"a secret in a file": {"directive {\n shared_secret {file./s} \n}", settings{Secret: "{file./s}"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parse(test.block)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestABlockIsRefusedWithItsLine(t *testing.T) {
	const known = "duration, flag, number, shared_secret, size, text, texts"
	tests := map[string]struct{ setting, want string }{
		"an unknown setting": {"colour red", `unknown setting "colour": use one of ` + known},
		"a mistyped setting": {
			"nubmer 3", `unknown setting "nubmer": did you mean number? Otherwise use one of ` + known,
		},
		"a setting twice":         {"text a \n text b", "text is there twice: keep one of them"},
		"a text without a value":  {"text", "text takes exactly one value"},
		"a text with two values":  {"text a b", "text takes exactly one value"},
		"texts without a value":   {"texts", "texts takes at least one value"},
		"a flag with a value":     {"flag yes", "flag takes no value"},
		"a word for a number":     {"number three", `number "three": it must be a whole number`},
		"a fraction for a number": {"number 0.5", `number "0.5": it must be a whole number`},
		"a word for a size":       {"size large", `size "large": write a size such as 16KiB`},
		"too large a size":        {"size 2147483648", `size "2147483648": write a size such as 16KiB`},
		"a number for a duration": {"duration 10", `duration "10": write a duration such as 10m or 30d`},
		"no duration":             {"duration 0s", `duration "0s": it must be longer than nothing`},
		"a negative duration":     {"duration -10m", `duration "-10m": it must be longer than nothing`},
		"a secret as it is":       {"shared_secret hunter2", "a secret in the configuration shows in the admin API"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parse("directive {\n " + test.setting + "\n}")
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, fmt.Sprintf("Testfile:%d", 2+strings.Count(test.setting, "\n")))
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func FuzzParseBlock(f *testing.F) {
	for _, line := range []string{
		"text a", "texts a b", "flag", "number 3", "size 16KiB", "duration 30d", "shared_secret {env.S}", "text <<a<b",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		s, err := parse("directive {\n " + line + "\n}")
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, s.Size, 0)
		require.GreaterOrEqual(t, s.Duration, caddy.Duration(0))
		if s.Secret != "" {
			require.NoError(t, setting.CheckSecret(s.Secret))
		}
	})
}

func TestAnErrorThatIsFoundLaterHasTheLineOfItsSetting(t *testing.T) {
	const block = `directive {
		text a
		claim roles admin
		required_claim_list department sales
		header x-user alice
	}`
	d := caddyfile.NewTestDispenser(block)
	d.Next()
	lines := setting.NewLines(d)
	skip := func(d *caddyfile.Dispenser) error { d.RemainingArgs(); return nil }
	require.NoError(t, setting.ParseBlock(d, lines.Record(setting.Parsers{
		"text": skip, "claim": skip, "required_claim_list": skip, "header": skip,
	})))

	tests := map[string]struct {
		err  error
		line int
	}{
		"a setting":                     {setting.In("text", fs.ErrInvalid), 2},
		"a claim":                       {setting.In("claim roles", fs.ErrInvalid), 3},
		"a claim that is required":      {setting.In("claim department", fs.ErrInvalid), 4},
		"a header as it is written":     {setting.In("header x-user", fs.ErrInvalid), 5},
		"a header as it is sent":        {setting.In("header X-User", fs.ErrInvalid), 5},
		"an error inside another":       {fmt.Errorf("checking: %w", setting.In("text", fs.ErrInvalid)), 2},
		"a setting that is not there":   {setting.In("groups", fs.ErrInvalid), 1},
		"an error of no single setting": {fs.ErrInvalid, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := lines.Wrap(test.err)
			require.ErrorIs(t, err, fs.ErrInvalid)
			require.ErrorContains(t, err, test.err.Error())
			require.ErrorContains(t, err, fmt.Sprintf("Testfile:%d", test.line))
		})
	}
}

func TestTheErrorOfASettingBeginsWithItsName(t *testing.T) {
	err := setting.In("audience", errors.New("it is missing"))
	require.EqualError(t, err, "audience: it is missing")

	var of *setting.Error
	require.ErrorAs(t, fmt.Errorf("checking: %w", err), &of)
	require.Equal(t, "audience", of.Setting)
}

func TestNearest(t *testing.T) {
	words := []string{"audience", "claim", "deny", "groups", "group_pattern", "issuer", "jti", "username_rdn"}
	tests := map[string]struct{ word, want string }{
		"the word itself":        {"audience", "audience"},
		"a letter too few":       {"audence", "audience"},
		"a letter too many":      {"issuerr", "issuer"},
		"another letter":         {"clain", "claim"},
		"two letters swapped":    {"gruops", "groups"},
		"capital letters":        {"Issuer", "issuer"},
		"a hyphen":               {"username-rdn", "username_rdn"},
		"the shortest word":      {"jtj", "jti"},
		"one letter of four":     {"dexy", "deny"},
		"more than a third":      {"deaf", ""},
		"another word":           {"password", ""},
		"nothing":                {"", ""},
		"letters beyond ASCII":   {"größe", ""},
		"a word of another size": {"group_patterns_of_all_kinds", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, setting.Nearest(test.word, words)) })
	}
	require.Empty(t, setting.Nearest("audience", nil), "there is nothing to choose from")
	require.Equal(t, "ab", setting.Nearest("aa", []string{"ac", "ab"}), "of equally near words the first of the alphabet")
}

func FuzzNearest(f *testing.F) {
	f.Add("audence", "audience", "claim")
	f.Fuzz(func(t *testing.T, word, a, b string) {
		if len(word)+len(a)+len(b) > 300 {
			return
		}
		got := setting.Nearest(word, []string{a, b})
		require.True(t, got == "" || got == a || got == b)
		require.Equal(t, got, setting.Nearest(word, []string{b, a}), "the order does not matter")
	})
}

func TestRedacted(t *testing.T) {
	tests := map[string]struct{ address, want string }{
		"nothing to hide":   {"https://es.example.com/list.crl", "https://es.example.com/list.crl"},
		"a port":            {"http://es.example.com:8080/a", "http://es.example.com:8080/a"},
		"a password":        {"https://alice:hunter2@es.example.com/", "https://xxxxx@es.example.com/"},
		"a token as a user": {"https://hunter2@es.example.com/", "https://xxxxx@es.example.com/"},
		"a query":           {"https://es.example.com/a?token=hunter2", "https://es.example.com/a?xxxxx"},
		"a fragment":        {"https://es.example.com/a#hunter2", "https://es.example.com/a#xxxxx"},
		"no URL":            {"https://es.example.com:hunter2/", "a URL that cannot be read"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, setting.Redacted(test.address)) })
	}
}

func FuzzRedacted(f *testing.F) {
	f.Add("https", "es.example.com", "list")
	f.Fuzz(func(t *testing.T, scheme, host, path string) {
		const secret = "hunter2"
		if strings.ContainsAny(scheme+host+path, "%@?#/\\:[]") || strings.Contains(scheme+host+path, secret) {
			return
		}
		for _, address := range []string{
			scheme + "://alice:" + secret + "@" + host + "/" + path,
			scheme + "://" + secret + "@" + host + "/" + path,
			scheme + "://" + host + "/" + path + "?key=" + secret,
			scheme + "://" + host + "/" + path + "#" + secret,
		} {
			// A scheme that is none makes of the rest a path, which is no secret.
			if scheme != "" && scheme == strings.ToLower(scheme) && isLetters(scheme) {
				require.NotContains(t, setting.Redacted(address), secret)
				require.NotContains(t, setting.Quoted(address), secret)
			}
		}
	})
}

func isLetters(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 'a' || r > 'z' })
}

func TestQuoted(t *testing.T) {
	tests := map[string]struct{ value, want string }{
		"a text":             {"CN=alice", `"CN=alice"`},
		"control characters": {"a\x00b", `"a\x00b"`},
		"a URL":              {"https://alice:hunter2@es.example.com/", `"https://xxxxx@es.example.com/"`},
		"no URL":             {"http:/hunter2", `"http:/hunter2"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, setting.Quoted(test.value)) })
	}
}

func TestWithRedactedURLs(t *testing.T) {
	untouched := errors.New("no such file")
	require.Same(t, untouched, setting.WithRedactedURLs(untouched), "an error without a URL stays as it is")

	tests := map[string]struct{ text, want string }{
		"a URL":          {`Get https://a:hunter2@b/c failed`, `Get https://xxxxx@b/c failed`},
		"a URL in quote": {`Get "https://b/c?hunter2": EOF`, `Get "https://b/c?xxxxx": EOF`},
		"a password with a quote": {
			`parse "https://u:pa\"hunter2@host/x": invalid userinfo`, `parse "a URL that cannot be read": invalid userinfo`,
		},
		"a password with a blank": {
			`parse "https://u:pa hunter2@host/x": invalid userinfo`, `parse "a URL that cannot be read": invalid userinfo`,
		},
		"other quotes": {`"a" and "b" at https://c@d/`, `"a" and "b" at https://xxxxx@d/`},
		"two URLs":     {`https://a@b/ and ldap://c@d/`, `https://xxxxx@b/ and ldap://xxxxx@d/`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			require.EqualError(t, setting.WithRedactedURLs(errors.New(test.text)), test.want)
		})
	}
}

func TestASecretIsAPlaceholder(t *testing.T) {
	tests := map[string]struct {
		value   string
		problem string // empty: it is one
		file    string
	}{
		"a file":                     {"{file./run/secrets/es}", "", "/run/secrets/es"},
		"a file beside the server":   {"{file.secret}", "", "secret"},
		"a variable":                 {"{env.SECRET}", "", ""},
		"nothing":                    {"", "it is missing", ""},
		"the secret itself":          {"hunter2", "shows in the admin API", ""},
		"more than the placeholder":  {"{env.SECRET}hunter2", "shows in the admin API", ""},
		"two placeholders":           {"{env.A}{env.B}", "shows in the admin API", ""},
		"a part of the request":      {"{http.request.host}", "shows in the admin API", ""},
		"a file that Caddy misreads": {"{http.request.uri.path.file.es}", "as in {file./run/secrets/es}", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := setting.CheckSecret(test.value)
			if test.problem == "" {
				require.NoError(t, err)
				require.Equal(t, test.file, setting.SecretFile(test.value))
				require.Equal(t, test.value, setting.SecretSource(test.value).Name, "logs show the placeholder")
				return
			}
			require.ErrorContains(t, err, test.problem)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func FuzzCheckSecret(f *testing.F) {
	f.Add("{file./run/secrets/es}")
	f.Add("{env.SECRET}")
	f.Fuzz(func(t *testing.T, value string) {
		if setting.CheckSecret(value) != nil {
			return
		}
		require.Equal(t, 1, strings.Count(value, "}"), "it is one placeholder")
		require.True(t, strings.HasPrefix(value, "{") && strings.HasSuffix(value, "}"), "and nothing else")
	})
}

// TestAHeaderCarriesASecret: blanks around it were dropped without a word, and the node's keystore keeps them.
func TestAHeaderCarriesASecret(t *testing.T) {
	tests := map[string]struct {
		content string
		secret  string
		problem string
	}{
		"a line":                      {"hunter2\n", "hunter2", ""},
		"a line of Windows":           {"hunter2\r\n", "hunter2", ""},
		"an empty line after":         {"hunter2\n\n", "hunter2", ""},
		"a blank after":               {"hunter2 ", "", "begins or ends with a blank"},
		"a blank before the line end": {"hunter2 \n", "", "begins or ends with a blank"},
		"a tab after":                 {"hunter2\t\r\n", "", "begins or ends with a blank"},
		"a blank before":              {" hunter2\n", "", "begins or ends with a blank"},
		"blanks around":               {"  hunter2\t", "", "begins or ends with a blank"},
		"a no-break space after":      {"hunter2\u00a0\n", "", "printable ASCII without spaces"},
		"a form feed after":           {"hunter2\f", "", "printable ASCII without spaces"},
		"a byte order mark":           {"\ufeffhunter2", "", "printable ASCII without spaces"},
		"an empty line before":        {"\nhunter2", "", "it has several lines"},
		"all printable ASCII":         {"!~", "!~", ""},
		"nothing":                     {"", "", "it is empty"},
		"blanks alone":                {" \n", "", "it is empty"},
		"two lines":                   {"hunter2\nhunter2\n", "", "it has several lines"},
		"a blank inside":              {"hunter 2", "", "printable ASCII without spaces"},
		"letters beyond ASCII":        {"hüter", "", "printable ASCII without spaces"},
		"what ends a line of headers": {"hunter2\rX: y", "", "it has several lines"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "secret")
			require.NoError(t, os.WriteFile(file, []byte(test.content), 0o600))
			secret, err := setting.WatchHeaderSecret("{file."+file+"}", zap.NewNop())
			if test.problem != "" {
				require.ErrorContains(t, err, test.problem)
				require.NotContains(t, err.Error(), "hunter")
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.secret, secret.Get())
		})
	}
	t.Run("a variable", func(t *testing.T) {
		t.Setenv("SETTING_TEST_SECRET", "hunter2")
		secret, err := setting.WatchHeaderSecret("{env.SETTING_TEST_SECRET}", zap.NewNop())
		require.NoError(t, err)
		require.Equal(t, "hunter2", secret.Get())
	})
	t.Run("a variable that is missing", func(t *testing.T) {
		_, err := setting.WatchHeaderSecret("{env.SETTING_TEST_NO_SUCH_VARIABLE}", zap.NewNop())
		require.ErrorContains(t, err, "set the variable")
	})
}

func TestAFileWithASecretThatEverybodyMayReadIsWarnedOf(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files on Windows have no such mode")
	}
	tests := map[string]struct {
		mode   fs.FileMode
		advice string // empty: no warning
	}{
		"its owner alone":    {0o600, ""},
		"its group too":      {0o640, ""},
		"everybody reads":    {0o604, "chmod 0600 "},
		"everybody and more": {0o644, "chmod 0640 "},
		"everybody writes":   {0o602, "chmod 0600 "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "secret")
			require.NoError(t, os.WriteFile(file, nil, 0o600))
			require.NoError(t, os.Chmod(file, test.mode))
			link := file + ".link"
			require.NoError(t, os.Symlink(file, link))
			for _, path := range []string{file, link} {
				core, logs := observer.New(zap.WarnLevel)
				setting.WarnOfFileMode(path, zap.New(core))
				if test.advice == "" {
					require.Empty(t, logs.All())
					continue
				}
				require.Len(t, logs.All(), 1)
				entry := logs.All()[0]
				require.Contains(t, entry.Message, test.advice+filepath.Dir(file), "it names the file behind a link")
				require.Equal(t, fmt.Sprintf("%04o", test.mode), entry.ContextMap()["mode"])
			}
		})
	}
	core, logs := observer.New(zap.WarnLevel)
	setting.WarnOfFileMode("", zap.New(core))
	setting.WarnOfFileMode(filepath.Join(t.TempDir(), "missing"), zap.New(core))
	require.Empty(t, logs.All(), "whoever reads a file that is missing says so")
}

func TestResolve(t *testing.T) {
	file := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(file, []byte("of the file"), 0o600))
	t.Setenv("SETTING_TEST", "of the variable")
	tests := map[string]struct{ text, want, problem string }{
		"no placeholder":  {"a", "a", ""},
		"a variable":      {"{env.SETTING_TEST}", "of the variable", ""},
		"a file":          {"{file." + file + "}", "of the file", ""},
		"inside of texts": {"the text {env.SETTING_TEST}!", "the text of the variable!", ""},
		"a folder":        {"the text {file." + filepath.Dir(file) + "}", "", filepath.Dir(file) + "}: it is a folder"},
		"none such":       {"{env.SETTING_TEST_NO_SUCH}", "", "set the variable, or make the file readable for Caddy"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := setting.Resolve(test.text)
			if test.problem != "" {
				require.ErrorContains(t, err, test.problem)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			kept, err := setting.KeepPlaceholder(test.text)
			require.NoError(t, err)
			require.Equal(t, test.text, kept, "and without the machine's variables it stays")
		})
	}
}

func TestShortDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "1s": time.Second, "10s": 10 * time.Second, "1m": time.Minute, "10m": 10 * time.Minute,
		"1m30s": 90 * time.Second, "1h": time.Hour, "24h": 24 * time.Hour, "1h10m": 70 * time.Minute,
		"1h0m10s": time.Hour + 10*time.Second, "-1m": -time.Minute, "1.5s": 1500 * time.Millisecond,
	} {
		require.Equal(t, want, setting.ShortDuration(d))
		parsed, err := time.ParseDuration(want)
		require.NoError(t, err)
		require.Equal(t, d, parsed, "and it means the same")
	}
}

func TestSetDefault(t *testing.T) {
	empty, full := "", "its own"
	setting.SetDefault(&empty, "the default")
	setting.SetDefault(&full, "the default")
	require.Equal(t, []string{"the default", "its own"}, []string{empty, full})
}

func TestEqualSettingsHaveEqualJSON(t *testing.T) {
	a, b := &settings{Text: "a"}, &settings{Text: "a"}
	require.JSONEq(t, `{"text":"a"}`, setting.AsJSON(a))
	require.Equal(t, setting.AsJSON(a), setting.AsJSON(b))
	require.NotEqual(t, setting.AsJSON(a), setting.AsJSON(&settings{Text: "b"}))
	noJSON, another := new(func()), new(func())
	require.NotEqual(t, setting.AsJSON(noJSON), setting.AsJSON(another), "what has no JSON equals itself alone")
}

// module is a module of this test's own namespace.
type module struct{ id caddy.ModuleID }

func (m module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: m.id, New: func() caddy.Module { return &parsedModule{} }}
}

// parsedModule is a module that remembers its argument.
type parsedModule struct{ argument string }

func (*parsedModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "setting_test.one", New: func() caddy.Module { return &parsedModule{} }}
}

func (m *parsedModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return setting.ParseString(d, &m.argument)
}

func init() {
	for _, id := range []caddy.ModuleID{"setting_test.one", "setting_test.two"} {
		caddy.RegisterModule(module{id})
	}
}

func TestAModuleIsFoundByItsName(t *testing.T) {
	names := setting.ModuleNames("setting_test")
	slices.Sort(names)
	require.Equal(t, []string{"one", "two"}, names)

	d := caddyfile.NewTestDispenser("one argument")
	d.Next()
	found, err := setting.UnmarshalModule(d, "source", "setting_test", "one")
	require.NoError(t, err)
	require.Equal(t, "argument", found.(*parsedModule).argument)

	_, err = setting.UnmarshalModule(d, "source", "setting_test", "three")
	require.ErrorContains(t, err, `unknown source "three": use one of one, two`)
}
