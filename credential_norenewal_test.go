package esjwt_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAClusterThatReadsAndMakesNoTokens, as when its index of tokens is not there yet, answers 401 to good ones. The
// client is told to try again, from its first request on.
func TestAClusterThatReadsAndMakesNoTokens(t *testing.T) {
	s, n := newDelegatingScene(t)
	client := s.httpClient(s.clients.client("alice"))
	require.Equal(t, "token-1", s.get(client, "/").body)
	n.set(func() { n.starting = true })
	for range 3 {
		a := s.get(client, "/")
		require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
		require.Contains(t, a.body, "no_credential")
		require.NotEmpty(t, a.Header.Get("Retry-After"))
		require.Empty(t, a.Header.Get("Www-Authenticate"))
	}
	n.set(func() { n.starting = false })
	eventually(t, func() bool { return s.get(client, "/").StatusCode == http.StatusOK }, "it goes on")
}
