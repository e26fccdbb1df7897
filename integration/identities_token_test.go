package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A realm for access tokens takes those that the manual's lines make, and no
// others.
func TestRealmForAccessTokensTakesThem(t *testing.T) {
	manual := document(t, "elasticsearch.md")
	require.Contains(t, manual, accessRealmSettings)
	const settings = "token_type access_token\n\t\tprincipal_claim client_id\n\t\taudience_claim scope\n" +
		"\t\tclaim token_use access\n"
	require.Contains(t, manual, settings)

	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		proxy := site{issuer: accessIssuer, handler: settings + "jti\nconfirmation"}
		withoutTheClaim := site{issuer: accessIssuer, handler: strings.Replace(settings, "claim token_use access", "", 1)}
		anotherValue := site{issuer: accessIssuer, handler: strings.Replace(settings, "claim token_use access",
			"claim token_use id", 1)}
		s.startSites(t, &proxy, &withoutTheClaim, &anotherValue)
		alice := clientCA().Client("alice", "analysts").TLS
		got := proxy.authenticate(t, proxy.client(alice)).user(t)
		require.Equal(t, "alice", got.Username)
		require.Equal(t, accessRealm, got.Realm.Name)
		require.Equal(t, "access", got.Metadata["jwt_claim_token_use"])
		require.NotEmpty(t, got.Metadata["jwt_claim_jti"])
		require.NotContains(t, got.Metadata, "jwt_claim_cnf", "Elasticsearch leaves objects out")

		for _, refused := range []site{withoutTheClaim, anotherValue} {
			require.Equal(t, http.StatusUnauthorized, refused.authenticate(t, refused.client(alice)).status)
		}
	})
}
