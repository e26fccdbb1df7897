// Package denylist reads the deny list: a file of clients that are refused even
// though their certificates are valid.
//
//	# One client on each line. A comment has a line of its own.
//	fingerprint 5B:0E:…:91                         SHA-256 of the certificate
//	spki        uGf3…dQ4=                          SHA-256 of its public key, as a pin or in hexadecimal
//	serial      4A:3F:09 issuer CN=Users,O=Acme    as its authority counts
//	subject     CN=alice,OU=data,O=Acme            every certificate with this name
//
// An ECDSA signature has two forms, and the holder of a certificate can change it
// from one to the other. So a fingerprint denies the certificate in both forms.
//
// Parse refuses the whole file if a line cannot be read or can never match. A
// typing error must not let a client in.
package denylist

import (
	"crypto/sha256"
	"crypto/x509"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/chain"
)

// MaxSize is how many bytes the file can have. That is enough for 200,000 lines.
const MaxSize = 32 << 20

// The keywords of the entries.
const (
	Fingerprint = "fingerprint"
	SPKI        = "spki"
	Serial      = "serial"
	Subject     = "subject"
)

// List is a deny list. It does not change after Parse and may be used by many
// goroutines.
type List struct {
	fingerprints map[[sha256.Size]byte]struct{}
	spkis        map[[sha256.Size]byte]struct{}
	issuers      map[nameKey]int // the number that serialKey has for an issuer
	serials      map[serialKey]struct{}
	subjects     map[nameKey]struct{}
}

// serialKey identifies a certificate (RFC 5280 section 4.1.2.2).
type serialKey struct {
	number string // big endian, without leading zeros
	issuer int
}

// Len returns the number of different entries.
func (l *List) Len() int {
	return len(l.fingerprints) + len(l.spkis) + len(l.serials) + len(l.subjects)
}

// Denies reports whether the certificate is on the list, and the keyword of the
// first entry that matches: Fingerprint, SPKI, Serial or Subject. The time that it
// takes does not depend on the length of the list.
//
// If the list has entries with subjects, a certificate whose subject cannot be read
// is denied, since it might be one of them. The same goes for serials and the name
// of the issuer.
func (l *List) Denies(cert *x509.Certificate) (why string, denied bool) {
	switch {
	case l.deniesFingerprint(cert):
		return Fingerprint, true
	case l.deniesKey(cert):
		return SPKI, true
	case l.deniesSerial(cert):
		return Serial, true
	case l.deniesSubject(cert):
		return Subject, true
	}
	return "", false
}

// deniesFingerprint looks up each fingerprint that the certificate can have, since its holder can choose
// one of them.
func (l *List) deniesFingerprint(cert *x509.Certificate) bool {
	if len(l.fingerprints) == 0 {
		return false
	}
	for _, sum := range chain.Fingerprints(cert) {
		if _, ok := l.fingerprints[sum]; ok {
			return true
		}
	}
	return false
}

func (l *List) deniesKey(cert *x509.Certificate) bool {
	if len(l.spkis) == 0 {
		return false
	}
	_, ok := l.spkis[sha256.Sum256(cert.RawSubjectPublicKeyInfo)]
	return ok
}

func (l *List) deniesSerial(cert *x509.Certificate) bool {
	if len(l.serials) == 0 {
		return false
	}
	names, err := certKeys(cert.RawIssuer)
	if err != nil {
		return true
	}
	for _, name := range names {
		issuer, known := l.issuers[name]
		if !known {
			continue
		}
		// Bytes drops the sign. crypto/x509 refuses negative numbers anyway.
		if _, ok := l.serials[serialKey{string(cert.SerialNumber.Bytes()), issuer}]; ok {
			return true
		}
	}
	return false
}

func (l *List) deniesSubject(cert *x509.Certificate) bool {
	if len(l.subjects) == 0 {
		return false
	}
	names, err := certKeys(cert.RawSubject)
	if err != nil {
		return true
	}
	for _, name := range names {
		if _, ok := l.subjects[name]; ok {
			return true
		}
	}
	return false
}
