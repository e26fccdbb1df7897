package crl_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
)

// now is the time at which lists are checked in these tests.
var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// authority issues certificates and lists.
type authority struct {
	*x509.Certificate
	key crypto.Signer
}

// change edits a template before it is signed.
type change func(*x509.Certificate)

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// newAuthority makes an authority with a new key. Without a parent, it is a root.
func newAuthority(t testing.TB, name string, parent *authority, changes ...change) *authority {
	t.Helper()
	return newAuthorityWithKey(t, name, parent, newKey(t), changes...)
}

func newAuthorityWithKey(
	t testing.TB, name string, parent *authority, key crypto.Signer, changes ...change,
) *authority {
	t.Helper()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name, Organization: []string{"Acme"}},
		SerialNumber:          big.NewInt(77),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	for _, c := range changes {
		c(template)
	}
	self := &authority{template, key}
	if parent == nil {
		parent = self
	}
	self.Certificate = parent.sign(t, template, key.Public())
	return self
}

func (a *authority) sign(t testing.TB, template *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	template.NotBefore, template.NotAfter = now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, key, a.key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

// client issues a client's certificate.
func (a *authority) client(t testing.TB, serial int64, changes ...change) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "alice"}, SerialNumber: big.NewInt(serial)}
	for _, c := range changes {
		c(template)
	}
	return a.sign(t, template, newKey(t).Public())
}

// list describes a revocation list. By default, it was issued an hour ago, the next
// one is due in an hour, and it has no entries.
type list struct {
	authority  *authority
	v1         bool
	thisUpdate time.Duration // before now
	nextUpdate time.Duration // after now
	noNext     bool
	number     int64
	keyID      []byte // nil: the authority's; empty: none
	exts       []pkix.Extension
	entries    []x509.RevocationListEntry
	rawEntries []byte // instead
	rawIssuer  []byte
	algorithm  asn1.ObjectIdentifier
	forged     bool // the signature
}

func revoked(serials ...int64) []x509.RevocationListEntry {
	var entries []x509.RevocationListEntry
	for _, serial := range serials {
		entries = append(entries, x509.RevocationListEntry{SerialNumber: big.NewInt(serial)})
	}
	return entries
}

func revokedFor(reason int, serial int64) []x509.RevocationListEntry {
	entries := revoked(serial)
	entries[0].ExtraExtensions = []pkix.Extension{{
		Id: asn1.ObjectIdentifier{2, 5, 29, 21}, Value: []byte{0x0a, 1, byte(reason)},
	}}
	return entries
}

var (
	oidECDSAWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSAWithSHA1   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}
)

// der signs the list. x509.CreateRevocationList could not make most of the lists that
// these tests need.
func (l list) der(t testing.TB) []byte {
	t.Helper()
	if l.thisUpdate == 0 {
		l.thisUpdate = time.Hour
	}
	if l.nextUpdate == 0 {
		l.nextUpdate = time.Hour
	}
	if l.algorithm == nil {
		l.algorithm = oidECDSAWithSHA256
	}
	if l.rawIssuer == nil {
		l.rawIssuer = l.authority.RawSubject
	}
	algorithm := func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(l.algorithm) })
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if !l.v1 {
			b.AddASN1Int64(1)
		}
		algorithm(b)
		b.AddBytes(l.rawIssuer)
		b.AddASN1UTCTime(now.Add(-l.thisUpdate))
		if !l.noNext {
			b.AddASN1UTCTime(now.Add(l.nextUpdate))
		}
		l.addEntries(b)
		if !l.v1 {
			l.addExtensions(b)
		}
	})
	tbs := b.BytesOrPanic()
	digest := sha256.Sum256(tbs)
	signature, err := l.authority.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	require.NoError(t, err)
	if l.forged {
		signature[len(signature)-1] ^= 1
	}

	b = cryptobyte.Builder{}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		algorithm(b)
		b.AddASN1BitString(signature)
	})
	return b.BytesOrPanic()
}

func (l list) addEntries(b *cryptobyte.Builder) {
	if l.rawEntries == nil && l.entries == nil {
		return
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(l.rawEntries)
		for _, e := range l.entries {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1BigInt(e.SerialNumber)
				b.AddASN1UTCTime(now.AddDate(0, -1, 0))
				if e.ExtraExtensions != nil {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addAll(b, e.ExtraExtensions) })
				}
			})
		}
	})
}

func (l list) addExtensions(b *cryptobyte.Builder) {
	exts := l.exts
	if l.keyID == nil {
		l.keyID = l.authority.SubjectKeyId
	}
	if len(l.keyID) > 0 {
		var id cryptobyte.Builder
		id.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(l.keyID) })
		})
		exts = append([]pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 35}, Value: id.BytesOrPanic()}}, exts...)
	}
	if l.number != 0 {
		var number cryptobyte.Builder
		number.AddASN1Int64(l.number)
		exts = append(exts, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 20}, Value: number.BytesOrPanic()})
	}
	if len(exts) > 0 {
		b.AddASN1(cbasn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addAll(b, exts) })
		})
	}
}

func addAll(b *cryptobyte.Builder, exts []pkix.Extension) {
	for _, ext := range exts {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(ext.Id)
			if ext.Critical {
				b.AddASN1Boolean(true)
			}
			b.AddASN1OctetString(ext.Value)
		})
	}
}

// point returns an issuing distribution point with URIs and a flag, which is a tag
// number, or 0 for none.
func point(flag uint8, uris ...string) []pkix.Extension {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if len(uris) > 0 {
			b.AddASN1(cbasn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
					for _, uri := range uris {
						b.AddASN1(cbasn1.Tag(6).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(uri)) })
					}
				})
			})
		}
		if flag > 0 {
			b.AddASN1(cbasn1.Tag(flag).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddUint8(0xff) })
		}
	})
	return []pkix.Extension{rawPoint(b.BytesOrPanic())}
}

// reasons returns an issuing distribution point for some reasons, in the bits of ReasonFlags.
func reasons(bits ...byte) []pkix.Extension {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(3).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddUint8(0); b.AddBytes(bits) })
	})
	return []pkix.Extension{rawPoint(b.BytesOrPanic())}
}

func rawPoint(value []byte) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: value}
}

// bundle returns lists in PEM.
func bundle(t testing.TB, lists ...list) []byte {
	t.Helper()
	var data []byte
	for _, l := range lists {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: l.der(t)})...)
	}
	return data
}

func parse(t testing.TB, lists ...list) *crl.Lists {
	t.Helper()
	if len(lists) == 0 {
		return new(crl.Lists)
	}
	parsed, err := crl.Parse(bundle(t, lists...))
	require.NoError(t, err)
	return parsed
}
