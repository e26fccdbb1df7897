package esjwt

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// maxKeyFile bounds a key file: hundreds of keys.
const maxKeyFile = 1 << 20

// parsedKey is a private key as a file has it.
type parsedKey struct {
	signer    crypto.Signer
	algorithm string // "" where the file does not say it
}

// chooseAlgorithm returns the algorithm that the key itself states, or that of its curve, or
// the configured one, or RS256.
func (p parsedKey) chooseAlgorithm(configured string) (jose.SignatureAlgorithm, error) {
	switch {
	case p.algorithm != "":
		return parseAlgorithm(p.algorithm, asymmetricAlgorithms)
	case configured != "" && defaultAlgorithm(p.signer.Public()) == jose.RS256:
		return parseAlgorithm(configured, asymmetricAlgorithms)
	default:
		return defaultAlgorithm(p.signer.Public()), nil
	}
}

// parsePrivateKeys reads private keys from PEM (RFC 7468: PKCS#1, PKCS#8, SEC 1), a JWK or a
// JWKS (RFC 7517). Nothing of a key is ever in an error.
func parsePrivateKeys(content []byte) ([]parsedKey, error) {
	if len(content) > maxKeyFile {
		return nil, fmt.Errorf("it has %d bytes: a key file has %d at most", len(content), maxKeyFile)
	}
	content = bytes.TrimSpace(content)
	switch {
	case len(content) == 0:
		return nil, errors.New("it is empty")
	case content[0] == '{':
		return parseJWKs(content)
	default:
		return parsePEM(content)
	}
}

func parsePEM(content []byte) ([]parsedKey, error) {
	var keys []parsedKey
	begun := bytes.Count(content, []byte("-----BEGIN "))
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			break
		}
		begun--
		switch {
		case block.Type == "EC PARAMETERS": // openssl ecparam writes one before the key
			continue
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, errors.New("its key is encrypted: decrypt it with `openssl pkey -in <file> -out <new file>`, and let only Caddy read it")
		}
		signer, err := parsePEMBlock(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, parsedKey{signer: signer})
	}
	if begun > 0 { // pem.Decode skips what it cannot read
		return nil, errors.New("a PEM block in it is damaged: is the file complete?")
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no private key: use PEM (PKCS#1, PKCS#8 or SEC 1), a JWK or a JWKS")
	}
	return keys, nil
}

func parsePEMBlock(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("it holds a %q, which is no private key: use PEM (PKCS#1, PKCS#8 or SEC 1), a JWK or a JWKS", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("its %s is damaged", block.Type)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("its key is a %T, which cannot sign", key)
	}
	return signer, nil
}

func parseJWKs(content []byte) ([]parsedKey, error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(content, &set); err != nil {
		return nil, errors.New("it is not whole JSON")
	}
	raw := []json.RawMessage{content}
	if set.Keys != nil {
		raw = *set.Keys
	}
	if len(raw) == 0 {
		return nil, errors.New("its JWKS is empty")
	}
	keys := make([]parsedKey, len(raw))
	for i, r := range raw {
		var jwk jose.JSONWebKey
		err := json.Unmarshal(r, &jwk)
		if _, secret := jwk.Key.([]byte); secret {
			return nil, fmt.Errorf("key %d of its JWKS is a shared secret: use a private RSA or EC key, or the source secret", i+1)
		}
		if err != nil || !jwk.Valid() {
			return nil, fmt.Errorf("key %d of its JWKS is not a valid JWK (RFC 7517)", i+1)
		}
		signer, ok := jwk.Key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("key %d of its JWKS has no private half: use a private RSA or EC key", i+1)
		}
		keys[i] = parsedKey{signer: signer, algorithm: jwk.Algorithm}
	}
	return keys, nil
}
