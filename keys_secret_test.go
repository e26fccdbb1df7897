package esjwt_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// hmacSecret is long enough for every algorithm, and not what any error may show.
const hmacSecret = "hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2-ü"

// secretKeys is a replica whose default set is a shared secret in a file. Its JWKS shows
// another set.
func secretKeys(t testing.TB, file, settings string) replicaConfig {
	t.Helper()
	return replicaConfig{
		storage: newMemory().view(t).config(),
		keys: map[string]string{
			"default":   `{"source":"secret","secret":"{file.` + file + `}"` + settings + `}`,
			"published": es256,
		},
		jwks: `"keys":["published"]`,
	}
}

// verifiedWith checks that alice's token is signed with a secret, and returns it.
func (r *replica) verifiedWith(secret []byte, alg jose.SignatureAlgorithm) string {
	r.t.Helper()
	token, err := r.authorization()
	require.NoError(r.t, err)
	jws, err := jose.ParseSignedCompact(strings.TrimPrefix(token, "Bearer "), []jose.SignatureAlgorithm{alg})
	require.NoError(r.t, err)
	_, err = jws.Verify(secret)
	require.NoError(r.t, err)
	return token
}

func TestASecretSignsWithItsBytes(t *testing.T) {
	random := []byte(strings.Repeat("\x00\xff\n", 22)) // what no text can be
	encoded := base64.RawURLEncoding.EncodeToString(random)
	for name, c := range map[string]struct {
		content, settings string
		secret            []byte
		algorithm         jose.SignatureAlgorithm
	}{
		"as hmac_key has it":          {hmacSecret, ``, []byte(hmacSecret), jose.HS256},
		"HS384":                       {hmacSecret, `,"algorithm":"HS384"`, []byte(hmacSecret), jose.HS384},
		"HS512":                       {hmacSecret, `,"algorithm":"HS512"`, []byte(hmacSecret), jose.HS512},
		"without an editor's newline": {hmacSecret + "\r\n", ``, []byte(hmacSecret), jose.HS256},
		"without several newlines":    {hmacSecret + "\n\n\n", ``, []byte(hmacSecret), jose.HS256},
		"as the advice makes it": {
			strings.Repeat("0123456789abcdef", 8) + "\n", `,"algorithm":"HS512"`, []byte(strings.Repeat("0123456789abcdef", 8)),
			jose.HS512,
		},
		"with its spaces":       {" " + hmacSecret + " \n", ``, []byte(" " + hmacSecret + " "), jose.HS256},
		"as hmac_jwkset has it": {encoded, `,"encoding":"base64url"`, random, jose.HS256},
		"base64url with padding": {
			base64.URLEncoding.EncodeToString(random[:64]) + "\n", `,"encoding":"base64url","algorithm":"HS512"`, random[:64],
			jose.HS512,
		},
		"text that could be base64url": {encoded, `,"encoding":"text"`, []byte(encoded), jose.HS256},
	} {
		t.Run(name, func(t *testing.T) {
			r := startReplica(t, secretKeys(t, writeFile(t, "secret", []byte(c.content)), c.settings))
			r.verifiedWith(c.secret, c.algorithm)
		})
	}
}

// An HMAC token has no kid: the thumbprint of a secret would let whoever holds a token test
// guesses of it.
func TestASecretLeavesNoTraceButItsSignature(t *testing.T) {
	r := startReplica(t, secretKeys(t, writeFile(t, "secret", []byte(hmacSecret)), ""))
	token := r.verifiedWith([]byte(hmacSecret), jose.HS256)
	require.JSONEq(t, `{"alg":"HS256","typ":"JWT"}`, headerOf(t, token))

	thumbprint := sha256.Sum256([]byte(`{"k":"` + base64.RawURLEncoding.EncodeToString([]byte(hmacSecret)) +
		`","kty":"oct"}`))
	eventually(t, func() bool { _, err := r.ask(http.MethodGet, jwksPath); return err == nil },
		"the other set is published")
	for _, text := range []string{r.logs.String(), r.document()} {
		require.NotContains(t, text, hmacSecret)
		require.NotContains(t, text, base64.RawURLEncoding.EncodeToString([]byte(hmacSecret)))
		require.NotContains(t, text, base64.RawURLEncoding.EncodeToString(thumbprint[:]))
	}
}

// headerOf is the protected header of a token, as it stands.
func headerOf(t testing.TB, authorization string) string {
	t.Helper()
	encoded, _, _ := strings.Cut(strings.TrimPrefix(authorization, "Bearer "), ".")
	header, err := base64.RawURLEncoding.DecodeString(encoded)
	require.NoError(t, err)
	return string(header)
}

