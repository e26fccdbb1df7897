// Package denylist reads the file that names clients which are no longer let
// in, whatever their certificates say.
//
//	# One client on each line. A comment has a line of its own.
//	fingerprint 5B:0E:…:91                         SHA-256 of the certificate
//	spki        uGf3…dQ4=                          SHA-256 of its public key, as a pin or in hexadecimal
//	serial      4A:3F:09 issuer CN=Users,O=Acme    as its authority counts
//	subject     CN=alice,OU=data,O=Acme            every certificate with this name
//
// A fingerprint stands for the certificate in both forms that a signature with
// ECDSA has, since its holder can make either of the other.
//
// A line that cannot be understood, or that could match nothing, refuses the
// file as a whole: a client that is let in because of a typing error is what
// the file exists to prevent.
package denylist

import (
	"crypto/sha256"
	"crypto/x509"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/chain"
)

// MaxSize bounds the file; it has room for some 200,000 lines.
const MaxSize = 32 << 20

// The kinds of entries, which are also their keywords.
const (
	Fingerprint = "fingerprint"
	SPKI        = "spki"
	Serial      = "serial"
	Subject     = "subject"
)

// List says who is not let in. It does not change after Parse and may be used
// by many goroutines.
type List struct {
	fingerprints map[[sha256.Size]byte]struct{}
	spkis        map[[sha256.Size]byte]struct{}
	issuers      map[nameKey]int // numbers for serials
	serials      map[serialKey]struct{}
	subjects     map[nameKey]struct{}
}

// serialKey is what makes a certificate unique (RFC 5280 section 4.1.2.2).
type serialKey struct {
	number string // big endian, without leading zeros
	issuer int
}

// Len is the number of different entries.
func (l *List) Len() int {
	return len(l.fingerprints) + len(l.spkis) + len(l.serials) + len(l.subjects)
}

// Denies reports whether the certificate is on the list, and the kind of the
// first entry that says so: Fingerprint, SPKI, Serial or Subject.
//
// Only what the list needs is computed, and the time it takes does not depend
// on the list's length. A certificate whose name cannot be read is denied by a
// list that has names of that sort: it cannot be shown to be another one.
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

// deniesFingerprint compares every fingerprint that the certificate can have: its holder chooses
// which one of them it is.
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
