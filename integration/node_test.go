package integration

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What the plugin relies on, shown with a plain issuer in its place: a realm like
// that of Teleport's guide takes tokens of this shape and no others, and fetches
// the JWKS when it meets a key that it does not know.
func TestRealmOfTheGuideTakesTokensOfAPlainIssuer(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		ask := func(token string) answer {
			t.Helper()
			return send(t, directClient(), http.MethodGet, s.es.URL()+"/_security/_authenticate", "", bearer(token))
		}
		good := s.plain.Claims("alice", "analysts")
		alice := ask(s.plain.Token(t, good)).user(t)
		require.Equal(t, "alice", alice.Username)
		require.Equal(t, []string{"sales_reader"}, alice.Roles)
		require.Equal(t, plainRealm, alice.Realm.Name)

		for _, broken := range []struct {
			claim  string
			value  any
			reason string
		}{
			{"iss", plainIssuer + "/", "claim [iss] has value"},
			{"aud", []string{"https://elsewhere.example.com:9200"}, "claim [aud] has value"},
			{"exp", nil, "missing required date claim [exp]"},
			{"exp", time.Now().Add(-2 * time.Minute).Unix(), "date claim [exp] value"},
			{"sub", "", "no principal"},
		} {
			position := s.es.LogPosition()
			got := ask(s.plain.Token(t, good.With(broken.claim, broken.value)))
			require.Equal(t, http.StatusUnauthorized, got.status, "%s: %v", broken.claim, broken.value)
			require.Contains(t, s.es.LogSince(position), broken.reason)
		}

		old := s.plain.Token(t, good)
		fetches := s.plain.Fetches()
		require.NoError(t, s.plain.Rotate())
		require.Equal(t, "alice", ask(old).user(t).Username, "the node still knows the key of before")
		require.Equal(t, fetches, s.plain.Fetches())
		require.Equal(t, "alice", ask(s.plain.Token(t, good)).user(t).Username, "and fetches the new one")
		require.Equal(t, fetches+1, s.plain.Fetches())
		require.Equal(t, http.StatusUnauthorized, ask(old).status, "which replaced the old one")
	})
}
