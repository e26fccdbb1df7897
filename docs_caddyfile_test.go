package esjwt_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/require"
)

// block is a block of settings in a Caddyfile, with its part of docs/caddyfile.md.
type block struct {
	title     string
	module    caddy.ModuleID
	caddyfile string // {{settings}} stands for the settings
}

const (
	inSiteOf   = "example.com {\n%s {\n{{settings}}\n}\n}\n"
	inSourceOf = "{\nelasticsearch_jwt {\nkeys a %s {\n{{settings}}\n}\n}\n}\n"
)

var blocks = map[string]block{
	"elasticsearch_jwt": {
		"The directive `elasticsearch_jwt`", "http.handlers.elasticsearch_jwt",
		fmt.Sprintf(inSiteOf, "elasticsearch_jwt"),
	},
	"elasticsearch_jwks": {
		"The directive `elasticsearch_jwks`", "http.handlers.elasticsearch_jwks",
		fmt.Sprintf(inSiteOf, "elasticsearch_jwks"),
	},
	"transport": {
		"The transport `elasticsearch_jwt`", "http.reverse_proxy.transport.elasticsearch_jwt",
		"example.com {\nreverse_proxy localhost:9200 {\ntransport elasticsearch_jwt {\n{{settings}}\n}\n}\n}\n",
	},
	"option": {
		"The global option `elasticsearch_jwt`", "elasticsearch_jwt",
		"{\nelasticsearch_jwt {\n{{settings}}\n}\n}\n",
	},
	"storage": {"The key source `storage`", "elasticsearch_jwt.keys.storage", fmt.Sprintf(inSourceOf, "storage")},
	"file":    {"The key source `file`", "elasticsearch_jwt.keys.file", fmt.Sprintf(inSourceOf, "file")},
	"secret":  {"The key source `secret`", "elasticsearch_jwt.keys.secret", fmt.Sprintf(inSourceOf, "secret")},
	"kms":     {"The key source `kms`", "elasticsearch_jwt.keys.kms", fmt.Sprintf(inSourceOf, "kms")},
}

// adapt adapts the block with settings in it.
func (b block) adapt(settings ...string) error {
	_, err := tryAdapt(strings.Replace(b.caddyfile, "{{settings}}", strings.Join(settings, "\n"), 1))
	return err
}

// examples are values of the settings that a block cannot be without.
var examples = map[string]string{
	"issuer": "issuer https://es.example.com", "audience": "audience es", // of elasticsearch_jwt
	"key": "key key.pem", "secret": "secret {env.SECRET}", "uri": "uri softkms:path=key.pem", // of key sources
}

// companions are settings without which a value of another one is an error.
var companions = map[string]string{"crl_stale": "crl clients.crl"}

// documentedSetting is what docs/caddyfile.md says of a setting.
type documentedSetting struct {
	name, text string
	required   bool
	byDefault  string // "none", or the value
}

var (
	settingHeading = regexp.MustCompile("(?m)^#{3,4} `(\\w+)`\n\n")
	settingDefault = regexp.MustCompile("^(?:Required|Default: (none|`([^`]+)`))\\. ")
	settingChoices = regexp.MustCompile("Use one of ((?:`[^`]+`(?:, )?)+)")
	settingRange   = regexp.MustCompile("From `([^`]+)` to `([^`]+)`")
	settingMinimum = regexp.MustCompile("[Aa]t least `([^`]+)`")

	unknownSetting = regexp.MustCompile(`unknown setting .*se one of (.*), at `)
	// allowedValues is how an error names the values that a setting can have.
	allowedValues = regexp.MustCompile(`: use (?:one of )?(\w+(?:, \w+)* or \w+|\w+(?:, \w+)+)`)
)

func (p page) settings(t *testing.T) map[string]documentedSetting {
	t.Helper()
	settings := make(map[string]documentedSetting)
	headings := settingHeading.FindAllStringSubmatchIndex(p.text, -1)
	for _, heading := range headings {
		name := p.text[heading[2]:heading[3]]
		text, _, _ := strings.Cut(p.text[heading[1]:], "\n#")
		first := settingDefault.FindStringSubmatch(text)
		require.NotNil(t, first, "%s: %s does not begin with `Required.` or `Default: …`", p.title, name)
		require.NotContains(t, settings, name, p.title)
		setting := documentedSetting{name: name, text: text, required: first[1] == "", byDefault: first[1]}
		if first[2] != "" {
			setting.byDefault = first[2]
		}
		settings[name] = setting
	}
	return settings
}

// known are the settings of a block that the code has.
func (b block) known(t *testing.T) []string {
	t.Helper()
	if b.module == blocks["transport"].module {
		return membersOf(b.new(t)) // beside those of Caddy's transport, which it has embedded
	}
	err := b.adapt("?")
	require.Error(t, err)
	known := unknownSetting.FindStringSubmatch(err.Error())
	require.NotNil(t, known, err)
	return strings.Split(known[1], ", ")
}

