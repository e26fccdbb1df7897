package esjwt_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAClientReachesTheUpstreamAsTheHolderOfItsCertificate(t *testing.T) {
	s := newScene(t, "")
	a := s.get(s.httpClient(s.clients.client("alice", "analysts", "admins")), "/_search")
	require.Equal(t, http.StatusOK, a.StatusCode, a.body)

	token := s.token(s.upstream.last(t))
	require.Equal(t, "RS256", token.header.Algorithm)
	require.Equal(t, "JWT", token.header.ExtraHeaders["typ"])
	require.NotEmpty(t, token.header.KeyID)
	require.Equal(t, "https://es.example.com", token.claims["iss"])
	require.Equal(t, []any{"https://elasticsearch.example.com:9200"}, token.claims["aud"])
	require.Equal(t, "alice [admins analysts]", token.who())

	iat, exp := token.claims["iat"].(float64), token.claims["exp"].(float64)
	require.Equal(t, token.claims["nbf"], iat)
	require.Equal(t, (10*time.Minute + time.Minute).Seconds(), exp-iat,
		"a lifetime, and a minute for clocks that run ahead")
	now := float64(time.Now().Unix())
	require.LessOrEqual(t, iat, now-60)
	require.GreaterOrEqual(t, exp, now+5*60-1, "half a lifetime is left at least")
}