// publicDER is a public key as some show it in one line, in base64.
func publicDER(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&rsaKey().PublicKey)
	require.NoError(t, err)
	return der
}

// TestASecretThatElasticsearchWouldNotTakeIsFoundWhenValidating, and so is one that everybody knows: a
// public key (attack: algorithm confusion, CVE-2016-10555 and CVE-2024-37568).
func TestASecretThatElasticsearchWouldNotTakeIsFoundWhenValidating(t *testing.T) {
	file := func(content string) string { return "{file." + writeFile(t, "secret", []byte(content)) + "}" }
	for name, c := range map[string]struct {
		settings  string
		complaint string
	}{
		"31 bytes for HS256": {`,"secret":"` + file(hmacSecret[:31]) + `"`, "has 31 bytes, but HS256 needs at least 32"},
		"47 bytes for HS384": {
			`,"algorithm":"HS384","secret":"` + file(hmacSecret[:47]) + `"`, "has 47 bytes, but HS384 needs at least 48",
		},
		"63 bytes for HS512": {
			`,"algorithm":"HS512","secret":"` + file(hmacSecret[:63]) + `"`, "has 63 bytes, but HS512 needs at least 64",
		},
		"31 bytes and a newline": {`,"secret":"` + file(hmacSecret[:31]+"\n") + `"`, "has 31 bytes"},
		"short once decoded":     {`,"encoding":"base64url","secret":"` + file(hmacSecret[:40]) + `"`, "has 30 bytes"},
		"no base64url": {
			`,"encoding":"base64url","secret":"` + file(hmacSecret) + `"`,
			"it is not base64url (RFC 4648 section 5): write `encoding text`",
		},
		"base64 as it is used nowhere": {
			`,"encoding":"base64url","secret":"` + file(strings.Repeat("+/", 32)) + `"`, "it is not base64url",
		},
		"an empty file":         {`,"secret":"` + file("") + `"`, "secret: "},
		"no such file":          {`,"secret":"{file./no/such/secret}"`, "/no/such/secret"},
		"no such variable":      {`,"secret":"{env.ESJWT_NO_SUCH_SECRET}"`, "ESJWT_NO_SUCH_SECRET"},
		"a secret in the clear": {`,"secret":"` + hmacSecret + `"`, "secret: a secret in the configuration"},
		"none":                  {``, "secret: it is missing"},
		"an algorithm of key pairs": {
			`,"algorithm":"RS256","secret":"` + file(hmacSecret) + `"`, "use one of HS256, HS384, HS512",
		},
		"two lines": {
			`,"secret":"` + file(base64.StdEncoding.EncodeToString([]byte(hmacSecret))[:64]+"\nKXOuy5T3b5rZ1MfiYBf20w==\n") +
				`"`, "it has several lines, and Elasticsearch's keystore keeps the first alone: make another, for instance with " +
				"`openssl rand -hex 64`",
		},
		"two lines from Windows": {
			`,"secret":"` + file(hmacSecret+"\r\n"+hmacSecret+"\r\n") + `"`, "it has several lines",
		},
		"two lines of base64url": {
			`,"encoding":"base64url","secret":"` + file(strings.Repeat("YWJj", 16)+"\n"+strings.Repeat("YWJj", 16)) + `"`,
			"it has several lines",
		},
		"bytes of no text":  {`,"secret":"` + file(hmacSecret+"\xff") + `"`, "it is not text in UTF-8"},
		"UTF-16":            {`,"secret":"` + file(string(utf16LE([]byte(hmacSecret)))) + `"`, "it is UTF-16"},
		"a byte order mark": {`,"secret":"` + file("\ufeff"+hmacSecret) + `"`, "it begins with a byte order mark"},
		"the advice for a short one": {
			`,"secret":"` + file("hunter2") + `"`, "make a longer one, for instance with `openssl rand -hex 64`",
		},
		"a JWKS": {
			`,"secret":"` + file(`{"keys":[{"kty":"EC","crv":"P-256","x":"hunter2","y":"hunter2"}]}`) + `"`,
			"it is a key or a set of keys",
		},
		"a JWK": {
			`,"secret":"` + file(` {"kty": "RSA", "n": "hunter2hunter2hunter2", "e": "AQAB"}`) + `"`,
			"it is a key or a set of keys",
		},
		"a public key of one line": {
			`,"secret":"` + file(base64.StdEncoding.EncodeToString(publicDER(t))) + `"`, "it is a key or a set of keys",
		},
		"a public key as base64url": {
			`,"encoding":"base64url","secret":"` + file(base64.URLEncoding.EncodeToString(publicDER(t))) + `"`,
			"it is a key or a set of keys",
		},
		"a PEM of one line": {
			`,"secret":"` + file("-----BEGIN PUBLIC KEY-----"+base64.StdEncoding.EncodeToString(publicDER(t))+
				"-----END PUBLIC KEY-----") + `"`, "it is a key or a set of keys",
		},
		"an unknown encoding": {
			`,"encoding":"hex","secret":"` + file(hmacSecret) + `"`, "use text or base64url, not \"hex\"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tryReplica(t, replicaConfig{keys: map[string]string{"default": `{"source":"secret"` + c.settings + `}`}})
			require.ErrorContains(t, err, c.complaint)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestASecretIsNeverPublished(t *testing.T) {
	c := secretKeys(t, writeFile(t, "secret", []byte(hmacSecret)), "")
	for _, sets := range []string{`"keys":["default"]`, `"keys":["published","default"]`} {
		c.jwks = sets
		_, err := tryReplica(t, c)
		require.ErrorContains(t, err, "the key set default is a shared secret, which is never published")
		require.ErrorContains(t, err, "elasticsearch-keystore add xpack.security.authc.realms.jwt.<realm>.hmac_key")
	}
}

// TestAChangedSecretIsNoticedWithoutAReload: Elasticsearch reads its own only when it starts, so
// whoever changes one does so on purpose, and at once.
func TestAChangedSecretIsNoticedWithoutAReload(t *testing.T) {
	file := writeFile(t, "secret", []byte(hmacSecret))
	bubble.Test(t, func(t *testing.T) {
		r := startReplica(t, secretKeys(t, file, ""))
		r.verifiedWith([]byte(hmacSecret), jose.HS256)

		require.NoError(t, os.WriteFile(file, []byte("another "+hmacSecret), 0o600))
		time.Sleep(time.Minute)
		synctest.Wait()
		r.verifiedWith([]byte("another "+hmacSecret), jose.HS256)
	})
}

func TestABrokenSecretKeepsTheOldOne(t *testing.T) {
	for name, breakIt := range map[string]func(file string) error{
		"too short": func(file string) error { return os.WriteFile(file, []byte("hunter2"), 0o600) },
		"empty":     func(file string) error { return os.WriteFile(file, nil, 0o600) },
		"removed":   os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "secret", []byte(hmacSecret))
			bubble.Test(t, func(t *testing.T) {
				r := startReplica(t, secretKeys(t, file, ""))
				r.verifiedWith([]byte(hmacSecret), jose.HS256)
				require.NoError(t, breakIt(file))
				time.Sleep(time.Hour)
				synctest.Wait()
				r.verifiedWith([]byte(hmacSecret), jose.HS256)
				require.Contains(t, r.logs.String(), "the signing keys could not be brought up to date; those at hand go on")
				require.NotContains(t, r.logs.String(), "hunter2")

				require.NoError(t, os.WriteFile(file, []byte("new "+hmacSecret), 0o600))
				time.Sleep(time.Minute)
				synctest.Wait()
				r.verifiedWith([]byte("new "+hmacSecret), jose.HS256)
			})
		})
	}
}

