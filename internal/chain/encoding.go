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

// A signature does not cover itself, nor the encoding around it. So anybody can encode these parts of a
// certificate in another way, without the authority's key. crypto/x509 accepts the result as the same
// certificate, but it has another fingerprint.

// signed has the three parts of a certificate (RFC 5280 section 4.1).
type signed struct {
	tbs       []byte // with its tag and length
	algorithm []byte // with its tag and length
	signature []byte // without the unused bits
}

// parse splits a certificate. It is as lenient as crypto/x509, which has read the certificate before.
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

// encode encodes the three parts as an authority does.
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

// Reencoded reports whether a certificate is encoded in another way than an authority does it: the
// signature has unused bits, or something follows it. crypto/x509 accepts such a certificate.
func Reencoded(cert *x509.Certificate) bool {
	s, ok := parse(cert.Raw)
	if !ok {
		return true
	}
	raw, ok := s.encode()
	return !ok || !bytes.Equal(raw, cert.Raw)
}

// Fingerprints returns the SHA-256 fingerprints under which a certificate may be known. The first one is
// that of the certificate as it is. If it is Reencoded, there is that of the authority's encoding too.
//
// A signature with ECDSA has two forms: if (r, s) is valid, (r, n-s) is valid too, where n is the order
// of the curve. Nobody can tell which of them the authority made, so there is a fingerprint for both.
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

// twins returns the other form of an ECDSA signature (RFC 3279 section 2.2.3), for each curve that the
// authority's key can be on. It returns nothing for other signatures.
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
