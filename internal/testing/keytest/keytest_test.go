package keytest_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/keytest"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

func TestAGeneratedKeySigns(t *testing.T) {
	for _, alg := range keys.AsymmetricAlgorithms {
		key, err := keys.NewKey(alg, keytest.Generate(t, alg))
		require.NoError(t, err, alg)
		require.NoError(t, key.Check(), alg)
	}
}

// verdict notes whether a check has failed.
type verdict struct {
	testing.TB
	failed bool
}

func (v *verdict) Helper()               {}
func (v *verdict) Errorf(string, ...any) { v.failed = true }
func (v *verdict) FailNow()              { v.failed = true }

func TestASecretInAnErrorIsFound(t *testing.T) {
	key := keytest.Generate(t, jose.ES256)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	asJWK, err := json.Marshal(jose.JSONWebKey{Key: key, Algorithm: "ES256"})
	require.NoError(t, err)
	asSet, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key}}})
	require.NoError(t, err)

	for name, content := range map[string][]byte{"PEM": asPEM, "a JWK": asJWK, "a JWK Set": asSet} {
		t.Run(name, func(t *testing.T) {
			for text, found := range map[string]bool{"it cannot be read": false, string(content): true} {
				v := verdict{TB: t}
				keytest.RequireNoSecretOf(&v, content, fmt.Errorf("keys: %w", errors.New(text)))
				require.Equal(t, found, v.failed)
			}
		})
	}
}
