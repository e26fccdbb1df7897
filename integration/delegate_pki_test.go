package integration

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPKIRealmKnowsTheSameClientsBehindTheProxy: the realm gives the same user, roles and distinguished name to a
// certificate that it sees itself and to one that the proxy delegates. The proxy's own user may do nothing else.
func TestPKIRealmKnowsTheSameClientsBehindTheProxy(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		put := func(path, body string) {
			status, answer, err := s.es.Do(t.Context(), http.MethodPut, path, body)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status, string(answer))
			t.Cleanup(func() {
				_, _, err := s.es.Do(context.Background(), http.MethodDelete, path, "")
				assert.NoError(t, err)
			})
		}
		put("/_security/role/delegates", `{"cluster":["delegate_pki"]}`)
		put("/_security/user/delegate", `{"password":"correct-horse-battery","roles":["delegates"]}`)
		file := filepath.Join(t.TempDir(), "user")
		require.NoError(t, os.WriteFile(file, []byte("delegate:correct-horse-battery\n"), 0o600))
		f := &front{node: s.node, site: site{
			port: freePort(t), upstream: s.es.URL(),
			handler: "principal {cert.dn}\nname_characters any\ngroups off\ncredential delegate_pki {\nuser {file." + file + "}\n}",
		}}
		caddyfile, err := f.site.caddyfile()
		require.NoError(t, err)
		f.caddy = StartCaddy(t, tokenSettings.ReplaceAllString(caddyfile, ""))
		requireLogged(t, f.caddy, "the cluster has what `credential delegate_pki` needs")

		type who struct {
			Username string
			Roles    []string
			Type     string `json:"authentication_type"`
			Metadata struct {
				DN string `json:"pki_dn"`
			}
			Realm struct{ Name string } `json:"authentication_realm"`
		}
		whoIs := func(a answer) who {
			require.Equal(t, http.StatusOK, a.status, a.body)
			var w who
			require.NoError(t, json.Unmarshal([]byte(a.body), &w))
			return w
		}
		for name, group := range map[string]string{"alice": "analysts", "bob": "operators", "carol": "others"} {
			certificate := clientCA().Client(name, group).TLS
			direct := whoIs(send(t, directClient(certificate), http.MethodGet, s.es.URL()+"/_security/_authenticate", "", nil))
			proxied := whoIs(f.site.authenticate(t, f.site.client(certificate)))
			assert.Equal(t, pkiRealm, direct.Realm.Name)
			assert.Equal(t, "token", proxied.Type)
			proxied.Type = direct.Type
			assert.Equal(t, direct, proxied)
			assert.NotEmpty(t, proxied.Metadata.DN)
		}
		require.Equal(t, http.StatusOK, f.search(t, "alice", "analysts").status)
		require.Equal(t, http.StatusForbidden, f.search(t, "bob", "operators").status)

		bob := clientCA().Client("bob", "operators").TLS
		for name, header := range spoofs("spoofed.spoofed.spoofed") {
			client := &http.Client{Transport: f.site.http1(bob)}
			got := whoIs(send(t, client, http.MethodGet, f.site.url("/_security/_authenticate"), "", header))
			assert.Equal(t, "bob", got.Username, name)
		}

		require.Equal(t, http.StatusOK, f.site.authenticate(t, f.site.client(bob)).status)
		status, answer, err := s.es.Do(t.Context(), http.MethodDelete, "/_security/user/delegate", "")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, string(answer))
		require.Equal(t, http.StatusOK, f.site.authenticate(t, f.site.client(bob)).status, "known clients go on")
		late := f.search(t, "dave", "analysts")
		require.Equal(t, http.StatusBadGateway, late.status)
		require.Contains(t, late.body, "proxy_refused")
	})
}
