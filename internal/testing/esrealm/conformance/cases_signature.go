package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
)

// signatureCases are about the signature itself.
func signatureCases() []Case {
	bytes := func(alg, key string, edit func([]byte) []byte) Token {
		return Token{Realm: realmAlgorithms, Alg: alg, Key: key, Signature: edit}
	}
	pss := func(alg string, salt int) Token {
		return Token{Realm: realmAlgorithms, Alg: alg, Key: keyRSAAnon, Signer: func(input, _ []byte) []byte {
			return keys()[keyRSAAnon].signPSS(alg, input, salt)
		}}
	}
	signedAs := func(header, actual, key string) Token {
		return Token{Realm: realmAlgorithms, Alg: header, Key: key, Signer: func(input, _ []byte) []byte {
			return keys()[key].sign(actual, input)
		}}
	}
	flip := func(s []byte) []byte { s[len(s)/2] ^= 1; return s }
	return []Case{
		refused("RS256: a flipped bit", bytes("RS256", keyRSA, flip)),
		refused("RS256: one byte less", bytes("RS256", keyRSA, func(s []byte) []byte { return s[1:] })),
		refused("RS256: a zero in front",
			bytes("RS256", keyRSA, func(s []byte) []byte { return append([]byte{0}, s...) })),
		refused("RS256: all zero", bytes("RS256", keyRSA, func(s []byte) []byte { return make([]byte, len(s)) })),
		refused("RS256: signed as RS512", signedAs("RS256", "RS512", keyRSAAnon)),
		refused("RS256: signed as PS256", signedAs("RS256", "PS256", keyRSAAnon)),
		refused("PS256: signed as RS256", signedAs("PS256", "RS256", keyRSAAnon)),
		refused("PS256: a salt of 20 bytes", pss("PS256", 20)),
		refused("PS256: the longest salt", pss("PS256", 2048/8-sha256.Size-2)),
		refused("PS512: the salt of PS256", pss("PS512", sha256.Size)),
		refused("PS384: a flipped bit", bytes("PS384", keyRSAAnon, flip)),
		refused("ES256: a flipped bit", bytes("ES256", keyES256, flip)),
		refused("ES256: in DER", Token{
			Realm: realmAlgorithms, Alg: "ES256", Key: keyES256,
			Signer: func(input, _ []byte) []byte {
				digest := sha256.Sum256(input)
				der, err := ecdsa.SignASN1(rand.Reader, keys()[keyES256].private.(*ecdsa.PrivateKey), digest[:])
				if err != nil {
					panic(err)
				}
				return der
			},
		}),
		refused("ES256: all zero", bytes("ES256", keyES256, func(s []byte) []byte { return make([]byte, len(s)) })),
		refused("ES256: r is the order of the curve", bytes("ES256", keyES256, func(s []byte) []byte {
			return append(elliptic.P256().Params().N.FillBytes(make([]byte, 32)), s[32:]...)
		})),
		refused("ES256: one byte less", bytes("ES256", keyES256, func(s []byte) []byte { return s[:len(s)-1] })),
		refused("ES256: longer numbers", bytes("ES256", keyES256, func(s []byte) []byte {
			return slices.Concat([]byte{0}, s[:32], []byte{0}, s[32:])
		})),
		taken("ES256: the other s", bytes("ES256", keyES256, func(s []byte) []byte {
			n := elliptic.P256().Params().N
			other := new(big.Int).Sub(n, new(big.Int).SetBytes(s[32:]))
			return append(slices.Clone(s[:32]), other.FillBytes(make([]byte, 32))...)
		})),
		refused("ES384: a flipped bit", bytes("ES384", keyES384, flip)),
		refused("ES512: a flipped bit", bytes("ES512", keyES512, flip)),
		refused("HS256: the RSA key as the secret", Token{
			Realm: realmAlgorithms, Alg: "HS256", Header: Members{"kid": keyRSA}, Key: keyHMAC256,
			Signer: func(input, _ []byte) []byte {
				der, err := x509.MarshalPKIXPublicKey(keys()[keyRSA].private.Public())
				if err != nil {
					panic(err)
				}
				mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
				mac.Write(input)
				return mac.Sum(nil)
			},
		}),
	}
}
