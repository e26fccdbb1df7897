package file

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/pemfile"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/textfile"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// maxKeyFile is how many bytes a key file can have. It is enough for hundreds of keys.
const maxKeyFile = 1 << 20

// parsedKey is a private key in a file, or the public half of one that used to sign.
type parsedKey struct {
	signer    crypto.Signer // nil for a public key
	public    crypto.PublicKey
	algorithm string // "" where the file does not say it
}

// key makes the key. It checks that the two halves of a private key belong together.
func (p parsedKey) key(configured string) (*keys.Key, error) {
	alg, err := p.chooseAlgorithm(configured)
	if err != nil {
		return nil, err
	}
	if p.signer == nil {
		return keys.NewPublicKey(alg, p.public)
	}
	key, err := keys.NewKey(alg, p.signer)
	if err != nil {
		return nil, err
	}
	return key, key.Check()
}

// chooseAlgorithm returns the algorithm that the key itself states, or that of its curve, or
// the configured one, or RS256.
func (p parsedKey) chooseAlgorithm(configured string) (jose.SignatureAlgorithm, error) {
	switch {
	case p.algorithm != "":
		return keys.ParseAlgorithm(p.algorithm, keys.AsymmetricAlgorithms)
	case configured != "" && keys.DefaultAlgorithm(p.public) == jose.RS256:
		return keys.ParseAlgorithm(configured, keys.AsymmetricAlgorithms)
	default:
		return keys.DefaultAlgorithm(p.public), nil
	}
}

// parseKeys reads keys from PEM (RFC 7468: PKCS#1, PKCS#8, SEC 1, and public keys), a JWK or a JWKS
// (RFC 7517). Nothing of a private key is ever in an error.
func parseKeys(content []byte) ([]parsedKey, error) {
	if len(content) > maxKeyFile {
		return nil, fmt.Errorf("it has %d bytes: a key file has %d at most", len(content), maxKeyFile)
	}
	content, err := textfile.Decode(content)
	if err != nil {
		return nil, err
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

// keyForms is what a key file can be.
const keyForms = "use PEM (PKCS#1, PKCS#8 or SEC 1), a JWK or a JWKS"

func parsePEM(content []byte) ([]parsedKey, error) {
	var keys []parsedKey
	blocks, damaged := pemfile.Blocks(content)
	for _, block := range blocks {
		switch {
		case block.Type == "EC PARAMETERS": // openssl ecparam writes one before the key
			continue
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, errors.New("its key is encrypted: " +
				"decrypt it with `openssl pkey -in <file> -out <new file>`, and let only Caddy read it")
		}
		key, err := parsePEMBlock(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if damaged > 0 {
		return nil, errors.New("a PEM block in it is damaged: is the file complete, " +
			"does each line begin without blanks, and does it end with LF or CRLF?")
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no private key: " + keyForms)
	}
	return keys, nil
}

func parsePEMBlock(block *pem.Block) (parsedKey, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "RSA-PSS PRIVATE KEY":
		return parsedKey{}, errPSSKey
	case "OPENSSH PRIVATE KEY":
		return parsedKey{}, errors.New("its key is in OpenSSH's own form: convert it with `ssh-keygen -p -m PKCS8 -f <file>`")
	default:
		return parsedKey{}, fmt.Errorf("it holds a %q, which is no private key: %s", block.Type, keyForms)
	}
	if err != nil {
		return parsedKey{}, whyUnreadable(block)
	}
	if signer, ok := key.(crypto.Signer); ok {
		return parsedKey{signer: signer, public: signer.Public()}, nil
	}
	if block.Type == "PRIVATE KEY" {
		return parsedKey{}, fmt.Errorf("its key is a %T, which cannot sign", key)
	}
	return parsedKey{public: key}, nil
}
