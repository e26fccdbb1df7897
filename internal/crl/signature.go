package crl

import (
	"crypto/x509"
	"sync"
)

// maxKeys bounds for how many keys it is remembered whether they signed a list.
// A list has one issuer, who has few.
const maxKeys = 16

// signers remembers whose key signed a list.
type signers struct {
	mu    sync.RWMutex
	known map[string]signer // by SubjectPublicKeyInfo
}

type signer struct {
	issuer *x509.Certificate
	good   bool
}

func (s *signers) get(issuer *x509.Certificate) (good, known bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, known := s.known[string(issuer.RawSubjectPublicKeyInfo)]
	return found.good, known
}

// good are certificates of the keys that signed the list.
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

// signedBy reports whether the issuer's key signed the list. That is found out
// once for each key, however many ask at the same time.
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

// maySign reports whether lists are among what the issuer's key is for (RFC
// 5280 section 6.3.3 (f)).
func maySign(issuer *x509.Certificate) bool {
	return issuer.KeyUsage == 0 || issuer.KeyUsage&x509.KeyUsageCRLSign != 0
}

// prepare checks signatures ahead of the first Check, with the issuers of the
// lists that these will replace, so that no request has to wait for it: a list
// of 100,000 certificates takes some milliseconds.
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