// new is the type of the block's module.
func (b block) new(t *testing.T) reflect.Type {
	t.Helper()
	module, err := caddy.GetModule(string(b.module))
	require.NoError(t, err)
	return reflect.TypeOf(module.New()).Elem()
}

func TestTheManualHasEverySetting(t *testing.T) {
	document := readPage(t, "docs/caddyfile.md")
	for name, b := range blocks {
		t.Run(name, func(t *testing.T) {
			part := document.part(t, b.title)
			known, settings := b.known(t), part.settings(t)
			require.ElementsMatch(t, known, slices.Collect(maps.Keys(settings)))
			require.ElementsMatch(t, known, part.syntax(t, known), "the syntax")

			var required []string
			for setting, is := range settings {
				if is.required {
					require.Contains(t, examples, setting)
					required = append(required, examples[setting])
				}
			}
			require.NoError(t, b.adapt(required...), "the rest has defaults")
			for i := range required {
				require.Error(t, b.adapt(slices.Delete(slices.Clone(required), i, i+1)...), "without %s", required[i])
			}
			for _, setting := range settings {
				t.Run(setting.name, func(t *testing.T) {
					settings := slices.DeleteFunc(slices.Clone(required), func(s string) bool { return s == examples[setting.name] })
					settings = append(settings, companions[setting.name])
					setting.check(t, func(value string) error {
						return b.adapt(append(slices.Clone(settings), setting.name+" "+value)...)
					})
				})
			}
		})
	}
}

// syntax are the settings in the syntax at the beginning of a part.
func (p page) syntax(t *testing.T, known []string) []string {
	t.Helper()
	_, syntax, found := strings.Cut(p.text, "```\n")
	require.True(t, found, "%s begins with its syntax", p.title)
	syntax, _, _ = strings.Cut(syntax, "```")
	var settings []string
	for line := range strings.Lines(syntax) {
		fields := strings.Fields(line)
		first, last := fields[0], fields[len(fields)-1]
		switch {
		case first == "}", first == "{", first == "...":
		case slices.Contains(known, first):
			settings = append(settings, first)
		default:
			require.Equal(t, "{", last, "%s: %s is no setting", p.title, first)
		}
	}
	return settings
}

// check compares the values that a setting can have with those of the manual.
func (s documentedSetting) check(t *testing.T, with func(value string) error) {
	t.Helper()
	choices := settingChoices.FindStringSubmatch(s.text)
	var known []string
	if !slices.Contains([]string{"trust_pool", "keys", "credential"}, s.name) { // which name modules and sets
		known = allowed(with("nonsense"), with("1"))
	}
	require.Equal(t, known == nil, choices == nil, "the errors and the manual must both name the values: %v", known)
	if choices != nil {
		require.ElementsMatch(t, known, spans(choices[1]))
		for _, choice := range known {
			require.NoError(t, with(choice), choice)
		}
	}
	if limits := settingRange.FindStringSubmatch(s.text); limits != nil {
		require.NoError(t, with(limits[1]))
		require.NoError(t, with(limits[2]))
		require.ErrorContains(t, with(less(t, limits[1])), limits[1]+" to "+limits[2])
		require.Error(t, with(more(t, limits[2])))
	}
	if minimum := settingMinimum.FindStringSubmatch(s.text); minimum != nil {
		require.NoError(t, with(minimum[1]))
		require.Error(t, with(less(t, minimum[1])))
	}
}

// allowed are the values that the errors of bad ones name.
func allowed(errs ...error) []string {
	for _, err := range errs {
		if err == nil {
			continue
		}
		text, _, _ := strings.Cut(err.Error(), ", at Caddyfile")
		if values := allowedValues.FindStringSubmatch(text); values != nil {
			return strings.Split(strings.ReplaceAll(values[1], " or ", ", "), ", ")
		}
	}
	return nil
}

// less and more are values just beyond a limit.
func less(t *testing.T, limit string) string { return fmt.Sprint(number(t, limit)-1) + unitOf(limit) }

func more(t *testing.T, limit string) string { return fmt.Sprint(number(t, limit)+1) + unitOf(limit) }

// unitOf is the unit that number counts in.
func unitOf(value string) string {
	switch {
	case strings.HasSuffix(value, "B"):
		return "B"
	case strings.ContainsAny(value, "hms"):
		return "ns"
	default:
		return ""
	}
}

// number is a value as JSON has it: a duration in nanoseconds, a size in bytes.
func number(t *testing.T, value string) int64 {
	t.Helper()
	switch unitOf(value) {
	case "B":
		size, err := humanize.ParseBytes(value)
		require.NoError(t, err)
		return int64(size)
	case "ns":
		duration, err := caddy.ParseDuration(value)
		require.NoError(t, err)
		return int64(duration)
	default:
		n, err := strconv.ParseInt(value, 10, 64)
		require.NoError(t, err)
		return n
	}
}

