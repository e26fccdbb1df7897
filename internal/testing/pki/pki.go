// Package pki makes throwaway certificate authorities and certificates for tests
// and examples. Its functions panic on errors. The key of an authority is nowhere
// but in memory.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// CA is a certificate authority.
type CA struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// NewCA makes a self-signed authority. Its certificates are valid for a day.
func NewCA(name string) *CA { return NewCAFor(name, 24*time.Hour) }

// NewCAFor makes a self-signed authority that is valid for some time.
func NewCAFor(name string, validFor time.Duration) *CA {
	key := newKey()
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(validFor),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return &CA{Certificate: must(x509.ParseCertificate(der)), key: key}
}

// PEM returns the authority's certificate.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate.Raw})
}

// Pool returns a pool with the authority.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate)
	return pool
}

// Pair is a certificate with its private key.
type Pair struct {
	// Cert and Key (PKCS#8) are PEM.
	Cert, Key []byte
	// Leaf is the parsed certificate, or nil if crypto/x509 cannot parse it.
	Leaf *x509.Certificate
	// TLS is the pair for crypto/tls.
	TLS tls.Certificate
}

// Server issues a server's certificate for names and addresses. The first one is
// the common name.
func (ca *CA) Server(names ...string) Pair {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return ca.Issue(template)
}

// Client issues a client's certificate. The groups are its organizations.
func (ca *CA) Client(name string, groups ...string) Pair {
	return ca.ClientSubject(pkix.Name{CommonName: name, Organization: groups})
}

// ClientSubject issues a client's certificate with any subject.
func (ca *CA) ClientSubject(subject pkix.Name) Pair {
	return ca.Issue(&x509.Certificate{Subject: subject})
}

// ClientRaw issues a client's certificate with a subject in DER, for subjects that
// crypto/x509 cannot write.
func (ca *CA) ClientRaw(subject []byte) Pair {
	return ca.Issue(&x509.Certificate{RawSubject: subject})
}

// Issue issues a certificate. Where the template has no value, the certificate is
// one for a client, and is valid as long as its authority.
func (ca *CA) Issue(template *x509.Certificate) Pair {
	full := *template
	if full.SerialNumber == nil {
		full.SerialNumber = newSerial()
	}
	if full.NotBefore.IsZero() {
		full.NotBefore = ca.Certificate.NotBefore
	}
	if full.NotAfter.IsZero() {
		full.NotAfter = ca.Certificate.NotAfter
	}
	if full.KeyUsage == 0 {
		full.KeyUsage = x509.KeyUsageDigitalSignature
	}
	if full.ExtKeyUsage == nil {
		full.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	key := newKey()
	der := must(x509.CreateCertificate(rand.Reader, &full, ca.Certificate, key.Public(), ca.key))
	return newPair(der, key)
}

// RevocationList makes a list of revoked certificates, in DER. It is valid for an
// hour.
func (ca *CA) RevocationList(revoked ...Pair) []byte {
	now := time.Now()
	template := &x509.RevocationList{
		Number: big.NewInt(now.UnixNano()), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour),
	}
	for _, pair := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: pair.Leaf.SerialNumber, RevocationTime: template.ThisUpdate})
	}
	return must(x509.CreateRevocationList(rand.Reader, template, ca.Certificate, ca.key))
}

// Write writes the pair as <name>.pem and <name>.key.
func (p Pair) Write(dir, name string) error {
	if err := os.WriteFile(filepath.Join(dir, name+".pem"), p.Cert, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".key"), p.Key, 0o600)
}

func newPair(der []byte, key *ecdsa.PrivateKey) Pair {
	pair := Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))}),
	}
	// A client can use a certificate that Go cannot parse.
	if leaf, err := x509.ParseCertificate(der); err == nil {
		pair.Leaf = leaf
	}
	pair.TLS = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: pair.Leaf}
	return pair
}

func newKey() *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

func newSerial() *big.Int {
	return must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("make a throwaway certificate: %v", err))
	}
	return value
}
