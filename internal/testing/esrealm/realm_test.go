package esrealm

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

func cached(n *Node) int { return len(n.realms[0].cache.entries) }

func TestOneTokenIsVerifiedOnce(t *testing.T) {
	n := newTestNode(t, Config{Realms: []Realm{hmacRealm()}})
	token := hmacToken(t, nil)
	for range 3 {
		require.Equal(t, http.StatusOK, authenticate(n, token).Code)
		require.Equal(t, 1, cached(n))
		n.realms[0].before = nil // what is cached is not checked again
		n.realms[0].hmac = nil
	}
	require.Equal(t, http.StatusUnauthorized, authenticate(n, token+"=").Code, "another spelling is another token")
}

func TestTheCacheMayBeTurnedOff(t *testing.T) {
	r := hmacRealm()
	r.NoJWTCache = true
	n := newTestNode(t, Config{Realms: []Realm{r}})
	require.Equal(t, http.StatusOK, authenticate(n, hmacToken(t, nil)).Code)
	require.Zero(t, cached(n))
}

func TestACachedTokenExpires(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := newTestNode(t, Config{Realms: []Realm{hmacRealm()}})
		token := hmacToken(t, map[string]any{"exp": time.Now().Add(5 * time.Minute).Unix()})
		require.Equal(t, http.StatusOK, authenticate(n, token).Code)
		time.Sleep(5*time.Minute + 50*time.Second)
		require.Equal(t, http.StatusOK, authenticate(n, token).Code, "within the skew")
		time.Sleep(11 * time.Second)
		require.Equal(t, http.StatusUnauthorized, authenticate(n, token).Code)
	})
}

func TestAChangedSetFlushesTheCacheAndTheSameDocumentDoesNot(t *testing.T) {
	first, next := newSigner(t, "first"), newSigner(t, "next")
	document := keySetOf(t, first, next)
	server := newJWKSServer(t, document)
	n := newTestNode(t, Config{Realms: []Realm{urlRealm(server.Server)}})
	fill := func() {
		t.Helper()
		require.Equal(t, http.StatusOK, authenticate(n, first.token(t, nil)).Code)
		require.NotZero(t, cached(n))
	}
	pkc := n.realms[0].pkc
	fill()
	require.NoError(t, pkc.reload(t.Context()))
	require.NotZero(t, cached(n), "the same bytes")
	server.serve(document + "\n")
	require.NoError(t, pkc.reload(t.Context()))
	require.Zero(t, cached(n), "one byte more")
	fill()
	server.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	require.ErrorContains(t, pkc.reload(t.Context()), "status 500")
	require.NotZero(t, cached(n), "a failed fetch")
}

func TestRoleMappingsAddUp(t *testing.T) {
	n := newTestNode(t, Config{Realms: []Realm{hmacRealm()}, RoleMappings: map[string]RoleMapping{
		"on":  {Roles: []string{"viewer", "other"}, Rules: []byte(`{"field":{"groups":"analysts"}}`)},
		"too": {Roles: []string{"other"}, Rules: []byte(`{"field":{"username":"alice"}}`)},
		"off": {Roles: []string{"superuser"}, Rules: []byte(`{"field":{"username":"bob"}}`)},
	}})
	require.Equal(t, []string{"other", "viewer"}, userOf(t, authenticate(n, hmacToken(t, nil))).Roles)
}

func TestTheOldSecretWorksForAWhile(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := hmacRealm()
		r.ClientAuthentication = ClientAuthentication{SharedSecret: "old"}
		n := newTestNode(t, Config{Realms: []Realm{r}})
		token := hmacToken(t, nil)
		try := func(secret string) int {
			return authenticate(n, token, "ES-Client-Authentication: SharedSecret "+secret).Code
		}
		require.Equal(t, 200, try("old"))
		require.Equal(t, 401, try("new"))
		require.NoError(t, n.SetSharedSecret("jwt1", "new"))
		require.Equal(t, 200, try("new"))
		time.Sleep(59 * time.Second)
		require.Equal(t, 200, try("old"))
		time.Sleep(2 * time.Second)
		require.Equal(t, 401, try("old"), "also for a token in the cache")
		require.Equal(t, 200, try("new"))
		require.ErrorContains(t, n.SetSharedSecret("jwt2", "x"), `no jwt realm "jwt2"`)
	})
}

func TestRealmsAreAskedInTheirOrder(t *testing.T) {
	first, second := hmacRealm(), hmacRealm()
	first.Name, second.Name = "first", "second"
	first.AllowedAudiences = []string{"elsewhere"}
	n := newTestNode(t, Config{Realms: []Realm{first, second}})
	var log string
	n.config.Logf = func(format string, args ...any) { log = fmt.Sprintf(format, args...) }
	require.Equal(t, "second", userOf(t, authenticate(n, hmacToken(t, nil))).Realm.Name)
	both := hmacToken(t, map[string]any{"aud": []string{"elsewhere", testAudience}})
	require.Equal(t, "first", userOf(t, authenticate(n, both)).Realm.Name)
	require.Empty(t, log)
	token := hmacToken(t, map[string]any{"aud": "x"})
	require.Equal(t, http.StatusUnauthorized, authenticate(n, token).Code)
	require.Contains(t, log, "realm first: string claim [aud]")
	require.Contains(t, log, "realm second: string claim [aud]")
	require.NotContains(t, log, token)
}
