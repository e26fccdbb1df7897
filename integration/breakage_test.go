package integration

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/issuer"
)

// What makes the good case good: with any one part of it wrong, the node says no.
func TestNodeRefusesWhatIsNotMeantForIt(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		for name, broken := range map[string]struct {
			site   site
			env    []string
			reason string // in the node's log
		}{
			"another issuer": {
				site{issuer: "https://other.example.com"},
				[]string{"XDG_DATA_HOME=" + s.caddy.DataHome()},
				"claim [iss] has value [https://other.example.com]",
			},
			"an issuer with a final slash": {
				site{issuer: proxyIssuer + "/"},
				[]string{"XDG_DATA_HOME=" + s.caddy.DataHome()},
				"claim [iss] has value [" + proxyIssuer + "/]",
			},
			"another audience": {
				site{audience: "https://other.example.com:9200"},
				[]string{"XDG_DATA_HOME=" + s.caddy.DataHome()},
				"claim [aud] has value [https://other.example.com:9200]",
			},
			"a key that is not in the JWKS": {
				site{},
				nil, // a storage of its own
				"JWT [eyJ",
			},
		} {
			t.Run(name, func(t *testing.T) {
				proxy := broken.site
				proxy.port, proxy.upstream = freePort(t), s.es.URL()
				proxy.start(t, broken.env...)
				client := proxy.client(clientCA().Client("alice", "analysts").TLS)
				position := s.es.LogPosition()
				got := proxy.authenticate(t, client)
				require.Equal(t, http.StatusUnauthorized, got.status, got.body)
				require.NotEmpty(t, got.header.Get("WWW-Authenticate"), "it is the node that refuses")
				require.Contains(t, s.es.LogSince(position), broken.reason)

				client = s.site.client(clientCA().Client("alice", "analysts").TLS)
				require.Equal(t, "alice", s.site.authenticate(t, client).user(t).Username, "the others go on")
			})
		}
	})
}

// A JWKS that is down keeps a node from starting; one that breaks later keeps it
// from learning new keys, until it is back.
func TestNodeIsAsGoodAsTheJWKS(t *testing.T) {
	for _, version := range versions(*elasticsearchVersions) {
		t.Run(version, func(t *testing.T) {
			proxy := site{port: freePort(t)}
			es := newElasticsearch(t, nodeConfig(version, teleportRealmSettings(proxy.url(issuer.Path))))
			require.ErrorContains(t, es.Start(t.Context()), proxy.url(issuer.Path), "down at the start")

			proxy.upstream = es.URL()
			server := proxy.start(t)
			require.NoError(t, es.Start(t.Context()), "up at the start")
			client := proxy.client(clientCA().Client("alice", "analysts").TLS)
			require.Equal(t, "alice", proxy.authenticate(t, client).user(t).Username)

			require.NoError(t, server.Stop())
			broken := proxy
			broken.jwks = "respond " + issuer.Path + " 503"
			server = broken.start(t) // with a storage of its own, and so with other keys
			client = proxy.client(clientCA().Client("alice", "analysts").TLS)
			require.Equal(t, http.StatusUnauthorized, proxy.authenticate(t, client).status, "broken, with new keys")

			caddyfile, err := proxy.caddyfile()
			require.NoError(t, err)
			require.NoError(t, server.Reload(t.Context(), caddyfile))
			require.Equal(t, "alice", proxy.authenticate(t, client).user(t).Username, "back again")
		})
	}
}
