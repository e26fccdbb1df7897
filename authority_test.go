package esjwt_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority is a certificate authority of a test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
	dir  string
}

var serials = struct {
	sync.Mutex
	n int64
}{}

func nextSerial() *big.Int {
	serials.Lock()
	defer serials.Unlock()
	serials.n++
	return big.NewInt(1000 + serials.n)
}

// newAuthority makes a root authority.
func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return newAuthorityWith(t, name, key)
}

// newAuthorityWith makes a root authority with a key.
func newAuthorityWith(t testing.TB, name string, key crypto.Signer) *authority {
	t.Helper()
	a := &authority{t: t, key: key, dir: t.TempDir(), cert: &x509.Certificate{Subject: pkix.Name{CommonName: name}}}
	a.cert = a.certify(a, time.Now().Add(24*time.Hour))
	a.write("ca.pem", pemOf(a.cert.Raw))
	return a
}

// intermediate makes an authority below this one.
func (a *authority) intermediate(name string) *authority {
	a.t.Helper()
	b := newAuthority(a.t, name)
	b.cert = a.certify(b, time.Now().Add(24*time.Hour))
	b.write("ca.pem", pemOf(b.cert.Raw))
	return b
}

// certify makes a certificate for another authority's name and key: one that is certified by
// several is cross-signed.
func (a *authority) certify(b *authority, notAfter time.Time) *x509.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber:          nextSerial(),
		Subject:               b.cert.Subject,
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, b.key.Public(), a.key)
	require.NoError(a.t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return cert
}

// along is a client certificate with intermediates that are sent after it.
func along(cert tls.Certificate, intermediates ...*x509.Certificate) tls.Certificate {
	cert.Certificate = slices.Clone(cert.Certificate)
	for _, c := range intermediates {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return cert
}

// pemOf is a certificate in PEM.
func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// keyFile writes the authority's key in PEM.
func (a *authority) keyFile() string {
	a.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	require.NoError(a.t, err)
	return a.write("ca.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (a *authority) write(name string, content []byte) string {
	a.t.Helper()
	file := filepath.Join(a.dir, name)
	require.NoError(a.t, os.WriteFile(file, content, 0o600))
	return file
}

// file is the authority's certificate in PEM.
func (a *authority) file() string { return filepath.Join(a.dir, "ca.pem") }

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue makes a certificate from a template, with what the template leaves out filled in.
func (a *authority) issue(template x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template.SerialNumber = nextSerial()
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(12 * time.Hour)
	}
	if template.ExtKeyUsage == nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, key.Public(), a.key)
	require.NoError(a.t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// client issues a client certificate for a user with groups.
func (a *authority) client(cn string, groups ...string) tls.Certificate {
	a.t.Helper()
	return a.issue(x509.Certificate{Subject: pkix.Name{CommonName: cn, Organization: groups}})
}

// server writes a server certificate for names and addresses, and returns its files.
func (a *authority) server(names ...string) (certFile, keyFile string) {
	a.t.Helper()
	template := x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	cert := a.issue(template)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(a.t, err)
	return a.write("server.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})),
		a.write("server.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

// rdn is a relative distinguished name with a value as the tag says, whatever its bytes.
func rdn(oid asn1.ObjectIdentifier, tag int, value string) []pkix.AttributeTypeAndValue {
	return []pkix.AttributeTypeAndValue{{Type: oid, Value: asn1.RawValue{Tag: tag, Bytes: []byte(value)}}}
}

// subject is the DER of a distinguished name.
func subject(t testing.TB, rdns ...[]pkix.AttributeTypeAndValue) []byte {
	t.Helper()
	var seq []asn1.RawValue
	for _, set := range rdns {
		der, err := asn1.MarshalWithParams(set, "set")
		require.NoError(t, err)
		seq = append(seq, asn1.RawValue{FullBytes: der})
	}
	der, err := asn1.Marshal(seq)
	require.NoError(t, err)
	return der
}

const utf8String = asn1.TagUTF8String

// revocationList is a list of an authority in DER.
func revocationList(t testing.TB, a *authority, nextUpdate time.Time, revoked ...*x509.Certificate) []byte {
	t.Helper()
	return revocationListFrom(t, a, time.Now().Add(-time.Minute), nextUpdate, revoked...)
}

// revocationListFrom is one with a thisUpdate.
func revocationListFrom(
	t testing.TB, a *authority, thisUpdate, nextUpdate time.Time, revoked ...*x509.Certificate,
) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: nextSerial(), ThisUpdate: thisUpdate, NextUpdate: nextUpdate}
	for _, cert := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: template.ThisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	require.NoError(t, err)
	return der
}

// referenceCertificate is the certificate of the reference client: 1 KB, three groups.
func referenceCertificate(a *authority, cn string) *x509.Certificate {
	return a.issue(x509.Certificate{
		Subject: pkix.Name{
			CommonName:         cn,
			Organization:       []string{"analysts", "readers", "writers"},
			OrganizationalUnit: []string{"data platform"},
			Country:            []string{"DE"},
		},
		DNSNames:        []string{cn + ".clients.example.com"},
		EmailAddresses:  []string{cn + "@example.com"},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 55738, 1}, Value: make([]byte, 400)}},
	}).Leaf
}

// renamed is a copy of a certificate with another common name. Its signature is not valid, but
// that is for the TLS layer to check.
func renamed(t testing.TB, cert *x509.Certificate, i int) *x509.Certificate {
	t.Helper()
	c := *cert
	subject := cert.Subject
	subject.CommonName = "client-" + strconv.Itoa(i)
	var err error
	c.RawSubject, err = asn1.Marshal(subject.ToRDNSequence())
	require.NoError(t, err)
	return &c
}