// inJSON are the settings whose name in JSON is another, as the manual has them.
func inJSON(t *testing.T, document page) map[string]string {
	t.Helper()
	names := make(map[string]string)
	for _, row := range document.part(t, "In JSON").rows() {
		for _, setting := range spans(row[0]) {
			if name := spans(row[1])[0]; !strings.ContainsAny(setting+name, ` "`) {
				names[setting] = name
			}
		}
	}
	delete(names, "file") // the source
	return names
}

// TestTheManualHasEveryDefault reads the defaults from modules that have been provisioned with no more than
// what is required.
func TestTheManualHasEveryDefault(t *testing.T) {
	document := readPage(t, "docs/caddyfile.md")
	names := inJSON(t, document)
	key := writeFile(t, "key.pem", pkcs1(rsaKey()))
	configs := map[string]string{
		"elasticsearch_jwt": benchConfig,
		"file":              `{"files":["` + key + `"]}`,
		"secret":            `{"secret":"{file.` + writeFile(t, "secret", []byte(hmacSecret)) + `}"}`,
		"kms":               `{"uri":"softkms:path=` + key + `"}`,
	}
	behaviour := defaultsThatAreSeen(t)
	for name, b := range blocks {
		t.Run(name, func(t *testing.T) {
			provisioned := provisionedJSON(t, b.module, configs[name])
			var settingsInJSON []string
			for _, setting := range document.part(t, b.title).settings(t) {
				member := setting.name
				if other, ok := names[setting.name]; ok {
					member = other
				}
				settingsInJSON = append(settingsInJSON, member)
				value, there := provisioned[member]
				switch {
				case setting.required:
					require.True(t, there, setting.name)
				case setting.byDefault == "none":
					require.False(t, there, "%s: %v", setting.name, value)
				case !there:
					require.Equal(t, behaviour[name+" "+setting.name], setting.byDefault, setting.name)
				default:
					requireDefault(t, setting, value)
				}
			}
			if name == "elasticsearch_jwt" {
				settingsInJSON = append(settingsInJSON, "required_claims")
			}
			slices.Sort(settingsInJSON)
			require.ElementsMatch(t, membersOf(b.new(t)), slices.Compact(settingsInJSON))
		})
	}
}

func requireDefault(t *testing.T, setting documentedSetting, value any) {
	t.Helper()
	switch v := value.(type) {
	case string:
		require.Equal(t, v, setting.byDefault, setting.name)
	case []any:
		require.Equal(t, []any{setting.byDefault}, v, setting.name)
	case float64:
		require.Equal(t, int64(v), number(t, setting.byDefault), setting.name)
	default:
		require.Failf(t, "no way to compare", "%s: %v", setting.name, value)
	}
}

// provisionedJSON provisions a module, and returns its settings as JSON has them.
func provisionedJSON(t *testing.T, id caddy.ModuleID, config string) map[string]any {
	t.Helper()
	storage, err := json.Marshal(newMemory().view(t).config())
	require.NoError(t, err)
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		Admin:      &caddy.AdminConfig{Disabled: true},
		StorageRaw: storage,
	})
	require.NoError(t, err)
	var module any
	if id == blocks["option"].module {
		module, err = ctx.App(string(id))
	} else {
		module, err = ctx.LoadModuleByID(string(id), json.RawMessage(config))
	}
	require.NoError(t, err)
	encoded, err := json.Marshal(module)
	require.NoError(t, err)
	var settings map[string]any
	require.NoError(t, json.Unmarshal(encoded, &settings))
	return settings
}

// defaultsThatAreSeen are those that are in no configuration: they show in what a Caddy does.
func defaultsThatAreSeen(t *testing.T) map[string]string {
	t.Helper()
	a := newAdministered(t, manySources)
	seen := make(map[string]string)
	for _, set := range a.sets() {
		for _, key := range set.Keys {
			if key.State == "signing" {
				seen[set.Source+" algorithm"] = key.Algorithm
			}
		}
	}
	alice := a.clients.client("alice", "analysts")
	status, _, body := a.request(http.MethodPost, "/elasticsearch_jwt/explain", string(pemOf(alice.Certificate[0])))
	require.Equal(t, http.StatusOK, status, body)
	var explanations []explained
	require.NoError(t, json.Unmarshal([]byte(body), &explanations))
	for _, claim := range explanations[0].Claims {
		for _, setting := range []string{"principal", "groups"} {
			if from, ok := strings.CutPrefix(claim.From, setting+" "); ok {
				seen["elasticsearch_jwt "+setting] = from
			}
		}
	}
	require.Equal(t, http.StatusOK, a.get(a.httpClient(alice), "/").StatusCode)
	got := a.upstream.last(t).Header
	for name, values := range got {
		token := a.token(&http.Request{Header: got}).raw
		if strings.Contains(values[0], token) {
			seen["elasticsearch_jwt header"] = fmt.Sprintf("%s %q", name, strings.Replace(values[0], token, "{jwt}", 1))
		}
	}
	seen["elasticsearch_jwt credential"] = explanations[0].Credential.Kind
	return seen
}
