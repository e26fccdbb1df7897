package integration

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestARequestThatANodeDoesNotUnderstandTakesNoNodeAway from other clients, where passive health checks count failures.
// OpenSearch closes the connection over a method that it does not know.
func TestARequestThatANodeDoesNotUnderstandTakesNoNodeAway(t *testing.T) {
	hurts := func(t *testing.T, proxy site, path string) {
		alice := proxy.client(clientCA().Client("alice", "analysts").TLS)
		mallory := proxy.client(clientCA().Client("mallory", "analysts").TLS)
		for range 3 {
			got := send(t, mallory, "FOO", proxy.url(path), "", nil)
			t.Log(got.status, got.body)
			require.GreaterOrEqual(t, got.status, http.StatusBadRequest)
			require.Equal(t, http.StatusOK, send(t, alice, http.MethodGet, proxy.url(path), "", nil).status)
		}
	}
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		proxy := site{proxy: "fail_duration 1m"}
		s.startSites(t, &proxy)
		hurts(t, proxy, "/_security/_authenticate")
	})
	forEachOpenSearch(t, func(t *testing.T, s *searchStack) {
		proxy := site{proxy: "fail_duration 1m"}
		s.startSites(t, &proxy)
		hurts(t, proxy, "/_plugins/_security/authinfo")
	})
}
