package file

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

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
		return nil, pemfile.ErrDamaged
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no private key: " + keyForms)
	}
	return keys, nil
}

func parsePEMBlock(block *pem.Block) (parsedKey, error) {
	switch {
	case slices.Contains(privateLabels, block.Type):
		key, err := readAs(block, privateLabels, publicLabels, "public")
		if err != nil {
			return parsedKey{}, err
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return parsedKey{}, fmt.Errorf("its key is a %T, which cannot sign", key)
		}
		return parsedKey{signer: signer, public: signer.Public()}, nil
	case slices.Contains(publicLabels, block.Type):
		key, err := readAs(block, publicLabels, privateLabels, "private")
		if err != nil {
			return parsedKey{}, err
		}
		return parsedKey{public: key}, nil
	case block.Type == "RSA-PSS PRIVATE KEY":
		return parsedKey{}, errPSSKey
	case block.Type == "OPENSSH PRIVATE KEY":
		return parsedKey{}, errors.New("its key is in OpenSSH's own form: convert it with `ssh-keygen -p -m PKCS8 -f <file>`")
	default:
		return parsedKey{}, fmt.Errorf("it holds a %q, which is no private key: %s", block.Type, keyForms)
	}
}

// The labels of PEM for keys (RFC 7468). Each stands for another form, and the forms cannot be taken for each other.
var (
	privateLabels = []string{"PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"}
	publicLabels  = []string{"PUBLIC KEY", "RSA PUBLIC KEY"}
)

// readAs reads a key in whatever form it has that one of the labels stands for, because some tools write a wrong
// label. A key is an error if its block says that it is another:
//
//	PKCS#8 or SEC 1 with an EC key under EC PRIVATE KEY   the key
//	an RSA key in any form under EC PRIVATE KEY           an error
//	a private key under PUBLIC KEY                        an error: others has its label, and sort is "private"
func readAs(block *pem.Block, labels, others []string, sort string) (any, error) {
	key, form := parseAs(labels, block.Bytes)
	if key == nil {
		if _, form := parseAs(others, block.Bytes); form != "" {
			return nil, fmt.Errorf("its %s is a %s key: write -----BEGIN %s-----, "+
				"if it is the one that you mean", block.Type, sort, form)
		}
		return nil, whyUnreadable(block.Type, labels, block.Bytes)
	}
	kind := kindOf(key)
	if kind == "RSA" && isOf("EC", block.Type) || kind == "EC" && isOf("RSA", block.Type) {
		return nil, fmt.Errorf("its %s is another kind of key (%s): write -----BEGIN %s-----, "+
			"if it is the one that you mean", block.Type, kind, form)
	}
	return key, nil
}

// isOf reports whether a label is for one kind of key alone.
func isOf(kind, label string) bool { return strings.HasPrefix(label, kind+" ") }

// kindOf names the kind of a key. It returns "" for the kinds that cannot be used: their errors come later.
func kindOf(key any) string {
	switch key.(type) {
	case *rsa.PrivateKey, *rsa.PublicKey:
		return "RSA"
	case *ecdsa.PrivateKey, *ecdsa.PublicKey:
		return "EC"
	default:
		return ""
	}
}

// parseAs returns the key that can be read in the form of one of the labels, and the label; nil if there is none.
func parseAs(labels []string, der []byte) (key any, label string) {
	for _, label := range labels {
		if key, err := parseForm(label, der); err == nil {
			return key, label
		}
	}
	return nil, ""
}

// parseForm reads a key in the form that a label stands for.
func parseForm(label string, der []byte) (any, error) {
	switch label {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(der)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(der)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(der)
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(der)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(der)
	default:
		return nil, errors.New("no form of a key")
	}
}
