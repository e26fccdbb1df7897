package esjwt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
)

func FuzzDecodeStoredKey(f *testing.F) {
	for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.RS256, jose.PS512} {
		private := fuzzKey(f, alg)
		key, err := keys.NewKey(alg, private)
		require.NoError(f, err)
		object, err := encodeStoredKey(storedKey{Timed: keys.Timed{
			Key: key, Turn: 3, Created: instant(0), SignsFrom: instant(time.Hour), Appears: instant(time.Minute), Replaces: "another third", ReplacesFrom: instant(0), Grace: time.Hour,
		}, hindsight: hindsight{
			Knows: []string{"another", "third"}, Unread: map[string]int{"lost": 2},
			Revocations: []keyRevocation{{By: "third", Turn: 1, Created: instant(0), Replaces: []string{keys.ReplacesAll}}},
		}}, private)
		require.NoError(f, err)
		f.Add(object)
		f.Add(bytes.ReplaceAll(object, []byte(`"version": 2`), []byte(`"version": 3`)))
		f.Add(bytes.ReplaceAll(object, []byte(`"grace_seconds": 3600`), []byte(`"grace_seconds": 9223372036854775807`)))
		f.Add(bytes.ReplaceAll(object, []byte(`"turn": 3`), []byte(`"turn": 9223372036854775807`)))
		f.Add(object[:len(object)-1])
	}
	f.Add([]byte(`{"version":2,"key":{"kty":"oct","k":"AAAA"}}`))
	f.Add([]byte(`null`))

	f.Fuzz(func(t *testing.T, object []byte) {
		record, err := decodeStoredKey(object)
		if err != nil {
			requireNoSecretOf(t, object, err)
			object = reseal(object) // what the checksum keeps out otherwise
			if record, err = decodeStoredKey(object); err != nil {
				requireNoSecretOf(t, object, err)
				return
			}
		}
		require.Positive(t, record.Turn)
		require.Positive(t, record.Turn+1)
		require.GreaterOrEqual(t, record.Grace, time.Duration(0))
		require.False(t, record.Created.IsZero())
		require.True(t, record.ReplacesFrom.IsZero() || !record.Appears.Before(record.ReplacesFrom), "what it replaces would leave the JWKS while it signs")
		require.True(t, record.Public.IsPublic(), "the JWKS would show the private key")
		thumbprint, err := record.Public.Thumbprint(crypto.SHA256)
		require.NoError(t, err)
		require.Equal(t, base64.RawURLEncoding.EncodeToString(thumbprint), record.ID)
		require.NoError(t, record.Check())
	})
}

func FuzzDecodePromotion(f *testing.F) {
	object, err := encodePromotion(storedPromotion{KeyID: "a", At: instant(0)})
	require.NoError(f, err)
	f.Add("a", object)
	f.Add("b", object)
	f.Add("a", object[:len(object)/2])
	f.Fuzz(func(t *testing.T, kid string, object []byte) {
		promotion, err := decodePromotion(kid, reseal(object))
		if err != nil {
			return
		}
		require.Equal(t, kid, promotion.KeyID)
		require.False(t, promotion.At.IsZero())
	})
}

func FuzzDecodeRevocation(f *testing.F) {
	for _, v := range []keyRevocation{
		{By: "a", Turn: 3, Created: instant(0), Appears: instant(time.Hour), Replaces: []string{"b", "c"}, ReplacesFrom: instant(time.Minute)},
		{By: "a", Turn: 12, Created: instant(0), Replaces: []string{keys.ReplacesAll}},
	} {
		object, err := encodeRevocation(v)
		require.NoError(f, err)
		f.Add("a", object)
		f.Add("b", object)
		f.Add("a", object[:len(object)/2])
	}
	f.Fuzz(func(t *testing.T, kid string, object []byte) {
		v, err := decodeRevocation(kid, reseal(object))
		if err != nil {
			return
		}
		require.Equal(t, kid, v.By)
		require.Positive(t, v.Turn+1)
		require.NotEmpty(t, v.Replaces)
		require.False(t, keyset.Replaces(v.record(), v.record()), "it revokes itself")
	})
}

// reseal gives a stored object the checksum of what it says, if it is one at all.
func reseal(object []byte) []byte {
	var members map[string]json.RawMessage
	sum, err := checksum(object)
	if err != nil || json.Unmarshal(object, &members) != nil || members == nil {
		return object
	}
	members["sha256"] = json.RawMessage(strconv.Quote(sum))
	resealed, err := json.Marshal(members)
	if err != nil {
		return object
	}
	return resealed
}

