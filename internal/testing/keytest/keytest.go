// Package keytest makes keys for tests, and checks that errors do not show them.
package keytest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// Generate makes a private key for an algorithm.
func Generate(t testing.TB, alg jose.SignatureAlgorithm) any {
	t.Helper()
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
	require.NoError(t, err)
	return key
}

// RequireNoSecretOf checks that an error shows nothing of the private keys in a file's content.
func RequireNoSecretOf(t testing.TB, content []byte, err error) {
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
