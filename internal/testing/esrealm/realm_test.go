package esrealm

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func hits(t testing.TB, n *Node) uint64 {
	t.Helper()
	count, err := n.CacheHits("jwt1")
	require.NoError(t, err)
	return count
}

func TestOneTokenIsVerifiedOnce(t *testing.T) {
	n := newTestNode(t, Config{Realms: []Realm{hmacRealm()}})
	token := hmacToken(t, nil)
	for i := range 3 {
		require.Equal(t, http.StatusOK, authenticate(t, n, token).status)
		require.EqualValues(t, i, hits(t, n))
	}
	require.Equal(t, http.StatusOK, authenticate(t, n, hmacToken(t, map[string]any{"jti": "another"})).status)
	require.EqualValues(t, 2, hits(t, n))
	require.Equal(t, http.StatusOK, authenticate(t, n, token+"=").status, "another spelling of the same token")
	require.EqualValues(t, 2, hits(t, n), "is another entry")
}

func TestTheCacheForgets(t *testing.T) {
	for name, c := range map[string]struct {
		cache  JWTCache
		after  time.Duration
		cached bool
	}{
		"not before its time":    {JWTCache{TTL: time.Minute}, 59 * time.Second, true},
		"after its time":         {JWTCache{TTL: time.Minute}, time.Minute, false},
		"at once, if turned off": {JWTCache{TTL: -1}, 0, false},
		"at once, without room":  {JWTCache{Size: -1}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			clock, r := newClock(), hmacRealm()
			r.JWTCache = c.cache
			n := newTestNode(t, Config{Realms: []Realm{r}, Now: clock.time})
			token := hmacToken(t, nil)
			require.Equal(t, http.StatusOK, authenticate(t, n, token).status)
			clock.advance(c.after)
			require.Equal(t, http.StatusOK, authenticate(t, n, token).status)
			require.Equal(t, c.cached, hits(t, n) == 1)
		})
	}
}

func TestTheCacheDropsWhatWasNotUsedForLongest(t *testing.T) {
	r := hmacRealm()
	r.JWTCache.Size = 2
	n := newTestNode(t, Config{Realms: []Realm{r}})
	tokens := make([]string, 3)
	for i := range tokens {
		tokens[i] = hmacToken(t, map[string]any{"jti": fmt.Sprint(i)})
	}
	for _, i := range []int{0, 1, 0, 2} { // 1 has to go
		require.Equal(t, http.StatusOK, authenticate(t, n, tokens[i]).status)
	}
	require.EqualValues(t, 1, hits(t, n))
	authenticate(t, n, tokens[0])
	authenticate(t, n, tokens[2])
	require.EqualValues(t, 3, hits(t, n))
	authenticate(t, n, tokens[1])
	require.EqualValues(t, 3, hits(t, n))
}

func TestACachedTokenExpires(t *testing.T) {
	clock := newClock()
	n := newTestNode(t, Config{Realms: []Realm{hmacRealm()}, Now: clock.time})
	token := hmacToken(t, map[string]any{"exp": clock.time().Add(5 * time.Minute).Unix()})
	require.Equal(t, http.StatusOK, authenticate(t, n, token).status)
	clock.advance(5*time.Minute + 50*time.Second)
	require.Equal(t, http.StatusOK, authenticate(t, n, token).status, "within the skew")
	clock.advance(11 * time.Second)
	require.Equal(t, http.StatusUnauthorized, authenticate(t, n, token).status)
}

