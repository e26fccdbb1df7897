package esjwt_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// certificateParts are those of a certificate (RFC 5280 section 4.1).
type certificateParts struct {
	TBS       asn1.RawValue
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

// written is a certificate in another form, which anybody who has it can make: the signature of its
// authority does not cover itself.
func written(t testing.TB, raw []byte, change func(*certificateParts)) []byte {
	t.Helper()
	var parts certificateParts
	_, err := asn1.Unmarshal(raw, &parts)
	require.NoError(t, err)
	change(&parts)
	der, err := asn1.Marshal(parts)
	require.NoError(t, err)
	require.NotEqual(t, raw, der)
	return der
}

// otherSign turns the (r, s) of a signature with ECDSA into (r, n-s), which is one as well.
func otherSign(t testing.TB, a *authority) func(*certificateParts) {
	return func(p *certificateParts) {
		var signature struct{ R, S *big.Int }
		_, err := asn1.Unmarshal(p.Signature.Bytes, &signature)
		require.NoError(t, err)
		signature.S = new(big.Int).Sub(a.key.Public().(*ecdsa.PublicKey).Params().N, signature.S)
		der, err := asn1.Marshal(signature)
		require.NoError(t, err)
		p.Signature = asn1.BitString{Bytes: der, BitLength: 8 * len(der)}
	}
}

// unusedBit moves a signature that begins with a zero bit by that bit.
func unusedBit(p *certificateParts) {
	signature := p.Signature.Bytes
	moved := new(big.Int).Lsh(new(big.Int).SetBytes(signature), 1).FillBytes(make([]byte, len(signature)))
	p.Signature = asn1.BitString{Bytes: moved, BitLength: 8*len(signature) - 1}
}

// trailing puts something behind the signature.
func trailing(t testing.TB, raw []byte) []byte {
	t.Helper()
	var certificate asn1.RawValue
	_, err := asn1.Unmarshal(raw, &certificate)
	require.NoError(t, err)
	der, err := asn1.Marshal(asn1.RawValue{
		Tag: asn1.TagSequence, IsCompound: true,
		Bytes: append(bytes.Clone(certificate.Bytes), 5, 0),
	})
	require.NoError(t, err)
	return der
}

// withDER is a client's certificate with other bytes.
func withDER(cert tls.Certificate, der []byte) tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: cert.PrivateKey}
}

// zeroBit issues certificates until one has a signature that begins with a zero bit.
func zeroBit(a *authority, cn string) tls.Certificate {
	for {
		if cert := a.client(cn); cert.Leaf.Signature[0] < 0x80 {
			return cert
		}
	}
}