func FuzzParseKeys(f *testing.F) {
	for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.ES512, jose.RS256} {
		private := fuzzKey(f, alg)
		der, err := x509.MarshalPKCS8PrivateKey(private)
		require.NoError(f, err)
		encoded := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		f.Add(encoded, "")
		f.Add(append(bytes.Clone(encoded), encoded...), "RS512")
		jwk, err := json.Marshal(jose.JSONWebKey{Key: private, Algorithm: string(alg)})
		require.NoError(f, err)
		f.Add(jwk, "")
		f.Add([]byte(`{"keys":[`+string(jwk)+`]}`), "PS256")
		switch key := private.(type) {
		case *rsa.PrivateKey:
			f.Add(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), "ES256")
		case *ecdsa.PrivateKey:
			der, err := x509.MarshalECPrivateKey(key)
			require.NoError(f, err)
			f.Add(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), "")
		}
	}
	f.Add([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), "")
	f.Add([]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), "")
	f.Add([]byte(`{"keys":[]}`), "")
	f.Add([]byte(`{"keys":null}`), "")

	f.Fuzz(func(t *testing.T, content []byte, algorithm string) {
		parsed, err := parseKeys(content)
		if err != nil {
			require.Empty(t, parsed)
			requireNoSecretOf(t, content, err)
			return
		}
		require.NotEmpty(t, parsed)
		made, err := parseKeyFile(content, algorithm)
		if err != nil {
			requireNoSecretOf(t, content, err)
			return
		}
		require.Len(t, made, len(parsed))
		for _, key := range made {
			require.Contains(t, keys.AsymmetricAlgorithms, key.Algorithm)
			require.True(t, key.Public.IsPublic(), "the JWKS would show the private key")
			if key.CanSign() {
				require.NoError(t, key.Check())
			}
		}
	})
}

// FuzzParseHMACSecret: what is taken is one line, as Elasticsearch's keystore reads it.
func FuzzParseHMACSecret(f *testing.F) {
	f.Add([]byte("hunter2hunter2hunter2hunter2hunter2\n"), false)
	f.Add([]byte("several\nlines"), false)
	f.Add([]byte("aHVudGVyMg==\r\n"), true)
	f.Add([]byte("\ufeffhunter2"), false)
	f.Add([]byte("\xff\xfeh\x00"), false)
	f.Fuzz(func(t *testing.T, content []byte, base64url bool) {
		encoding := encodingText
		if base64url {
			encoding = encodingBase64URL
		}
		secret, err := parseHMACSecret(content, encoding)
		if err != nil {
			require.Empty(t, secret)
			return
		}
		line := strings.TrimRight(string(content), "\r\n")
		require.NotContains(t, line, "\n")
		if !base64url {
			require.Equal(t, line, string(secret))
			require.True(t, utf8.Valid(secret))
		}
	})
}

// fuzzKey is a private key for an algorithm.
func fuzzKey(f *testing.F, alg jose.SignatureAlgorithm) any {
	f.Helper()
	var key any
	var err error
	switch alg {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, keys.MinRSABits)
	}
	require.NoError(f, err)
	return key
}

// requireNoSecretOf checks that an error shows nothing of the private keys in a content.
func requireNoSecretOf(t *testing.T, content []byte, err error) {
	t.Helper()
	require.NotEmpty(t, err.Error())
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if encoded := base64.StdEncoding.EncodeToString(block.Bytes); len(encoded) > 24 {
			require.NotContains(t, err.Error(), encoded[8:24])
		}
	}
	var jwk, set struct {
		jwkSecrets
		Key  jwkSecrets   `json:"key"`
		Keys []jwkSecrets `json:"keys"`
	}
	if json.Unmarshal(bytes.TrimSpace(content), &jwk) != nil {
		return
	}
	_ = json.Unmarshal(content, &set)
	for _, secrets := range append(set.Keys, jwk.jwkSecrets, jwk.Key) {
		for _, s := range []string{secrets.D, secrets.P, secrets.Q, secrets.K} {
			if len(s) > 8 && !strings.Contains(secrets.Alg, s) {
				require.NotContains(t, err.Error(), s)
			}
		}
	}
}

type jwkSecrets struct {
	D   string `json:"d"`
	P   string `json:"p"`
	Q   string `json:"q"`
	K   string `json:"k"`
	Alg string `json:"alg"`
}

// FuzzOwnToken: a token of ours is known with any signature.
func FuzzOwnToken(f *testing.F) {
	key, err := keys.NewKey(jose.HS256, []byte(strings.Repeat("k", 32)))
	require.NoError(f, err)
	ours, err := key.Sign([]byte(`{"iss":"https://es.example.com"}`))
	require.NoError(f, err)
	f.Add(ours, "x")
	f.Add("e30.e30.", "~~~~")
	f.Add("e30.e30.e30.e30.e30", "")
	f.Add("..", "=")
	f.Add("bnVsbA.bnVsbA.", "AAA")
	f.Fuzz(func(t *testing.T, compact, stray string) {
		if sent, ok := token.Parse(compact); ok {
			require.NotPanics(t, func() { signedBy(key, sent) })
		}
		mine, ok := token.Parse(ours)
		require.True(t, ok)
		mine.Signature += strings.Map(func(r rune) rune { // what is no base64 is nothing
			if strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/", r) {
				return -1
			}
			return r
		}, stray)
		require.True(t, signedBy(key, mine))
	})
}
