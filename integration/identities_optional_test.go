package integration

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Where certificates are optional, whoever has none comes with credentials that
// Elasticsearch itself knows, and whoever has one is who it says.
func TestCertificatesAreOptionalBesideOtherCredentials(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		proxy := site{handler: "certificate optional"}
		s.startSites(t, &proxy)
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(s.es.Admin.Name+":"+s.es.Admin.Password))
		credentials := map[string]struct{ authorization, user, realm string }{
			"Basic":  {basicOfTarget, "runas-target", "default_file"},
			"ApiKey": {"ApiKey " + s.apiKey(t), "admin", "_es_api_key"},
			"Bearer": {"Bearer " + s.plain.Token(t, s.plain.Claims("bob", "operators")), "bob", plainRealm},
		}
		certificate := clientCA().Client("alice", "analysts").TLS
		for scheme, own := range credentials {
			header := http.Header{"Authorization": {own.authorization}}
			ask := func(client *http.Client) answer {
				t.Helper()
				return send(t, client, http.MethodGet, proxy.url("/_security/_authenticate"), "", header)
			}
			got := ask(proxy.client()).user(t)
			require.Equal(t, own.user, got.Username, scheme)
			require.Equal(t, own.realm, got.Realm.Name, scheme)

			got = ask(proxy.client(certificate)).user(t)
			require.Equal(t, "alice", got.Username, "%s beside a certificate", scheme)
			require.Equal(t, []string{"sales_reader"}, got.Roles)
		}

		ask := func(header http.Header) answer {
			t.Helper()
			return send(t, proxy.client(), http.MethodGet, proxy.url("/_security/_authenticate"), "", header)
		}
		for name, header := range map[string]http.Header{
			"nobody":         nil,
			"another scheme": {"Authorization": {"Negotiate abc"}},
			"two users":      {"Authorization": {basic, basicOfTarget}},
		} {
			got := ask(header)
			require.Equal(t, http.StatusUnauthorized, got.status, name)
			require.Contains(t, got.body, `"reason":"no_certificate: `, "%s: it is not the node's answer", name)
		}
		wrong := ask(http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("admin:wrong"))}})
		require.Equal(t, http.StatusUnauthorized, wrong.status)
		require.Contains(t, wrong.body, "unable to authenticate user [admin]", "this is the node's answer")

		asAnother := http.Header{"Authorization": {basic}, "es-security-runas-user": {"runas-target"}}
		require.Equal(t, "admin", ask(asAnother).user(t).Username, "running as somebody else is for nobody")
	})
}
