package integration

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// apiKey makes an API key of the administrator's and returns it as a client
// sends it.
func (s *stack) apiKey(t testing.TB) string {
	t.Helper()
	status, body, err := s.es.Do(t.Context(), http.MethodPost, "/_security/api_key", `{"name":"comparison"}`)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, string(body))
	var made struct{ Encoded string }
	require.NoError(t, json.Unmarshal(body, &made))
	return made.Encoded
}
