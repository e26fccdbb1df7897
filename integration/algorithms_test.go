package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/issuer"
)

// publicAlgorithms are those that a key pair can sign with. Java is stricter about them than
// go-jose, which verifies them in the unit tests.
var publicAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}

// TestRealmTakesEveryAlgorithm: one Caddy with a key set for each algorithm, and one realm that
// allows all of them.
func TestRealmTakesEveryAlgorithm(t *testing.T) {
	for _, version := range versions(*elasticsearchVersions) {
		t.Run(version, func(t *testing.T) {
			proxy := site{port: freePort(t)}
			settings := teleportRealmSettings(proxy.url(issuer.Path)) +
				fmt.Sprintf("  allowed_signature_algorithms: [%s]\n", strings.Join(publicAlgorithms, ", "))
			es := newElasticsearch(t, nodeConfig(version, settings))

			dir, err := certificates()
			require.NoError(t, err)
			var sets, routes strings.Builder
			var names []string
			for _, algorithm := range publicAlgorithms {
				name := strings.ToLower(algorithm)
				names = append(names, name)
				fmt.Fprintf(&sets, "keys %s storage {\nalgorithm %s\n}\n", name, algorithm)
				fmt.Fprintf(&routes, `handle_path /%[1]s/* {
	elasticsearch_jwt {
		issuer   %[2]s
		audience %[3]s
		keys     %[1]s
	}
	reverse_proxy %[4]s {
		transport http {
			tls_trust_pool file %[5]s/es-ca.crt
		}
	}
}
`, name, proxyIssuer, nodeAudience, es.URL(), dir)
			}
			StartCaddy(t, fmt.Sprintf(`{
	auto_https disable_redirects
	skip_install_trust
	elasticsearch_jwt {
		%[1]s
	}
}
%[2]s:%[3]d {
	bind 127.0.0.1
	tls %[4]s/site.crt %[4]s/site.key {
		client_auth {
			mode verify_if_given
			trust_pool file %[4]s/clients-ca.crt
		}
	}
	elasticsearch_jwks {
		keys %[5]s
	}
	%[6]s
}
`, sets.String(), proxyName, proxy.port, dir, strings.Join(names, " "), routes.String()))
			require.NoError(t, es.Start(t.Context()))

			alice := proxy.client(clientCA().Client("alice", "analysts").TLS)
			for _, name := range names {
				got := send(t, alice, http.MethodGet, proxy.url("/"+name+"/_security/_authenticate"), "", nil)
				require.Equal(t, http.StatusOK, got.status, "%s: %s", name, got.body)
				require.Equal(t, "alice", got.user(t).Username, name)
			}
		})
	}
}
