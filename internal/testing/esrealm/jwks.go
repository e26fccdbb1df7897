package esrealm

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// keySet has the keys of a JWK set that the realm can use. The hash is that of
// the document: if it changes, the set is a new one.
type keySet struct {
	keys []*jwk
	hash [sha256.Size]byte
}

// parseKeySet reads a JWK set (RFC 7517 section 5). A blank document is an empty
// set. Keys of unknown types and keys for none of the algorithms are left out. A
// malformed key is an error.
func parseKeySet(document []byte, algorithms []string, lenient bool) (*keySet, error) {
	set := &keySet{hash: sha256.Sum256(document)}
	if strings.TrimFunc(string(document), isJavaWhitespace) == "" {
		return set, nil
	}
	m, err := parseObject(document, lenient)
	if err != nil {
		return nil, fmt.Errorf("JWK set: %w", err)
	}
	list, ok := m["keys"].([]any)
	if !ok {
		return nil, errors.New(`JWK set: the member "keys" is no array`)
	}
	for i, e := range list {
		member, ok := e.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("JWK set: key %d is no object", i)
		}
		k, err := parseJWK(member)
		if errors.Is(err, errKeyType) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("JWK set: key %d: %w", i, err)
		}
		if k.verifies() && slices.ContainsFunc(algorithms, k.fits) {
			set.keys = append(set.keys, k)
		}
	}
	return set, nil
}

// verifies reports whether the key may be used to verify signatures.
func (k *jwk) verifies() bool {
	return (k.use == nil || *k.use == "sig") && (!k.hasOps || slices.Contains(k.ops, "verify"))
}

// fits reports whether the key has the type and size for an algorithm. It does
// not look at the key's "alg".
func (k *jwk) fits(alg string) bool {
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return slices.Contains(rsaAlgorithms, alg) && key.N.BitLen() > 2040
	case *ecdsa.PublicKey:
		bits := map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}
		return bits[alg] == key.Params().BitSize
	case []byte:
		bits := map[string]int{"HS256": 256, "HS384": 384, "HS512": 512}
		return bits[alg] > 0 && len(key)*8 >= bits[alg]
	}
	return false
}

// candidates returns the keys that may have signed a token.
func (s *keySet) candidates(h header) []*jwk {
	return slices.DeleteFunc(slices.Clone(s.keys), func(k *jwk) bool {
		return (h.hasKeyID && k.kid != nil && *k.kid != h.kid) || (k.alg != nil && *k.alg != h.alg) || !k.fits(h.alg)
	})
}
