package integration

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// groupKey makes an API key with a role, and returns it as it goes into a file of credentials.
func (s *stack) groupKey(t *testing.T, name, role string) string {
	t.Helper()
	status, body, err := s.es.Do(t.Context(), http.MethodPost, "/_security/api_key",
		`{"name":"`+name+`","expiration":"7d","role_descriptors":{"r":`+role+`}}`)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, string(body))
	var made struct{ Encoded string }
	require.NoError(t, json.Unmarshal(body, &made))
	return "ApiKey " + made.Encoded
}

// TestClientHasTheAPIKeyOfItsGroup: it has the key's rights and no others, also where the key may run as others.
func TestClientHasTheAPIKeyOfItsGroup(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		file := filepath.Join(t.TempDir(), "credentials.txt")
		require.NoError(t, os.WriteFile(file, []byte(
			"operators "+s.groupKey(t, "group-operators", `{"cluster":["monitor","manage_own_api_key"],"run_as":["*"]}`)+"\n"+
				"analysts "+s.groupKey(t, "group-analysts", `{"indices":[{"names":["sales"],"privileges":["read"]}]}`)+"\n"),
			0o600))
		f := &front{node: s.node, site: site{
			port: freePort(t), upstream: s.es.URL(), handler: "credential static {\nfile " + file + "\n}",
		}}
		caddyfile, err := f.site.caddyfile()
		require.NoError(t, err)
		f.caddy = StartCaddy(t, tokenSettings.ReplaceAllString(caddyfile, ""))
		client := func(name string, groups ...string) *http.Client {
			return &http.Client{Transport: f.site.http1(clientCA().Client(name, groups...).TLS)}
		}
		keyOf := func(a answer) string {
			require.Equal(t, http.StatusOK, a.status, a.body)
			var who struct {
				Key struct{ Name string } `json:"api_key"`
			}
			require.NoError(t, json.Unmarshal([]byte(a.body), &who))
			return who.Key.Name
		}

		alice := f.site.authenticate(t, client("alice", "analysts"))
		require.Equal(t, "group-analysts", keyOf(alice))
		require.Equal(t, []string{"alice"}, alice.header["X-Opaque-Id"], "the node repeats who it was")
		wine := f.search(t, "alice", "analysts")
		require.Equal(t, http.StatusOK, wine.status, wine.body)
		require.Contains(t, wine.body, `"price":12`)
		require.Equal(t, http.StatusForbidden, f.search(t, "bob", "operators").status)
		carol := f.search(t, "carol", "others")
		require.Equal(t, http.StatusForbidden, carol.status)
		require.Contains(t, carol.body, "no_role")

		claims := spoofs("spoofed.spoofed.spoofed")
		claims["another X-Opaque-Id"] = http.Header{"X-Opaque-Id": {"somebody else"}}
		for name, header := range claims {
			bob := send(t, client("bob", "operators"), http.MethodGet, f.site.url("/_security/_authenticate"), "", header)
			require.Equal(t, "group-operators", keyOf(bob), name)
			require.Equal(t, []string{"bob"}, bob.header["X-Opaque-Id"], name)
		}
		made := send(t, client("bob", "operators"), http.MethodPost, f.site.url("/_security/api_key"),
			`{"name":"derived","role_descriptors":{"r":{"cluster":["monitor"]}}}`, nil)
		require.Equal(t, http.StatusBadRequest, made.status, made.body)
	})
}
