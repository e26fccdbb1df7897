package chain

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// This file is about what the signature of a certificate does not cover: the signature itself, and
// what is around it. Whoever has a certificate can write that in another way. It is the same
// certificate then, and its authority's signature still holds, but the fingerprint is another one.

// signed is a certificate (RFC 5280 section 4.1) in its three parts.
type signed struct {
	tbs       []byte // with its tag and length, as is algorithm
	algorithm []byte
	signature []byte // without the bits that are not used
}

// parse reads what crypto/x509 has read before, which is as lenient.
func parse(raw []byte) (s signed, ok bool) {
	input := cryptobyte.String(raw)
	var certificate, tbs, algorithm cryptobyte.String
	var signature asn1.BitString
	if !input.ReadASN1(&certificate, cbasn1.SEQUENCE) ||
		!certificate.ReadASN1Element(&tbs, cbasn1.SEQUENCE) ||
		!certificate.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) ||
		!certificate.ReadASN1BitString(&signature) {
		return signed{}, false
	}
	return signed{tbs, algorithm, signature.RightAlign()}, true
}

// encode is the one encoding of the three parts that an authority makes.
func (s signed) encode() ([]byte, bool) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(s.tbs)
		b.AddBytes(s.algorithm)
		b.AddASN1BitString(s.signature)
	})
	raw, err := b.Bytes()
	return raw, err == nil
}

// Reencoded reports whether somebody has written a certificate in another way than an authority
// does: with a signature that does not end at a byte, or with something after it. crypto/x509
// takes such a certificate for the one that was issued.
func Reencoded(cert *x509.Certificate) bool {
	s, ok := parse(cert.Raw)
	if !ok {
		return true
	}
	raw, ok := s.encode()
	return !ok || !bytes.Equal(raw, cert.Raw)
}

// Fingerprints are the SHA-256 fingerprints under which a certificate may be known: its own, and
// that of the other form that an ECDSA signature has. With (r, s), (r, n-s) is a signature too, and
// either can be the one that the authority made.
func Fingerprints(cert *x509.Certificate) [][sha256.Size]byte {
	sums := [][sha256.Size]byte{sha256.Sum256(cert.Raw)}
	s, ok := parse(cert.Raw)
	if !ok {
		return sums
	}
	add := func(s signed) {
		if raw, ok := s.encode(); ok && !bytes.Equal(raw, cert.Raw) {
			sums = append(sums, sha256.Sum256(raw))
		}
	}
	add(s)
	for _, twin := range twins(s.signature) {
		add(signed{s.tbs, s.algorithm, twin})
	}
	return sums
}

// twins are the other forms of an ECDSA signature (RFC 3279 section 2.2.3), one for each curve that
// the authority's key can be on; there are none of any other signature.
func twins(signature []byte) [][]byte {
	input := cryptobyte.String(signature)
	var sequence cryptobyte.String
	r, s := new(big.Int), new(big.Int)
	if !input.ReadASN1(&sequence, cbasn1.SEQUENCE) || !input.Empty() ||
		!sequence.ReadASN1Integer(r) || !sequence.ReadASN1Integer(s) || !sequence.Empty() || s.Sign() <= 0 {
		return nil
	}
	var all [][]byte
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		other := new(big.Int).Sub(curve.Params().N, s)
		if other.Sign() <= 0 {
			continue
		}
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1BigInt(r)
			b.AddASN1BigInt(other)
		})
		if twin, err := b.Bytes(); err == nil {
			all = append(all, twin)
		}
	}
	return all
}
