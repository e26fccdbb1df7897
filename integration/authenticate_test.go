package integration

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// forEachElasticsearch runs a test on every version, each with its stack.
func forEachElasticsearch(t *testing.T, test func(t *testing.T, s *stack)) {
	t.Helper()
	for _, version := range versions(*elasticsearchVersions) {
		t.Run(version, func(t *testing.T) { test(t, elasticsearch(t, version)) })
	}
}

func TestClientIsTheUserOfItsCertificate(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		for name, want := range map[string]struct {
			groups, roles []string
		}{
			"alice": {[]string{"analysts"}, []string{"sales_reader"}},
			"bob":   {[]string{"operators"}, []string{"cluster_watcher"}},
			"carol": {[]string{"analysts", "shippers"}, []string{"sales_reader", "sales_writer"}},
			"dave":  {nil, []string{}},
			"Zoë":   {[]string{"analysts"}, []string{"sales_reader"}},
		} {
			client := s.site.client(clientCA().Client(name, want.groups...).TLS)
			got := s.site.authenticate(t, client).user(t)
			require.Equal(t, name, got.Username)
			require.ElementsMatch(t, want.roles, got.Roles)
			require.Equal(t, teleportRealm, got.Realm.Name)
			require.Equal(t, "jwt", got.Realm.Type)
		}
	})
}

func TestIdentityIsTheSameOnEveryConnectionAndProtocol(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		certificate := clientCA().Client("alice", "analysts").TLS
		for protocol, client := range map[string]*http.Client{
			"HTTP/1.1": {Transport: s.site.http1(certificate)},
			"HTTP/2.0": s.site.client(certificate),
		} {
			for range 3 {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.site.url("/_security/_authenticate"), nil)
				require.NoError(t, err)
				response, err := client.Do(request)
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				require.Equal(t, protocol, response.Proto)
				require.Equal(t, "alice", s.site.authenticate(t, client).user(t).Username)
			}
		}
	})
}

func TestClientWithoutAGoodCertificateDoesNotReachTheNode(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		without := s.site.client()
		require.Equal(t, http.StatusUnauthorized, s.site.authenticate(t, without).status)
		jwks := send(t, without, http.MethodGet, s.site.url("/.well-known/jwks.json"), "", nil)
		require.Equal(t, http.StatusOK, jwks.status, "but the keys are for everybody")
		require.Contains(t, jwks.body, `"kid"`)
		require.NotContains(t, jwks.body, `"d"`)

		stranger := pki.NewCA("Clients CA").Client("alice", "analysts")
		client := s.site.client(stranger.TLS)
		_, err := trySend(t.Context(), client, http.MethodGet, s.site.url("/_security/_authenticate"), "", nil)
		require.Error(t, err, "a certificate of an authority that nobody trusts ends the handshake")
	})
}

func TestSearchIsForThoseWhoMay(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		alice := s.search(t, "alice", "analysts")
		require.Equal(t, http.StatusOK, alice.status, alice.body)
		require.Contains(t, alice.body, `"price":12`)

		bob := s.search(t, "bob", "operators")
		require.Equal(t, http.StatusForbidden, bob.status, bob.body)
		require.Contains(t, bob.body, "unauthorized for user [bob]")
		require.NotContains(t, bob.body, "wine")
	})
}

func TestNodeRestartsUnderTheProxy(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		client := s.site.client(clientCA().Client("alice", "analysts").TLS)
		require.Equal(t, "alice", s.site.authenticate(t, client).user(t).Username)
		require.NoError(t, s.es.Stop())
		require.Equal(t, http.StatusBadGateway, s.site.authenticate(t, client).status)
		require.NoError(t, s.es.Start(t.Context()))
		require.Equal(t, "alice", s.site.authenticate(t, client).user(t).Username)
	})
}