func TestAChangedSetFlushesTheCacheAndTheSameDocumentDoesNot(t *testing.T) {
	first, next := newSigner(t, "first"), newSigner(t, "next")
	document := keySetOf(t, first, next)
	server := newJWKSServer(t, document)
	n := newTestNode(t, Config{Realms: []Realm{urlRealm(server.Server)}})
	token := first.token(t, nil)
	cached := func() bool {
		before := hits(t, n)
		require.Equal(t, http.StatusOK, authenticate(t, n, token).status)
		return hits(t, n) == before+1
	}
	require.False(t, cached())
	require.True(t, cached())
	require.NoError(t, n.ReloadJWKSet(t.Context(), "jwt1"))
	require.True(t, cached(), "the same bytes")
	server.serve(document + "\n")
	require.NoError(t, n.ReloadJWKSet(t.Context(), "jwt1"))
	require.False(t, cached(), "one byte more")
	server.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	require.ErrorContains(t, n.ReloadJWKSet(t.Context(), "jwt1"), "status 500")
	require.True(t, cached(), "a failed fetch")
}

func TestChangedRoleMappingsFlushTheCache(t *testing.T) {
	n := newTestNode(t, Config{Realms: []Realm{hmacRealm()}})
	token := hmacToken(t, nil)
	require.Empty(t, authenticate(t, n, token).json(t)["roles"])
	require.NoError(t, n.SetRoleMappings(map[string]RoleMapping{
		"on":  {Roles: []string{"viewer", "other"}, Rules: []byte(`{"field":{"groups":"analysts"}}`)},
		"too": {Roles: []string{"other"}, Rules: []byte(`{"field":{"username":"alice"}}`)},
		"off": {Roles: []string{"superuser"}, Rules: []byte(`{"field":{"groups":"*"}}`), Disabled: true},
	}))
	require.Equal(t, []any{"other", "viewer"}, authenticate(t, n, token).json(t)["roles"])
	require.Error(t, n.SetRoleMappings(map[string]RoleMapping{"broken": {Rules: []byte(`{"except":{}}`)}}))
	require.Equal(t, []any{"other", "viewer"}, authenticate(t, n, token).json(t)["roles"])
}

func TestTheOldSecretWorksForAWhile(t *testing.T) {
	clock, r := newClock(), hmacRealm()
	r.ClientAuthentication = ClientAuthentication{SharedSecret: "old"}
	n := newTestNode(t, Config{Realms: []Realm{r}, Now: clock.time})
	token := hmacToken(t, nil)
	try := func(secret string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL+"/_security/_authenticate", http.NoBody)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("ES-Client-Authentication", "SharedSecret "+secret)
		return send(t, n.Client(), req).status
	}
	require.Equal(t, 200, try("old"))
	require.Equal(t, 401, try("new"))
	require.NoError(t, n.SetSharedSecret("jwt1", "new"))
	require.Equal(t, 200, try("new"))
	clock.advance(59 * time.Second)
	require.Equal(t, 200, try("old"))
	clock.advance(2 * time.Second)
	require.Equal(t, 401, try("old"), "also for a token in the cache")
	require.Equal(t, 200, try("new"))
	require.ErrorContains(t, n.SetSharedSecret("jwt2", "x"), `no jwt realm "jwt2"`)
}

func TestRealmsAreAskedInTheirOrder(t *testing.T) {
	first, second := hmacRealm(), hmacRealm()
	first.Name, second.Name = "first", "second"
	first.AllowedAudiences = []string{"elsewhere"}
	n := newTestNode(t, Config{Realms: []Realm{first, second}})
	require.Equal(t, map[string]any{"name": "second", "type": "jwt"}, authenticate(t, n, hmacToken(t, nil)).json(t)["authentication_realm"])
	require.Equal(t, map[string]any{"name": "first", "type": "jwt"},
		authenticate(t, n, hmacToken(t, map[string]any{"aud": []string{"elsewhere", testAudience}})).json(t)["authentication_realm"])
	require.Equal(t, http.StatusUnauthorized, authenticate(t, n, hmacToken(t, map[string]any{"aud": "x"})).status)
	requests := n.Requests()
	require.Contains(t, requests[2].Reason, "realm first: string claim [aud]")
	require.Contains(t, requests[2].Reason, "realm second: string claim [aud]")
}
