package esjwt_test

import (
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
)

// withoutCertificate has a client that has none send an Authorization. It returns what the next handler
// was sent, or the reason of the refusal.
func withoutCertificate(t testing.TB, h *esjwt.Handler, authorization string) (sent, reason string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "https://"+site+"/", nil)
	r.TLS = &tls.ConnectionState{HandshakeComplete: true, ServerName: site}
	r.Header.Set("Authorization", authorization)
	err := h.ServeHTTP(httptest.NewRecorder(), r, handlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		sent = r.Header.Get("Authorization")
		return nil
	}))
	require.NotContains(t, r.Header, "Authorization", "it is for the next handler alone")
	if err == nil {
		return sent, ""
	}
	refusal, ok := asRefusal(err)
	require.True(t, ok, err)
	return "", refusal.Reason
}

// signedTokenOf is the token that a handler injects for a new client.
func signedTokenOf(t testing.TB, h *esjwt.Handler) string {
	t.Helper()
	clients := newAuthority(t, "clients authority")
	token := ""
	r := referenceRequest(clients.client("alice").Leaf, clients.cert)
	require.NoError(t, h.ServeHTTP(httptest.NewRecorder(), r,
		handlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			return nil
		})))
	require.NotEmpty(t, token)
	return token
}

// TestATokenOfThisProxyNeedsItsCertificate: where certificates are optional, one that somebody found in a
// log or a dump is not let through, however it is spelled (attack: a replayed token; the signature is all
// that a bearer can spell otherwise, and nodes decode it leniently).
func TestATokenOfThisProxyNeedsItsCertificate(t *testing.T) {
	const optional = `{"issuer":"https://es.example.com","audience":["a"],"certificate":"optional"}`
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(hmacSecret), 0o600))
	t.Setenv("ESJWT_TEST_ISSUER", "https://variable.example.com")

	guarded := newHandler(t, optional, es256)
	for name, h := range map[string]*esjwt.Handler{
		"its own":                        guarded,
		"of another site of the process": newHandler(t, `{"issuer":"https://other.example.com","audience":["a"]}`, es256),
		"of a shared secret": newHandler(t, `{"issuer":"https://other.example.com","audience":["a"]}`,
			`{"source":"secret","secret":"{file.`+secret+`}"}`),
	} {
		token := signedTokenOf(t, h)
		signed := token[:strings.LastIndexByte(token, '.')]
		signature := token[len(signed)+1:]
		for spelling, authorization := range map[string]string{
			"as it was":             "Bearer " + token,
			"under another scheme":  "ApiKey " + token,
			"with stray characters": "Bearer " + signed + "." + signature[:9] + "~" + signature[9:],
			"with padding":          "Bearer " + token + "==",
			"in the other alphabet": "Bearer " + signed + "." +
				strings.NewReplacer("-", "+", "_", "/").Replace(signature),
			"with bits that should be zero": "Bearer " + signed + "." + signature[:len(signature)-1] +
				string(withUnusedBits(signature[len(signature)-1])),
		} {
			sent, reason := withoutCertificate(t, guarded, authorization)
			require.Empty(t, sent, "%s, %s", name, spelling)
			require.Equal(t, "replayed_token", reason, "%s, %s", name, spelling)
		}
	}

	variable := newHandler(t, `{"issuer":"{env.ESJWT_TEST_ISSUER}","audience":["a"],"certificate":"optional"}`, es256)
	_, reason := withoutCertificate(t, variable, "Bearer "+
		forged(`{"alg":"RS256","kid":"pruned"}`, `{"iss":"https://variable.example.com"}`))
	require.Equal(t, "replayed_token", reason, "one in our name whose key is forgotten, or another replica's")
}

// withUnusedBits is another letter that stands for the same bits of a signature's last byte.
func withUnusedBits(letter byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, letter)|1]
}

func forged(header, payload string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(payload)) + ".c2lnbmF0dXJl"
}

// TestTokensOfOthersAreForTheClusterToJudge: what does not come from this proxy goes through.
func TestTokensOfOthersAreForTheClusterToJudge(t *testing.T) {
	h := newHandler(t, `{"issuer":"https://es.example.com","audience":["a"],"certificate":"optional"}`, es256)
	for name, authorization := range map[string]string{
		"another issuer": "Bearer " +
			forged(`{"alg":"RS256","kid":"their-key"}`, `{"iss":"https://es.example.com/"}`),
		"another issuer without a kid":  "Bearer " + forged(`{"alg":"RS256"}`, `{"iss":"https://idp.example.com"}`),
		"another issuer's secret":       "Bearer " + forged(`{"alg":"HS256"}`, `{"iss":"https://idp.example.com"}`),
		"none at all":                   "Bearer " + forged(`{"alg":"RS256"}`, `{"sub":"alice"}`),
		"an issuer that is no text":     "Bearer " + forged(`{"alg":"RS256"}`, `{"iss":["https://es.example.com"]}`),
		"no JSON":                       "Bearer " + forged(`alg`, `iss`),
		"two parts":                     "Bearer e30.e30",
		"an opaque token":               "Bearer 46ToAxZVbFVsMHZ0NWZ5TFp5VDZ2UQ==",
		"an API key":                    "ApiKey YWxpY2U6c2VjcmV0",
		"a password":                    "Basic YWxpY2U6c2VjcmV0",
		"a password with two full dots": "Basic a.b.c",
	} {
		sent, reason := withoutCertificate(t, h, authorization)
		require.Empty(t, reason, name)
		require.Equal(t, authorization, sent, name)
	}
}
