package esrealm

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What stops a node with one realm from starting, as seen on 8.17.0 and 9.2.0.
// (A pattern without a group does not; there it is every token that fails.)
func TestANodeDoesNotStart(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Realm)
		says   string
	}{
		"without a name":                    {func(r *Realm) { r.Name = "" }, "needs a name"},
		"without an issuer":                 {func(r *Realm) { r.AllowedIssuer = "" }, "allowed_issuer"},
		"without an audience":               {func(r *Realm) { r.AllowedAudiences = nil }, "allowed_audiences"},
		"without a principal claim":         {func(r *Realm) { r.Claims.Principal = "" }, "claims.principal"},
		"with an unknown token type":        {func(r *Realm) { r.TokenType = "refresh_token" }, "token_type"},
		"with EdDSA":                        {func(r *Realm) { r.AllowedSignatureAlgorithms = []string{"EdDSA"} }, "allowed_signature_algorithms"},
		"with an empty subject":             {func(r *Realm) { r.AllowedSubjects = []string{""} }, "allowed_subjects"},
		"with an empty audience":            {func(r *Realm) { r.AllowedAudiences = []string{""} }, "allowed_audiences"},
		"with an empty subject pattern":     {func(r *Realm) { r.AllowedSubjectPatterns = []string{""} }, "allowed_subject_patterns"},
		"with a broken subject pattern":     {func(r *Realm) { r.AllowedSubjectPatterns = []string{"/a"} }, "allowed_subject_patterns"},
		"as access_token without subjects":  {func(r *Realm) { r.TokenType = AccessToken }, "allowed_subject_patterns"},
		"as id_token with a fallback claim": {func(r *Realm) { r.FallbackClaims.Sub = "x" }, "fallback_claims.sub"},
		"with a registered fallback claim": {func(r *Realm) {
			r.TokenType, r.AllowedSubjects, r.FallbackClaims.Aud = AccessToken, []string{"a"}, "jti"
		}, "fallback_claims.aud"},
		"with a registered required claim":     {func(r *Realm) { r.RequiredClaims = map[string][]string{"iss": {"x"}} }, "required_claims.iss"},
		"with a required claim without values": {func(r *Realm) { r.RequiredClaims = map[string][]string{"x": {}} }, "required_claims.x"},
		"with a pattern without a claim":       {func(r *Realm) { r.ClaimPatterns.DN = "(.*)" }, "claims.dn"},
		"with a broken pattern":                {func(r *Realm) { r.ClaimPatterns.Groups = "(" }, "claim_patterns.groups"},
		"with a pattern without a group":       {func(r *Realm) { r.ClaimPatterns.Groups = ".*" }, "claim_patterns.groups"},
		"without the shared secret":            {func(r *Realm) { r.ClientAuthentication.Type = "" }, "client_authentication.shared_secret"},
		"with a secret that it does not want":  {func(r *Realm) { r.ClientAuthentication.SharedSecret = "x" }, "client_authentication.shared_secret"},
		"with an unknown client type":          {func(r *Realm) { r.ClientAuthentication.Type = "tls" }, "client_authentication.type"},
		"without keys":                         {func(r *Realm) { r.HMACKey = "" }, "pkc_jwkset_path"},
		"with two kinds of symmetric keys":     {func(r *Realm) { r.HMACJWKSet = `{"keys":[]}` }, "hmac_jwkset"},
		"with a malformed symmetric key set":   {func(r *Realm) { r.HMACKey, r.HMACJWKSet = "", "x" }, "hmac_jwkset"},
		"with an http URL":                     {func(r *Realm) { r.PKCJWKSetPath = "http://localhost/jwks.json" }, "only https"},
		"with a URL without a host":            {func(r *Realm) { r.PKCJWKSetPath = "https:///jwks.json" }, "pkc_jwkset_path"},
		"with a file that is not there":        {func(r *Realm) { r.PKCJWKSetPath = "none.json" }, "none.json"},
		"with a server that is not there":      {func(r *Realm) { r.PKCJWKSetPath = "https://127.0.0.1:1/jwks.json" }, "must answer before the node starts"},
	} {
		t.Run(name, func(t *testing.T) {
			r := hmacRealm()
			c.change(&r)
			_, err := NewHandler(Config{Realms: []Realm{r}, ConfigDir: t.TempDir()})
			require.ErrorContains(t, err, c.says)
		})
	}
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
			require.Equal(t, http.StatusUnauthorized, authenticate(t, n, hmacToken(t, nil)).status)
		})
	}
}

func TestANodeRefusesItsOwnSettings(t *testing.T) {
	for says, config := range map[string]Config{
		"write all of it":          {Version: "9.2"},
		"is too old":               {Version: "7.17.0"},
		"invalid syntax":           {Version: "nine.two.zero"},
		"two realms with the name": {Realms: []Realm{hmacRealm(), hmacRealm()}},
		"reserved":                 {Roles: map[string]Role{"superuser": {}}},
		"not among those known":    {Roles: map[string]Role{"r": {Cluster: []string{"fly"}}}},
		`privilege "fly"`:          {Roles: map[string]Role{"r": {Indices: []IndexPrivileges{{Names: []string{"*"}, Privileges: []string{"fly"}}}}}},
		`pattern "/x"`:             {Roles: map[string]Role{"r": {RunAs: []string{"/x"}}}},
		`role mapping "m"`:         {RoleMappings: map[string]RoleMapping{"m": {Rules: []byte(`{}`)}}},
	} {
		_, err := NewHandler(config)
		require.ErrorContains(t, err, says)
	}
}

func TestDefaultsAreTheSettings(t *testing.T) {
	r := Realm{}.withDefaults()
	require.Equal(t, IDToken, r.TokenType)
	require.Equal(t, []string{"RS256"}, r.AllowedSignatureAlgorithms)
	require.Equal(t, time.Minute, r.AllowedClockSkew)
	require.Equal(t, ClientAuthenticationSharedSecret, r.ClientAuthentication.Type)
	require.Equal(t, time.Minute, r.ClientAuthentication.RotationGracePeriod)
	require.Equal(t, 20*time.Minute, r.JWTCache.TTL)
	require.Equal(t, 100_000, r.JWTCache.Size)
	require.Equal(t, 5*time.Second, r.HTTPTimeout)
	require.True(t, *r.PopulateUserMetadata)
	require.Zero(t, Realm{AllowedClockSkew: -1}.withDefaults().AllowedClockSkew)
}

func TestJavasRegularExpressions(t *testing.T) {
	for _, c := range []struct {
		expr, text, want string
	}{
		{"^(.*)$", "a\n", "a"},
		{"^(.*)$", "a\r\n", "a"},
		{"^(.*)$", "a\u2028", "a"},
		{"^(a+)$|(b)", "aa\n", "aa"},
		{`(a\$)`, "a$", "a$"},
		{`([$]+)`, "$$", "$$"},
		{"(.+)b", "a\rb", ""},
		{`(a)\z`, "a\n", ""},
		{"CN=(.*?)(?:,|$)", "CN=eve\n", "eve"},
		{"(?i)cn=([^,]+)", "CN=x", "x"},
	} {
		re, err := compileJava(c.expr)
		require.NoError(t, err)
		got := ""
		if m := re.FindStringSubmatch(c.text); m != nil {
			got = m[1]
		}
		require.Equal(t, c.want, got, "%s on %q", c.expr, c.text)
	}
	_, err := compileJava("(?=x)")
	require.Error(t, err, "Go has no look-ahead")
}