// TestADeniedClientWritesItsCertificateAnew, which gives it another fingerprint (as with the
// malleable signatures of BIP 62, and the unused bits of X.690 section 8.6.2). It is refused, whoever
// verifies it.
func TestADeniedClientWritesItsCertificateAnew(t *testing.T) {
	byTLS := strings.Replace(ownPool, "\ttrust_pool file {{clients}}\n", "", 1)
	byTLS = strings.Replace(byTLS, "mode request", "mode verify_if_given\ntrust_pool file {{clients}}", 1)
	for name, caddyfile := range map[string]string{"verified by TLS": byTLS, "verified by the handler": ownPool} {
		t.Run(name, func(t *testing.T) {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			require.NoError(t, err)
			rsaCA := newAuthorityWith(t, "an authority with RSA", key)
			denied := writeFile(t, "denied.txt", nil)
			caddyfile = strings.Replace(caddyfile, "file {{clients}}", "file {{clients}} "+rsaCA.file(), 1)
			s := newSceneOf(t, caddyfile, "{{settings}}", "deny "+denied)
			issuing := s.clients.intermediate("issuing authority")
			alice, below, bob := s.clients.client("alice"), issuing.client("below"), zeroBit(rsaCA, "bob")
			twin := written(t, alice.Certificate[0], otherSign(t, s.clients))
			issuingTwin, issuingMoved := parsed(t, written(t, issuing.cert.Raw, otherSign(t, s.clients))),
				parsed(t, written(t, issuing.cert.Raw, unusedBit))

			type ask struct {
				what string
				cert tls.Certificate
				want string
			}
			expect := func(asks ...ask) {
				t.Helper()
				for _, a := range asks {
					require.Equal(t, a.want, s.sends(a.cert), a.what)
				}
			}
			refused := []ask{
				{"an unused bit", withDER(alice, written(t, alice.Certificate[0], unusedBit)), "unverified"},
				{"n-s with an unused bit", withDER(alice, written(t, twin, unusedBit)), "unverified"},
				{"something after the signature", withDER(alice, trailing(t, alice.Certificate[0])), "unverified"},
				{"RSA with an unused bit", withDER(bob, written(t, bob.Certificate[0], unusedBit)), "unverified"},
				{"an intermediate with an unused bit", along(below, issuingMoved), "unverified"},
			}
			expect(refused...)
			expect(
				ask{"as it was issued", alice, "alice []"},
				ask{"n-s, which the authority could have chosen", withDER(alice, twin), "alice []"},
				ask{"RSA", bob, "bob []"},
				ask{"an intermediate", along(below, issuing.cert), "below []"},
				ask{"an intermediate with n-s", along(below, issuingTwin), "below []"},
				ask{"an intermediate with an unused bit and as it was", along(below, issuingMoved, issuing.cert), "below []"},
			)
			deny := func(der []byte) {
				t.Helper()
				sum := sha256.Sum256(der)
				if err := os.WriteFile(denied, []byte("fingerprint "+hex.EncodeToString(sum[:])+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				s.load(caddyfile, s.replacements("{{settings}}", "deny "+denied)...)
			}
			for _, der := range [][]byte{alice.Certificate[0], twin} {
				deny(der)
				expect(refused...)
				expect(ask{"denied", alice, "revoked"}, ask{"n-s", withDER(alice, twin), "revoked"}, ask{"another", bob, "bob []"})
			}
			for _, der := range [][]byte{
				issuing.cert.Raw, issuingTwin.Raw,
				written(t, s.clients.cert.Raw, otherSign(t, s.clients)),
			} {
				deny(der)
				expect(ask{"below what is denied", along(below, issuing.cert), "revoked"},
					ask{"and n-s", along(below, issuingTwin), "revoked"})
			}
		})
	}
}

func parsed(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

// TestAThumbprintIsOfTheCertificateAsItWasSent (RFC 8705 section 3.1), and so are {cert.fingerprint}
// and the audit log.
func TestAThumbprintIsOfTheCertificateAsItWasSent(t *testing.T) {
	s := newScene(t, "confirmation\nclaim fingerprint {cert.fingerprint}")
	alice := s.clients.client("alice")
	for _, der := range [][]byte{alice.Certificate[0], written(t, alice.Certificate[0], otherSign(t, s.clients))} {
		require.Equal(t, http.StatusOK, s.get(s.httpClient(withDER(alice, der)), "/").StatusCode)
		claims := unverifiedClaims(s.upstream.last(t).Header.Get("Authorization"))
		sum := sha256.Sum256(der)
		require.Equal(t, hex.EncodeToString(sum[:]), claims["fingerprint"])
		require.Equal(t, map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}, claims["cnf"])
		require.Contains(t, s.logs.String(), `"certificate_fingerprint":"`+hex.EncodeToString(sum[:])+`"`)
	}
}

// TestExplainKnowsACertificateThatWasWrittenAnew, also where it is not asked what the chain leads to.
func TestExplainKnowsACertificateThatWasWrittenAnew(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	alice := ca.client("alice").Leaf
	twin, moved := parsed(t, written(t, alice.Raw, otherSign(t, ca))), parsed(t, written(t, alice.Raw, unusedBit))
	sum := sha256.Sum256(alice.Raw)
	denied := writeFile(t, "denied.txt", []byte("fingerprint "+hex.EncodeToString(sum[:])+"\n"))
	for _, trust := range []string{"", `,"trust_pool":{"provider":"file","pem_files":["` + ca.file() + `"]}`} {
		h := configured(t, trust)
		require.Equal(t, "alice", h.Explained(alice))
		require.Equal(t, "alice", h.Explained(twin))
		require.Equal(t, "unverified", h.Explained(moved))
		h = configured(t, trust+`,"deny":["`+denied+`"]`)
		require.Equal(t, "revoked", h.Explained(alice))
		require.Equal(t, "revoked", h.Explained(twin))
	}
}
