package esjwt_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/require"
)

// validateCaddyfile is `caddy validate` for a Caddyfile. It returns the plugin's warnings as well. The storage is a
// folder of the test.
func validateCaddyfile(t *testing.T, caddyfile string) (warnings []string, err error) {
	t.Helper()
	return validateWarnings(t, adapt(t, caddyfile))
}

func validateWarnings(t *testing.T, config []byte) (warnings []string, err error) {
	t.Helper()
	logs := new(logBuffer)
	logOutputs.Store(t.Name(), logs)
	defer logOutputs.Delete(t.Name())
	var parsed map[string]any
	require.NoError(t, json.Unmarshal(config, &parsed))
	parsed["admin"] = map[string]any{"disabled": true}
	parsed["storage"] = map[string]any{"module": "file_system", "root": folderOfCaddy(t)}
	parsed["logging"] = map[string]any{"logs": map[string]any{"default": map[string]any{
		"writer": map[string]any{"output": "test", "name": t.Name()}, "level": "WARN",
		"encoder": map[string]any{"format": "json"}, "include": []string{"elasticsearch_jwt"},
	}}}
	config, err = json.Marshal(parsed)
	require.NoError(t, err)
	var c caddy.Config
	require.NoError(t, caddy.StrictUnmarshalJSON(config, &c))
	err = caddy.Validate(&c)
	for line := range strings.Lines(logs.String()) {
		var entry struct {
			Msg              string
			Sites, Upstreams []string
		}
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		warnings = append(warnings, strings.TrimSpace(
			strings.Join(entry.Sites, " ")+" ["+strings.Join(entry.Upstreams, " ")+"] "+entry.Msg))
	}
	return warnings, err
}

// The parts of the Caddyfiles below.
var routeParts = strings.NewReplacer(
	"AUTH2", "elasticsearch_jwt {\nissuer https://two.example.com\naudience es\n}\n",
	"AUTH", "elasticsearch_jwt {\nissuer https://es.example.com\naudience es\n}\n",
	"OURS", "transport elasticsearch_jwt\n",
)

// siteOf is a Caddyfile with one site that has these directives.
func siteOf(directives string) string {
	return routeParts.Replace("{\nauto_https off\n}\nhttps://es.example.com {\ntls internal {\nclient_auth {\nmode request\n}\n}\n" +
		"elasticsearch_jwks\n" + directives + "\n}\n")
}

func TestAWrongRouteIsFoundWhenValidating(t *testing.T) {
	tests := map[string]struct {
		directives string
		says       []string
	}{
		"a reverse_proxy first": {
			"route {\nreverse_proxy https://es1:9200\nAUTH\n}", []string{"es.example.com", "a reverse_proxy comes before"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := validateCaddyfile(t, siteOf(test.directives))
			require.Error(t, err)
			for _, part := range test.says {
				require.ErrorContains(t, err, part)
			}
		})
	}
	w, err := validateCaddyfile(t, siteOf("AUTH\nreverse_proxy http://es1:9200"))
	t.Log(w, err)
}
