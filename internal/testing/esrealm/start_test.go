package esrealm

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestANodeDoesNotStart(t *testing.T) {
	for says, change := range map[string]func(*Realm){
		"/a":                    func(r *Realm) { r.AllowedSubjectPatterns = []string{"/a"} },
		"claim_patterns.groups": func(r *Realm) { r.ClaimPatterns.Groups = "(" },
		"has no group":          func(r *Realm) { r.ClaimPatterns.Groups = ".*" },
		"hmac_jwkset":           func(r *Realm) { r.HMACKey, r.HMACJWKSet = "", "x" },
		"none.json":             func(r *Realm) { r.PKCJWKSetPath = "none.json" },
		"must answer before":    func(r *Realm) { r.PKCJWKSetPath = "https://127.0.0.1:1/jwks.json" },
	} {
		t.Run(says, func(t *testing.T) {
			r := hmacRealm()
			change(&r)
			_, err := NewHandler(Config{Realms: []Realm{r}, ConfigDir: t.TempDir()})
			require.ErrorContains(t, err, says)
		})
	}
	_, err := NewHandler(Config{Roles: map[string]Role{"r": {RunAs: []string{"/x"}}}})
	require.ErrorContains(t, err, `pattern "/x"`)
	_, err = NewHandler(Config{RoleMappings: map[string]RoleMapping{"m": {Rules: []byte(`{"no":1}`)}}})
	require.ErrorContains(t, err, `role mapping "m"`)
}

func TestANodeStartsOnASetWithoutUsableKeys(t *testing.T) {
	for name, document := range map[string]string{
		"an empty set":          `{"keys":[]}`,
		"an empty file":         "",
		"keys for other things": `{"keys":[{"kty":"AKP"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "jwks.json"), []byte(document), 0o600))
			r := hmacRealm()
			r.HMACKey, r.PKCJWKSetPath = "", "jwks.json"
			_, err := NewHandler(Config{Realms: []Realm{r}, ConfigDir: dir})
			require.NoError(t, err)
		})
	}
}

func TestANodeStartsWithSymmetricKeysThatFitNoAlgorithm(t *testing.T) {
	for name, change := range map[string]func(*Realm){
		"a short key":                     func(r *Realm) { r.HMACKey = "short" },
		"an empty set":                    func(r *Realm) { r.HMACKey, r.HMACJWKSet = "", `{"keys":[]}` },
		"a key that no algorithm may use": func(r *Realm) { r.AllowedSignatureAlgorithms = []string{"RS256"} },
	} {
		t.Run(name, func(t *testing.T) {
			r := hmacRealm()
			change(&r)
			n := newTestNode(t, Config{Realms: []Realm{r}})
			require.Equal(t, http.StatusUnauthorized, authenticate(n, hmacToken(t, nil)).Code)
		})
	}
}

func TestDefaultsAreTheSettings(t *testing.T) {
	r := Realm{}.withDefaults()
	require.Equal(t, IDToken, r.TokenType)
	require.Equal(t, []string{"RS256"}, r.AllowedSignatureAlgorithms)
	require.Equal(t, time.Minute, r.AllowedClockSkew)
	require.Equal(t, ClientAuthenticationSharedSecret, r.ClientAuthentication.Type)
	require.Equal(t, time.Minute, r.ClientAuthentication.RotationGracePeriod)
	require.True(t, *r.PopulateUserMetadata)
	require.Zero(t, Realm{AllowedClockSkew: -1}.withDefaults().AllowedClockSkew)
}
