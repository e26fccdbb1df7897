package crl

import (
	"crypto/x509"
	"sync"
)

// maxKeys is for how many keys a list remembers whether they have signed it. An
// issuer has few keys.
const maxKeys = 16

// signers remembers which keys have signed a list and which have not.
type signers struct {
	mu    sync.RWMutex
	known map[string]signer // by SubjectPublicKeyInfo
}

type signer struct {
	issuer *x509.Certificate
	good   bool // whether its key has signed the list
}

// get returns whether the issuer's key has signed the list, if that is known.
func (s *signers) get(issuer *x509.Certificate) (good, known bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, known := s.known[string(issuer.RawSubjectPublicKeyInfo)]
	return found.good, known
}

// good returns a certificate for each key that is known to have signed the list.
func (s *signers) good() []*x509.Certificate {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var issuers []*x509.Certificate
	for _, found := range s.known {
		if found.good {
			issuers = append(issuers, found.issuer)
		}
	}
	return issuers
}

// signedBy reports whether the issuer's key has signed the list. The signature is
// checked once for each key, even if several goroutines ask at the same time.
func (l *list) signedBy(issuer *x509.Certificate) bool {
	if good, known := l.signers.get(issuer); known {
		return good
	}
	l.signers.mu.Lock()
	defer l.signers.mu.Unlock()
	key := string(issuer.RawSubjectPublicKeyInfo)
	if found, known := l.signers.known[key]; known {
		return found.good
	}
	good := issuer.CheckSignature(l.algorithm, l.signed, l.signature) == nil
	if len(l.signers.known) < maxKeys {
		l.signers.known[key] = signer{issuer, good}
	}
	return good
}

// maySign reports whether the issuer's key may sign lists (RFC 5280 section 6.3.3
// (f)).
func maySign(issuer *x509.Certificate) bool {
	return issuer.KeyUsage == 0 || issuer.KeyUsage&x509.KeyUsageCRLSign != 0
}

// prepare checks the signatures with the certificates that have signed the lists of
// before, so that no request has to wait for it. A list of 100,000 certificates
// takes some milliseconds.
func (l *Lists) prepare(before *Lists) {
	for _, old := range before.all {
		for _, issuer := range old.signers.good() {
			for _, lists := range l.of(old.rawIssuer) {
				for _, list := range lists {
					list.signedBy(issuer)
				}
			}
		}
	}
}
