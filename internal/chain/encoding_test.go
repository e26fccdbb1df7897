package chain_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/chain"
)

// parts are the parts of a certificate. Tests put them together in other ways.
type parts struct {
	TBS       asn1.RawValue
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

func partsOf(t testing.TB, raw []byte) parts {
	t.Helper()
	var p parts
	rest, err := asn1.Unmarshal(raw, &p)
	require.NoError(t, err)
	require.Empty(t, rest)
	return p
}

func marshal(t testing.TB, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	require.NoError(t, err)
	return der
}

// sequence returns a SEQUENCE whose length has more bytes than necessary.
func sequence(longer int, content ...[]byte) []byte {
	return tagged(0x30, longer, bytes.Join(content, nil))
}

func tagged(tag byte, longer int, content []byte) []byte {
	length := big.NewInt(int64(len(content))).Bytes()
	length = append(make([]byte, longer), length...)
	if longer == 0 && len(content) < 0x80 {
		return append([]byte{tag, byte(len(content))}, content...)
	}
	return slices.Concat([]byte{tag, 0x80 | byte(len(length))}, length, content)
}

// shifted moves a signature to the left, and declares as many bits to be unused.
func shifted(signature []byte, bits int) asn1.BitString {
	moved := new(big.Int).Lsh(new(big.Int).SetBytes(signature), uint(bits))
	return asn1.BitString{Bytes: moved.FillBytes(make([]byte, len(signature))), BitLength: 8*len(signature) - bits}
}

type ecdsaSignature struct{ R, S *big.Int }

// otherForms returns the forms into which the holder of a certificate may change it. crypto/x509 accepts
// some of them.
func otherForms(t testing.TB, raw []byte, authority crypto.PublicKey) map[string][]byte {
	t.Helper()
	p := partsOf(t, raw)
	tbs, algorithm, signature := p.TBS.FullBytes, p.Algorithm.FullBytes, p.Signature.Bytes
	bitString := marshal(t, p.Signature)
	forms := map[string][]byte{
		"something after the signature":      sequence(0, tbs, algorithm, bitString, []byte{5, 0}),
		"bytes after the signature":          sequence(0, tbs, algorithm, bitString, []byte("anything")),
		"something after the certificate":    append(bytes.Clone(raw), 5, 0),
		"a longer length of the certificate": sequence(1, tbs, algorithm, bitString),
		"a longer length of the algorithm":   sequence(0, tbs, sequence(1, p.Algorithm.Bytes), bitString),
		"a longer length of the signature":   sequence(0, tbs, algorithm, tagged(3, 1, append([]byte{0}, signature...))),
		"no definite length":                 slices.Concat([]byte{0x30, 0x80}, tbs, algorithm, bitString, []byte{0, 0}),
		"a constructed signature":            sequence(0, tbs, algorithm, tagged(0x23, 0, bitString)),
		"an algorithm with NULL after it":    sequence(0, tbs, sequence(0, p.Algorithm.Bytes, []byte{5, 0}), bitString),
		"an algorithm without parameters": sequence(0, tbs, sequence(0, p.Algorithm.Bytes[:2+p.Algorithm.Bytes[1]]),
			bitString),
		"a signature with a zero before it": sequence(0, tbs, algorithm,
			marshal(t, asn1.BitString{Bytes: append([]byte{0}, signature...), BitLength: 8 + 8*len(signature)})),
		"a signature with a zero after it": sequence(0, tbs, algorithm,
			marshal(t, asn1.BitString{Bytes: append(bytes.Clone(signature), 0), BitLength: 8 + 8*len(signature)})),
		"a signature with a zero that is bits": sequence(0, tbs, algorithm,
			marshal(t, asn1.BitString{Bytes: append(bytes.Clone(signature), 0), BitLength: 1 + 8*len(signature)})),
		"an algorithm of an equal one beside it":  sequence(0, tbs, algorithm, algorithm, bitString),
		"a signature that is not a bit string":    sequence(0, tbs, algorithm, tagged(4, 0, signature)),
		"a signature with unused bits that count": sequence(0, tbs, algorithm, tagged(3, 0, append([]byte{7}, signature...))),
	}
	for bits := 1; bits < 8 && signature[0]>>(8-bits) == 0; bits++ {
		forms["shifted by bits, "+string(rune('0'+bits))] = marshal(t, parts{p.TBS, p.Algorithm, shifted(signature, bits)})
	}
	again := func(name string, signature []byte) {
		forms[name] = marshal(t, parts{p.TBS, p.Algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	}
	switch key := authority.(type) {
	case *ecdsa.PublicKey:
		var sig ecdsaSignature
		_, err := asn1.Unmarshal(signature, &sig)
		require.NoError(t, err)
		n := key.Params().N
		r, s := marshal(t, sig.R), marshal(t, sig.S)
		negated := marshal(t, ecdsaSignature{sig.R, new(big.Int).Sub(n, sig.S)})
		again("n-s", negated)
		forms["n-s shifted"] = marshal(t, parts{p.TBS, p.Algorithm, shifted(negated, 1)})
		again("s+n", marshal(t, ecdsaSignature{sig.R, new(big.Int).Add(n, sig.S)}))
		again("r+n", marshal(t, ecdsaSignature{new(big.Int).Add(n, sig.R), sig.S}))
		again("-s", marshal(t, ecdsaSignature{sig.R, new(big.Int).Neg(sig.S)}))
		again("a longer r", sequence(0, tagged(2, 0, append([]byte{0}, r[2:]...)), s))
		again("a longer length of both", sequence(1, r, s))
		again("three numbers", sequence(0, r, s, s))
		again("something after both", append(bytes.Clone(signature), 5, 0))
	case *rsa.PublicKey:
		number := new(big.Int).SetBytes(signature)
		again("plus the modulus", new(big.Int).Add(number, key.N).Bytes())
		again("negated", new(big.Int).Sub(key.N, number).FillBytes(make([]byte, len(signature))))
	case ed25519.PublicKey:
		order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
		little := bytes.Clone(signature[32:])
		slices.Reverse(little)
		more := new(big.Int).Add(new(big.Int).SetBytes(little), order).FillBytes(make([]byte, 32))
		slices.Reverse(more)
		again("S plus the order", append(bytes.Clone(signature[:32]), more...))
		again("R with its sign", slices.Concat(signature[:31], []byte{signature[31] ^ 0x80}, signature[32:]))
	}
	return forms
}

// issuers returns an authority for each kind of key and signature.
func issuers(t testing.TB) map[string]issuer {
	t.Helper()
	ec := func(curve elliptic.Curve) crypto.Signer {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		require.NoError(t, err)
		return key
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	odd, err := rsa.GenerateKey(rand.Reader, 2050) // with room in the first byte
	require.NoError(t, err)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return map[string]issuer{
		"P-224":              newIssuer(t, ec(elliptic.P224()), x509.ECDSAWithSHA256),
		"P-256":              newIssuer(t, ec(elliptic.P256()), x509.ECDSAWithSHA256),
		"P-384":              newIssuer(t, ec(elliptic.P384()), x509.ECDSAWithSHA384),
		"P-521":              newIssuer(t, ec(elliptic.P521()), x509.ECDSAWithSHA512),
		"P-521 with SHA-256": newIssuer(t, ec(elliptic.P521()), x509.ECDSAWithSHA256),
		"RSA":                newIssuer(t, rsaKey, x509.SHA256WithRSA),
		"RSA-PSS":            newIssuer(t, rsaKey, x509.SHA384WithRSAPSS),
		"RSA of 2050 bits":   newIssuer(t, odd, x509.SHA512WithRSA),
		"Ed25519":            newIssuer(t, edwards, x509.PureEd25519),
	}
}

type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
	algo x509.SignatureAlgorithm
}

func newIssuer(t testing.TB, key crypto.Signer, algo x509.SignatureAlgorithm) issuer {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, SignatureAlgorithm: algo,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return issuer{cert, key, algo}
}

// issue makes a certificate for a key.
func (i issuer) issue(t testing.TB, serial int64, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "alice"}, SignatureAlgorithm: i.algo,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	var random io.Reader // without one, ECDSA is deterministic (RFC 6979)
	if i.algo == x509.SHA384WithRSAPSS {
		random = rand.Reader
	}
	der, err := x509.CreateCertificate(random, template, i.cert, key, i.key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

// TestACertificateInAnotherFormIsKnownForIt: the holder of a certificate can change its fingerprint
// without breaking the authority's signature. One way is n-s, as in Bitcoin's transaction malleability
// (BIP 62). Others use the unused bits of a BIT STRING (X.690 section 8.6.2). All forms that crypto/x509
// accepts have the fingerprint of the issued certificate among theirs, and all but n-s are Reencoded.
func TestACertificateInAnotherFormIsKnownForIt(t *testing.T) {
	taken := map[string]bool{}
	for name, authority := range issuers(t) {
		t.Run(name, func(t *testing.T) {
			for serial := range int64(8) { // some signatures begin with zero bits
				cert := authority.issue(t, serial+1, authority.key.Public())
				require.False(t, chain.Reencoded(cert))
				own := sha256.Sum256(cert.Raw)
				require.Equal(t, own, chain.Fingerprints(cert)[0])
				for form, raw := range otherForms(t, cert.Raw, authority.key.Public()) {
					other, err := x509.ParseCertificate(raw)
					if err != nil || bytes.Equal(other.Raw, cert.Raw) || other.CheckSignatureFrom(authority.cert) != nil {
						continue
					}
					taken[form] = true
					require.Contains(t, chain.Fingerprints(other), own, form)
					require.Equal(t, form != "n-s", chain.Reencoded(other), form)
				}
			}
		})
	}
	require.True(t, taken["n-s"])
	require.True(t, taken["shifted by bits, 1"])
	require.True(t, taken["something after the signature"])
}

// TestEitherFormOfASignatureMayBeTheAuthoritys: an authority makes s or n-s, at random.
func TestEitherFormOfASignatureMayBeTheAuthoritys(t *testing.T) {
	authority := issuers(t)["P-256"]
	cert := authority.issue(t, 1, authority.key.Public())
	twin, err := x509.ParseCertificate(otherForms(t, cert.Raw, authority.key.Public())["n-s"])
	require.NoError(t, err)
	require.Contains(t, chain.Fingerprints(cert), sha256.Sum256(twin.Raw))
	require.Contains(t, chain.Fingerprints(twin), sha256.Sum256(cert.Raw))
}

// FuzzReencoded looks for a form of a certificate that crypto/x509 accepts, and that is neither Reencoded
// nor has the fingerprint of the original. The keys are the same in each process.
func FuzzReencoded(f *testing.F) {
	var authorities []issuer
	originals := map[string]*x509.Certificate{} // by what is signed
	add := func(key crypto.Signer, algo x509.SignatureAlgorithm) {
		authority := newIssuer(f, key, algo)
		authorities = append(authorities, authority)
		for serial := range int64(3) {
			cert := authority.issue(f, serial+1, key.Public())
			originals[string(cert.RawTBSCertificate)] = cert
			f.Add(cert.Raw)
			for _, raw := range otherForms(f, cert.Raw, key.Public()) {
				f.Add(raw)
			}
		}
	}
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	add(ed25519.NewKeyFromSeed(seed), x509.PureEd25519)
	for curve, size := range map[elliptic.Curve]int{elliptic.P256(): 32, elliptic.P384(): 48, elliptic.P521(): 66} {
		private := make([]byte, size)
		private[size-1] = 7
		key, err := ecdsa.ParseRawPrivateKey(curve, private)
		require.NoError(f, err)
		add(key, x509.ECDSAWithSHA256)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			return
		}
		sums, reencoded := chain.Fingerprints(cert), chain.Reencoded(cert)
		require.Equal(t, sha256.Sum256(raw), sums[0])
		for _, authority := range authorities {
			if cert.CheckSignatureFrom(authority.cert) != nil {
				continue
			}
			original, ok := originals[string(cert.RawTBSCertificate)]
			require.True(t, ok, "a certificate that was not issued")
			require.Contains(t, sums, sha256.Sum256(original.Raw))
			if !reencoded {
				require.Contains(t, chain.Fingerprints(original), sums[0])
			}
		}
	})
}
