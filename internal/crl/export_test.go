package crl

import (
	"crypto/x509"
	"time"
)

// Check calls Check with one source.
func (l *Lists) Check(chain []*x509.Certificate, now time.Time) Verdict { return Check(chain, now, l) }

// SignersKnown returns how many of the lists are known to be signed by some key.
func (l *Lists) SignersKnown() int {
	known := 0
	for _, list := range l.all {
		if len(list.signers.good()) > 0 {
			known++
		}
	}
	return known
}
