package integration

import (
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/issuer"
)

// requireSameUser asks the node itself, as its PKI realm's users do, and through
// the proxy, and requires the same answer but for the realm.
func requireSameUser(t *testing.T, node string, proxy site) {
	t.Helper()
	for name, group := range map[string]string{"alice": "analysts", "bob": "operators"} {
		certificate := clientCA().Client(name, group).TLS
		direct := send(t, directClient(certificate), http.MethodGet, node+"/_security/_authenticate", "", nil).user(t)
		require.Equal(t, pkiRealm, direct.Realm.Name)

		proxied := proxy.authenticate(t, proxy.client(certificate)).user(t)
		require.Equal(t, teleportRealm, proxied.Realm.Name)
		require.Equal(t, name, proxied.Username)
		require.Equal(t, direct.Username, proxied.Username)
		require.Equal(t, direct.Roles, proxied.Roles)
	}
}

func TestPKIRealmAfterTheJWTRealmKnowsTheSameUsers(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		requireSameUser(t, s.es.URL(), s.site)

		careless := carelessProxy(t, s.es.URL())
		careless.start(t, "XDG_DATA_HOME="+s.caddy.DataHome())
		got := careless.authenticate(t, careless.client(clientCA().Client("alice", "analysts").TLS)).user(t)
		require.Equal(t, "alice", got.Username, "the token's realm comes first")
		require.Equal(t, teleportRealm, got.Realm.Name)
	})
}

// A node that sees a certificate and a token takes the one whose realm comes
// first. So a proxy that shows a certificate of its own is the user, whatever
// token it sends along, if a PKI realm comes before the JWT realm.
func TestPKIRealmBeforeTheJWTRealmKnowsTheSameUsers(t *testing.T) {
	for _, version := range versions(*elasticsearchVersions) {
		t.Run(version, func(t *testing.T) {
			proxy := site{port: freePort(t)}
			config := nodeConfig(version, teleportRealmSettings(proxy.url(issuer.Path))+pkiRealmSettings(0))
			maps.Copy(config.RoleMappings, roleMappings(pkiRealm))
			es := newElasticsearch(t, config)
			proxy.upstream = es.URL()
			server := proxy.start(t)
			require.NoError(t, es.Start(t.Context()))
			requireSameUser(t, es.URL(), proxy)

			careless := carelessProxy(t, es.URL())
			careless.start(t, "XDG_DATA_HOME="+server.DataHome())
			got := careless.authenticate(t, careless.client(clientCA().Client("alice", "analysts").TLS)).user(t)
			require.Equal(t, "the-proxy", got.Username, "which is what the documentation warns of")
			require.Equal(t, pkiRealm, got.Realm.Name)
		})
	}
}

// carelessProxy shows the node a certificate that the node's PKI realm trusts.
func carelessProxy(t *testing.T, upstream string) site {
	t.Helper()
	dir, err := certificates()
	require.NoError(t, err)
	return site{
		port: freePort(t), upstream: upstream,
		transport: "tls_client_auth " + dir + "/proxy-client.crt " + dir + "/proxy-client.key",
	}
}
