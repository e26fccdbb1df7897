package esjwt

import (
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// FuzzParseCertificates: what is parsed of a file, or of a request to the admin API, can be sent on and parsed again.
func FuzzParseCertificates(f *testing.F) {
	ca := pki.NewCA("clients")
	alice := ca.Client("alice")
	f.Add(alice.Leaf.Raw)
	f.Add(alice.Cert)
	f.Add(append(append([]byte("# alice\r\n"), alice.Key...), append(alice.Cert, ca.PEM()...)...))
	f.Add(append([]byte("\xef\xbb\xbf"), alice.Cert...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		certs, err := parseCertificates(content)
		require.Equal(t, err == nil, len(certs) > 0)
		if err != nil {
			return
		}
		again, err := parseCertificates(encodeCertificates(certs))
		require.NoError(t, err)
		require.Equal(t, certs, again)
	})
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