// TestTheSecretOfACaddyfileStaysInItsFile, whole way through a real Caddy.
func TestTheSecretOfACaddyfileStaysInItsFile(t *testing.T) {
	file := writeFile(t, "secret", []byte(hmacSecret+"\n"))
	admin := freeAddress(t)
	s := newSceneOf(t, strings.Replace(strings.Replace(minimal,
		"admin off", "admin "+admin+"\nelasticsearch_jwt {\nkeys shared secret {\nalgorithm HS512\nsecret {file."+file+
			"}\n}\n}", 1),
		"{{settings}}", "keys shared", 1))
	a := s.get(s.httpClient(s.clients.client("alice", "analysts")), "/_search")
	require.Equal(t, http.StatusOK, a.StatusCode, a.body)
	token := s.upstream.last(t).Header.Get("Authorization")
	jws, err := jose.ParseSignedCompact(strings.TrimPrefix(token, "Bearer "), []jose.SignatureAlgorithm{jose.HS512})
	require.NoError(t, err)
	_, err = jws.Verify([]byte(hmacSecret))
	require.NoError(t, err)

	for _, path := range []string{"/config/", "/elasticsearch_jwt/keys"} {
		res, err := http.Get("http://" + admin + path)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.NotContains(t, readBody(t, res), "hunter2")
	}
	require.NotContains(t, s.logs.String(), "hunter2")
}
