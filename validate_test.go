package esjwt_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/require"
)

// validate is what `caddy validate` does with a configuration. The storage is a folder.
func validate(t *testing.T, config []byte, storage string) error {
	t.Helper()
	var parsed map[string]any
	require.NoError(t, json.Unmarshal(config, &parsed))
	parsed["admin"] = map[string]any{"disabled": true}
	parsed["storage"] = map[string]any{"module": "file_system", "root": storage}
	discard := map[string]any{"writer": map[string]any{"output": "discard"}}
	parsed["logging"] = map[string]any{"logs": map[string]any{"default": discard}}
	var c caddy.Config
	config, err := json.Marshal(parsed)
	require.NoError(t, err)
	require.NoError(t, caddy.StrictUnmarshalJSON(config, &c))
	return caddy.Validate(&c)
}

// handlerJSON is a configuration that never was a Caddyfile: one route with one handler.
func handlerJSON(handler, app string) []byte {
	if app == "" {
		app = "{}"
	}
	return fmt.Appendf(nil, `{"apps":{"elasticsearch_jwt":%s,"http":{"servers":{"s":{"listen":["127.0.0.1:0"],`+
		`"routes":[{"handle":[%s]}]}}}}}`, app, handler)
}

func TestAMisconfigurationInJSONIsFoundWhenValidating(t *testing.T) {
	const required = `"handler":"elasticsearch_jwt","issuer":"https://es.example.com",` +
		`"audience":["https://elasticsearch.example.com:9200"]`
	jwt := func(settings string) string { return "{" + required + settings + "}" }
	tests := map[string]struct {
		handler, app string
		says         []string
	}{
		"nothing":                      {`{"handler":"elasticsearch_jwt"}`, "", []string{"no issuer", "write `issuer"}},
		"no audience":                  {`{"handler":"elasticsearch_jwt","issuer":"i"}`, "", []string{"no audience"}},
		"an unknown setting":           {jwt(`,"lifetimes":1`), "", []string{"lifetimes"}},
		"a lifetime that is too short": {jwt(`,"lifetime":"1m"`), "", []string{"lifetime: use 5m to 24h, not 1m"}},
		"a negative lifetime":          {jwt(`,"lifetime":-1`), "", []string{"lifetime: use 5m to 24h"}},
		"an unknown token type": {
			jwt(`,"token_type":"jwt"`), "", []string{"token_type", "id_token or access_token"},
		},
		"an unknown key set": {
			jwt(`,"keys":"inner"`), `{"keys":{"outer":{"source":"storage"}}}`,
			[]string{`keys: there is no key set "inner"`, "`keys inner storage`", "use one of outer, default"},
		},
		"a static principal": {
			jwt(`,"principal":"bob"`), "", []string{"principal", "everybody would be the same user"},
		},
		"a principal from the request": {
			jwt(`,"principal":"{http.request.header.X-User}"`), "",
			[]string{"principal: {http.request.header.X-User} comes from the request"},
		},
		"an empty group":      {jwt(`,"groups":[""]`), "", []string{"groups: a value is empty"}},
		"no groups, and some": {jwt(`,"groups":["off","{cert.ou}"]`), "", []string{"groups: `off` stands alone"}},
		"a list of another protocol": {
			jwt(`,"crl":["ftp://pki.example.com/a.crl"]`), "",
			[]string{"crl: revocation lists are fetched over http or https, not ftp"},
		},
		"a list of no server": {jwt(`,"crl":["https://"]`), "", []string{"crl: the URL has no host"}},
		"headers that differ by case": {
			jwt(`,"headers":{"X-A":"{jwt}","x-a":"{cert.cn}"}`), "", []string{"header X-A: it is there twice"},
		},
		"the token in no header": {
			jwt(`,"headers":{"authorization":"Basic x"}`), "", []string{"header Authorization: no header has {jwt} in it"},
		},
		"a claim that is an object": {
			jwt(`,"claims":{"a":{"b":1}}`), "", []string{"claim a", "Elasticsearch takes no objects"},
		},
		"a claim that is null":         {jwt(`,"claims":{"a":null}`), "", []string{"claim a", "use a string"}},
		"a claim with a list of lists": {jwt(`,"claims":{"a":[["b"]]}`), "", []string{"claim a", "a list of strings"}},
		"a claim with an empty list":   {jwt(`,"claims":{"a":[]}`), "", []string{"claim a: no value"}},
		"a secret in the clear": {
			jwt(`,"shared_secret":"hunter2hunter2"`), "", []string{"shared_secret: a secret in the configuration"},
		},
		"a secret of the request": {
			jwt(`,"shared_secret":"{http.request.uri.path.file.es_client_auth}"`), "",
			[]string{"shared_secret", "{file./run/secrets/es_client_auth}"},
		},
		"a trust pool of unknown source": {
			jwt(`,"trust_pool":{"provider":"files"}`), "", []string{"trust_pool", "tls.ca_pool.source.files"},
		},

		"a JWKS of an unknown set": {
			`{"handler":"elasticsearch_jwks","keys":["inner"]}`, "", []string{`keys: there is no key set "inner"`},
		},
		"a JWKS of one set twice": {
			`{"handler":"elasticsearch_jwks","keys":["default","default"]}`, "", []string{"keys: default is there twice"},
		},
		"a JWKS path that is none": {`{"handler":"elasticsearch_jwks","path":"jwks"}`, "", []string{`path: "jwks"`}},
		"a JWKS that is never fresh": {
			`{"handler":"elasticsearch_jwks","max_age":-1}`, "", []string{"max_age", "use 1s to 24h"},
		},

		"a negative cache size": {jwt(""), `{"cache_size":-1}`, []string{"cache_size -1", "positive"}},
		"a cache of keys that rotate": {
			`{"handler":"elasticsearch_jwks","keys":["a"],"max_age":"1h"}`,
			`{"keys":{"a":{"source":"storage","rotate_every":"1h"}}}`,
			[]string{
				"max_age: 1h is too long for the key set a",
				"rotate_every 1h", "after 1h2m", "a shorter max_age, or a longer rotate_every",
			},
		},
		"a key set without a source": {jwt(""), `{"keys":{"a":{}}}`, []string{"key a", "source"}},
		"a key set of no source": {
			jwt(""), `{"keys":{"a":{"source":"vault"}}}`, []string{"key a", "elasticsearch_jwt.keys.vault"},
		},
		"a key set name that is none": {
			jwt(""), `{"keys":{"../acme":{"source":"storage"}}}`, []string{`key set "../acme"`, "lowercase letter"},
		},
		"an unknown algorithm": {
			jwt(""), `{"keys":{"a":{"source":"storage","algorithm":"EdDSA"}}}`,
			[]string{"key a", `algorithm: unknown algorithm "EdDSA"`},
		},
		"an RSA key too small": {
			jwt(""), `{"keys":{"a":{"source":"storage","key_size":1024}}}`, []string{"key_size: use 2048"},
		},
		"the size of a curve": {
			jwt(""), `{"keys":{"a":{"source":"storage","algorithm":"ES256","key_size":256}}}`,
			[]string{"key_size", "leave it out"},
		},
		"a rotation too frequent": {
			jwt(""), `{"keys":{"a":{"source":"storage","rotate_every":"1m"}}}`, []string{"rotate_every: use at least 1h"},
		},
		"a negative rotation": {
			jwt(""), `{"keys":{"a":{"source":"storage","rotate_every":-5}}}`, []string{"rotate_every: use at least 1h"},
		},
		"a negative retirement": {
			jwt(""), `{"keys":{"a":{"source":"storage","retire_after":-5}}}`, []string{"retire_after", "negative"},
		},
		"a file set without a file": {jwt(""), `{"keys":{"a":{"source":"file"}}}`, []string{"key a", "no key file"}},
		"a file set with an HMAC": {
			jwt(""), `{"keys":{"a":{"source":"file","algorithm":"HS256","files":["x.pem"]}}}`,
			[]string{`algorithm: unknown algorithm "HS256"`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			storage := t.TempDir()
			err := validate(t, handlerJSON(test.handler, test.app), storage)
			require.Error(t, err)
			for _, part := range test.says {
				require.ErrorContains(t, err, part)
			}
			require.NotContains(t, err.Error(), "hunter2", "a secret in an error")
			requireNoKeysIn(t, storage)
		})
	}
}

