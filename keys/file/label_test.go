package file

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/keytest"
)

// TestAKeyIsReadUnderALabelForAnotherForm: a PKCS#8 key under EC PRIVATE KEY or RSA PRIVATE KEY was called damaged
// (FiloSottile/mkcert#127), and so was each other form under another label. A label for another kind of key is an
// error that says so, and so is one for a public key on a private one, and the other way round.
func TestAKeyIsReadUnderALabelForAnotherForm(t *testing.T) {
	der := func(der []byte, err error) []byte {
		require.NoError(t, err)
		return der
	}
	ec := keytest.Generate(t, jose.ES256).(*ecdsa.PrivateKey)
	rs := keytest.Generate(t, jose.RS256).(*rsa.PrivateKey)
	private := map[string]struct {
		der []byte
		key crypto.Signer
	}{
		"SEC 1":      {der(x509.MarshalECPrivateKey(ec)), ec},
		"PKCS#1":     {x509.MarshalPKCS1PrivateKey(rs), rs},
		"EC PKCS#8":  {der(x509.MarshalPKCS8PrivateKey(ec)), ec},
		"RSA PKCS#8": {der(x509.MarshalPKCS8PrivateKey(rs)), rs},
	}
	public := map[string]struct {
		der []byte
		key crypto.PublicKey
	}{
		"PKCS#1":   {x509.MarshalPKCS1PublicKey(&rs.PublicKey), rs.Public()},
		"RSA SPKI": {der(x509.MarshalPKIXPublicKey(rs.Public())), rs.Public()},
		"EC SPKI":  {der(x509.MarshalPKIXPublicKey(ec.Public())), ec.Public()},
	}
	read := func(label string, der []byte) ([]parsedKey, error) {
		content := pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
		keys, err := parseKeys(content)
		if err != nil {
			keytest.RequireNoSecretOf(t, content, err)
		}
		return keys, err
	}
	for _, label := range privateLabels {
		for form, k := range private {
			t.Run(form+" under "+label, func(t *testing.T) {
				keys, err := read(label, k.der)
				if _, isRSA := k.key.(*rsa.PrivateKey); isRSA && label == "EC PRIVATE KEY" {
					require.ErrorContains(t, err, "its EC PRIVATE KEY is another kind of key (RSA): write -----BEGIN ")
					return
				} else if !isRSA && label == "RSA PRIVATE KEY" {
					require.ErrorContains(t, err, "its RSA PRIVATE KEY is another kind of key (EC): write -----BEGIN ")
					return
				}
				require.NoError(t, err)
				require.Len(t, keys, 1)
				require.Equal(t, k.key, keys[0].signer)
			})
		}
		for form, k := range public {
			t.Run("public "+form+" under "+label, func(t *testing.T) {
				_, err := read(label, k.der)
				require.ErrorContains(t, err, "its "+label+" is a public key")
			})
		}
		t.Run("damage under "+label, func(t *testing.T) {
			_, err := read(label, private["EC PKCS#8"].der[:40])
			require.ErrorContains(t, err, "its "+label+" is damaged")
		})
	}
	for _, label := range publicLabels {
		for form, k := range public {
			t.Run("public "+form+" under "+label, func(t *testing.T) {
				keys, err := read(label, k.der)
				if _, isRSA := k.key.(*rsa.PublicKey); !isRSA && label == "RSA PUBLIC KEY" {
					require.ErrorContains(t, err, "another kind of key (EC): write -----BEGIN PUBLIC KEY-----")
					return
				}
				require.NoError(t, err)
				require.Len(t, keys, 1)
				require.Nil(t, keys[0].signer)
				require.Equal(t, k.key, keys[0].public)
			})
		}
		for form, k := range private {
			t.Run(form+" under "+label, func(t *testing.T) {
				_, err := read(label, k.der)
				require.ErrorContains(t, err, "its "+label+" is a private key")
			})
		}
	}
}

// TestAKeyForKeyAgreementCannotSign, whatever its label is. FIPS 140-only mode does not know X25519 at all.
func TestAKeyForKeyAgreementCannotSign(t *testing.T) {
	fips140.WithoutEnforcement(func() {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		require.NoError(t, err)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
		for _, label := range privateLabels {
			_, err := parseKeys(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
			require.ErrorContains(t, err, "which cannot sign", label)
		}
	})
}
