package esrealm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// jwk is a JSON Web Key (RFC 7517).
type jwk struct {
	kid     *string
	alg     *string
	use     *string
	ops     []string
	hasOps  bool
	key     crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or []byte; nil for other types
	private bool             // whether it is private or symmetric
}

// errKeyType is the error for a key of an unknown type. A set may have such keys.
var errKeyType = errors.New("unsupported key type")

// parseJWK reads one key.
func parseJWK(m object) (*jwk, error) {
	kty, err := m.string("kty")
	if err != nil {
		return nil, err
	}
	if kty == nil {
		return nil, errors.New(`the member "kty" is missing`)
	}
	k := &jwk{}
	switch *kty {
	case "RSA":
		k.key, err = parseRSA(m)
		k.private = m["d"] != nil || m["p"] != nil
	case "EC":
		k.key, err = parseEC(m)
		k.private = m["d"] != nil
	case "oct":
		k.key, err = m.bytes("k")
		k.private = true
	case "OKP":
		err = checkOKP(m)
		k.private = m["d"] != nil
	default:
		return nil, fmt.Errorf("%w %q", errKeyType, *kty)
	}
	if err != nil {
		return nil, err
	}
	return k, k.parseMetadata(m)
}

// parseMetadata reads the members that all types of keys have.
func (k *jwk) parseMetadata(m object) (err error) {
	for name, p := range map[string]**string{"kid": &k.kid, "alg": &k.alg, "use": &k.use} {
		if *p, err = m.string(name); err != nil {
			return err
		}
	}
	if k.use != nil && strings.TrimSpace(*k.use) == "" {
		return errors.New("use is empty")
	}
	if k.ops, err = m.strings("key_ops"); err != nil {
		return err
	}
	k.hasOps = m["key_ops"] != nil
	if err := k.checkOps(); err != nil {
		return err
	}
	for _, name := range []string{"x5t", "x5t#S256"} {
		if _, err := m.string(name); err != nil {
			return err
		}
	}
	if err := k.checkChain(m); err != nil {
		return err
	}
	if u, err := m.string("x5u"); err != nil || (u != nil && !uri.MatchString(*u)) {
		return errors.New("x5u is no URI")
	}
	return nil
}

// checkChain refuses certificates that cannot be parsed, and a first certificate
// that is for another key.
func (k *jwk) checkChain(m object) error {
	chain, err := m.strings("x5c")
	if err != nil {
		return err
	}
	for i, text := range chain {
		cert, err := x509.ParseCertificate(decodeBase64(text))
		if err != nil {
			return fmt.Errorf("x5c: %w", err)
		}
		if key, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); i == 0 && (!ok || !key.Equal(k.key)) {
			return errors.New("x5c is for another key")
		}
	}
	return nil
}

// checkOps refuses operations that are unknown or contradict the key's use.
func (k *jwk) checkOps() error {
	signing, encryption := []string{"sign", "verify"}, []string{"encrypt", "decrypt", "wrapKey", "unwrapKey"}
	known := slices.Concat(signing, encryption, []string{"deriveKey", "deriveBits"})
	if k.use != nil {
		switch *k.use {
		case "sig":
			known = signing
		case "enc":
			known = encryption
		}
	}
	if slices.ContainsFunc(k.ops, func(op string) bool { return op != "" && !slices.Contains(known, op) }) {
		return fmt.Errorf("key_ops %q are unknown or do not go with the use", k.ops)
	}
	return nil
}

func parseRSA(m object) (*rsa.PublicKey, error) {
	n, err := m.integer("n")
	if err != nil {
		return nil, err
	}
	e, err := m.integer("e")
	if err != nil {
		return nil, err
	}
	if !e.IsInt64() || e.Int64() > 1<<31-1 {
		return nil, errors.New("e is out of range")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

func parseEC(m object) (*ecdsa.PublicKey, error) {
	crv, err := m.string("crv")
	if err != nil {
		return nil, err
	}
	x, err := m.integer("x")
	if err != nil {
		return nil, err
	}
	y, err := m.integer("y")
	if err != nil {
		return nil, err
	}
	if crv == nil {
		return nil, errors.New(`the member "crv" is missing`)
	}
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	curve, ok := curves[*crv]
	if !ok {
		return nil, fmt.Errorf("unknown curve %q", *crv)
	}
	size := (curve.Params().BitSize + 7) / 8
	if x.BitLen() > 8*size || y.BitLen() > 8*size {
		return nil, fmt.Errorf("the point is not on %s", *crv)
	}
	point := make([]byte, 1+2*size)
	point[0] = 4 // uncompressed
	x.FillBytes(point[1 : 1+size])
	y.FillBytes(point[1+size:])
	return ecdsa.ParseUncompressedPublicKey(curve, point)
}

func checkOKP(m object) error {
	crv, err := m.string("crv")
	if err != nil {
		return err
	}
	if crv == nil || !slices.Contains([]string{"Ed25519", "Ed448", "X25519", "X448"}, *crv) {
		return errors.New("the curve is missing or unknown")
	}
	_, err = m.bytes("x")
	return err
}

// bytes returns a member that is required, in base64url.
func (o object) bytes(name string) ([]byte, error) {
	s, err := o.string(name)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, fmt.Errorf("the member %q is missing", name)
	}
	return decodeBase64(*s), nil
}

// integer returns a member that is required, a Base64urlUInt (RFC 7518 section 2).
func (o object) integer(name string) (*big.Int, error) {
	b, err := o.bytes(name)
	if err != nil {
		return nil, err
	}
	return new(big.Int).SetBytes(b), nil
}
