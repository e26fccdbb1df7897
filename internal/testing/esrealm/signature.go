package esrealm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"errors"
	"math/big"
	"slices"
)

// verify verifies the token's signature. It tries all keys that may have made it.
func (s *keySet) verify(t *token) error {
	if len(s.keys) == 0 {
		return errors.New("there are no keys to verify the signature with")
	}
	candidates := s.candidates(t.header)
	if len(candidates) == 0 {
		return errors.New("no key fits the token's kid and alg")
	}
	if slices.ContainsFunc(t.header.crit, func(name string) bool { return name != "b64" }) {
		return errors.New("crit names something that is not understood")
	}
	if !slices.ContainsFunc(candidates, func(k *jwk) bool { return k.verify(t) }) {
		return errors.New("the signature does not verify")
	}
	return nil
}

// verify verifies a signature with one key (RFC 7518 section 3). With PS*, Java
// accepts only a salt that is as long as the hash.
func (k *jwk) verify(t *token) bool {
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[t.header.alg[2:]]
	if key, ok := k.key.([]byte); ok {
		mac := hmac.New(hash.New, key)
		mac.Write(t.signingInput)
		return hmac.Equal(mac.Sum(nil), t.signature)
	}
	h := hash.New()
	h.Write(t.signingInput)
	digest := h.Sum(nil)
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		if t.header.alg[0] == 'P' {
			return rsa.VerifyPSS(key, hash, digest, t.signature,
				&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(key, hash, digest, t.signature) == nil
	case *ecdsa.PublicKey:
		size := (key.Params().BitSize + 7) / 8
		if len(t.signature) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(t.signature[:size]), new(big.Int).SetBytes(t.signature[size:])
		return ecdsa.Verify(key, digest, r, s)
	}
	return false
}
