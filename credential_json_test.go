package esjwt_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestACredentialOfNoKindIsFoundWhenValidating: without a kind it would be a token, which nobody has asked for.
func TestACredentialOfNoKindIsFoundWhenValidating(t *testing.T) {
	for raw, says := range map[string]string{
		`"api_key"`:                      "credential: it is no object",
		`["static"]`:                     "credential: it is no object",
		`{}`:                             "credential: it has no kind",
		`{"kid":"static"}`:               "credential: it has no kind",
		`{"kind":"jwt","lifetime":"1h"}`: "credential: a jwt has no settings there",
	} {
		err := validate(t, handlerJSON(
			`{"handler":"elasticsearch_jwt","issuer":"i","audience":["a"],"credential":`+raw+`}`, ""), t.TempDir())
		require.ErrorContains(t, err, says, raw)
	}
	for _, raw := range []string{`null`, `{"kind":"jwt"}`} {
		require.NoError(t, validate(t, handlerJSON(
			`{"handler":"elasticsearch_jwt","issuer":"i","audience":["a"],"credential":`+raw+`}`, ""), t.TempDir()), raw)
	}
}

// TestAHeaderOfTheCredentialCannotBeConfigured: it would take the credential's place.
func TestAHeaderOfTheCredentialCannotBeConfigured(t *testing.T) {
	t.Setenv("ESJWT_TEST_ANALYSTS", "ApiKey analysts-key")
	for header, credential := range map[string]string{
		"authorization": `{"kind":"static","groups":[{"group":"analysts","credential":"{env.ESJWT_TEST_ANALYSTS}"}]}`,
		"x-opaque-id":   `{"kind":"static","groups":[{"group":"analysts","credential":"{env.ESJWT_TEST_ANALYSTS}"}]}`,
		"X-Proxy-User":  `{"kind":"proxy_headers"}`,
	} {
		config := handlerJSON(`{"handler":"elasticsearch_jwt","credential":`+credential+
			`,"headers":{"`+header+`":"Basic YTpi"}}`, "")
		require.ErrorContains(t, validate(t, config, t.TempDir()), "the credential sets it", header)
	}
}

// TestValidatingAnAPIKeyWritesNothing: neither into the storage, nor the ID of this Caddy into its folder.
func TestValidatingAnAPIKeyWritesNothing(t *testing.T) {
	home, storage := t.TempDir(), filepath.Join(t.TempDir(), "storage")
	t.Setenv("XDG_DATA_HOME", home)
	t.Setenv("ESJWT_TEST_USER", "proxy:hunter2")
	role := writeFile(t, "role.json", []byte(`{"cluster":["monitor"]}`))
	config := handlerJSON(`{"handler":"elasticsearch_jwt","credential":{"kind":"api_key",`+
		`"cluster":["http://127.0.0.1:1"],"user":"{env.ESJWT_TEST_USER}","roles":[{"group":"a","file":"`+role+`"}]}},`+
		`{"handler":"reverse_proxy","upstreams":[{"dial":"127.0.0.1:1"}],"transport":{"protocol":"elasticsearch_jwt"}}`, "")
	require.NoError(t, validate(t, config, storage))
	found, err := os.ReadDir(home)
	require.NoError(t, err)
	require.Empty(t, found)
	require.NoDirExists(t, storage)
}
