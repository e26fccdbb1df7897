package storage

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// Generate makes a private key for an algorithm. The size is that of an RSA key in bits. Zero values mean the defaults
// of [Source].
func Generate(algorithm string, size int) (*keys.Key, crypto.Signer, error) {
	settings := Source{Algorithm: algorithm, KeySize: size}
	if err := settings.check(); err != nil {
		return nil, nil, err
	}
	settings.setDefaults()
	return settings.generate()
}

// generate makes a key as it is configured.
func (s *Source) generate() (*keys.Key, crypto.Signer, error) {
	private, err := s.generatePrivate()
	if err != nil {
		return nil, nil, fmt.Errorf("generating a key: %w", err)
	}
	key, err := keys.NewKey(s.algorithm, private)
	return key, private, err
}

func (s *Source) generatePrivate() (crypto.Signer, error) {
	switch s.algorithm {
	case jose.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		return rsa.GenerateKey(rand.Reader, s.KeySize)
	}
}
