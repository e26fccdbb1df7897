package esjwt_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// withTwoKinds is a site in front of OpenSearch, with two handlers.
const withTwoKinds = `{
	admin off
	storage file_system {{storage}}
	auto_https disable_redirects
}
{{site}} {
	tls {{tls}} {
		client_auth {
			mode request
		}
	}
	handle /dashboards/* {
		elasticsearch_jwt {
			trust_pool file {{clients}}
			credential proxy_headers {
				user_header  Remote-User
				roles_header Remote-Groups
			}
		}
		reverse_proxy {{upstream}} {
			transport elasticsearch_jwt
		}
	}
	handle {
		elasticsearch_jwt {
			trust_pool file {{clients}}
			{{settings}}
		}
		reverse_proxy {{upstream}} {
			transport elasticsearch_jwt
		}
	}
}
`

// TestAHeaderThatOneHandlerSetsIsProtectedByAll: the node believes it, whichever handler the request came through.
func TestAHeaderThatOneHandlerSetsIsProtectedByAll(t *testing.T) {
	t.Setenv("ESJWT_TEST_ANALYSTS", "ApiKey analysts-key")
	t.Setenv("ESJWT_TEST_OPS", "Bearer ops-token")
	for name, settings := range map[string]string{
		"static":   staticCredential,
		"jwt":      "issuer https://es.example.com\naudience es",
		"optional": "issuer https://es.example.com\naudience es\ncertificate optional",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, withTwoKinds, "{{settings}}", settings)
			client := s.httpClient(s.clients.client("mallory", "analysts"))
			for _, header := range []string{"Remote-User", "remote_user", "Remote-Groups"} {
				require.Equal(t, http.StatusOK, s.get(client, "/_search", header, "admin").StatusCode)
				require.Empty(t, s.upstream.last(t).Header[http.CanonicalHeaderKey(header)], header)
			}
		})
	}
}
