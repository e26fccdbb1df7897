package file

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/keytest"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

func FuzzParseKeys(f *testing.F) {
	for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.ES512, jose.RS256} {
		private := keytest.Generate(f, alg)
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
			keytest.RequireNoSecretOf(t, content, err)
			return
		}
		require.NotEmpty(t, parsed)
		made, err := parseKeyFile(content, algorithm)
		if err != nil {
			keytest.RequireNoSecretOf(t, content, err)
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