func TestWhatTheMachineLacksIsFoundWhenValidating(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	missing := filepath.Join(dir, "missing")
	t.Setenv("ESJWT_EMPTY", "")
	t.Setenv("ESJWT_BELL", "a\ab")
	t.Setenv("ESJWT_GROUP", "cn=a,ou=b")

	tests := map[string]struct {
		caddyfile string
		says      []string
	}{
		"a variable that is not set": {
			handlerBlock("audience {env.ESJWT_NO_SUCH_VARIABLE}"),
			[]string{"audience", "{env.ESJWT_NO_SUCH_VARIABLE}", "set the variable"},
		},
		"a variable that is empty": {
			handlerBlock("audience {env.ESJWT_EMPTY}"), []string{"audience", "{env.ESJWT_EMPTY}"},
		},
		"a variable with a bell in it": {
			handlerBlock("audience {env.ESJWT_BELL}"), []string{"audience", "control characters"},
		},
		"a variable that looks like a DN": {
			handlerBlock("groups {env.ESJWT_GROUP}"), []string{"groups", "looks like a distinguished name"},
		},
		"a file that is not there": {
			handlerBlock("audience {file." + missing + "}"), []string{"audience", missing, "make the file readable"},
		},
		"a secret that is not there": {
			handlerBlock("shared_secret {file." + missing + "}"),
			[]string{"shared_secret", missing, "name a file that Caddy can read"},
		},
		"a secret that is a folder": {
			handlerBlock("shared_secret {file." + dir + "}"), []string{"shared_secret", "it is a folder"},
		},
		"a template that is a folder": {
			handlerBlock("audience {file." + dir + "}"), []string{"audience", dir, "it is a folder"},
		},
		"a secret that is empty": {
			handlerBlock("shared_secret {file." + file("empty", "\n") + "}"),
			[]string{"shared_secret", filepath.Join(dir, "empty")},
		},
		"a secret of two words": {
			handlerBlock("shared_secret {file." + file("words", "hunter2 hunter2\n") + "}"),
			[]string{"shared_secret", filepath.Join(dir, "words"), "printable ASCII without spaces"},
		},
		"a secret that is binary": {
			handlerBlock("shared_secret {file." + file("binary", "hunter2\x00") + "}"),
			[]string{"shared_secret", "printable ASCII without spaces"},
		},
		"a trust pool that is not there": {handlerBlock("trust_pool file " + missing), []string{"trust_pool", missing}},
		"a trust pool that is no PEM": {
			handlerBlock("trust_pool file " + file("nopem", "hello")), []string{"trust_pool"},
		},
		"a key file that is not there": {
			keysBlock("keys a file " + missing), []string{"key a", "key file", missing, "Caddy can read"},
		},
		"a key file that is no key": {
			keysBlock("keys a file " + file("nokey", "hunter2")),
			[]string{"key a", "nokey", "it holds no private key", "PKCS#8"},
		},
		"a key file in a missing variable": {
			keysBlock("keys a file {env.ESJWT_NO_SUCH_VARIABLE}/a.pem"),
			[]string{"key a", "{env.ESJWT_NO_SUCH_VARIABLE}/a.pem", "set the variable"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config := adapt(t, test.caddyfile) // the machine that adapts need not be the one that runs
			err := validate(t, config, t.TempDir())
			require.Error(t, err)
			for _, part := range test.says {
				require.ErrorContains(t, err, part)
			}
			require.NotContains(t, err.Error(), "hunter2", "a secret in an error")
		})
	}
}

func TestValidatingWritesNothing(t *testing.T) {
	storage := filepath.Join(t.TempDir(), "storage")
	config := handlerJSON(`{"handler":"elasticsearch_jwks","keys":["default","other"]},{"handler":"elasticsearch_jwt",`+
		`"issuer":"i","audience":["a"]}`,
		`{"keys":{"other":{"source":"storage","algorithm":"ES256"}}}`)
	require.NoError(t, validate(t, config, storage))
	requireNoKeysIn(t, storage)
}

// requireNoKeysIn checks that the module left nothing in a storage.
func requireNoKeysIn(t *testing.T, storage string) {
	t.Helper()
	require.NoDirExists(t, filepath.Join(storage, "elasticsearch_jwt"))
	require.NoDirExists(t, filepath.Join(storage, "locks"))
}
