package crl

import (
	"crypto/x509"
	"time"
)

// Check is Check for one source.
func (l *Lists) Check(chain []*x509.Certificate, now time.Time) Verdict { return Check(chain, now, l) }

// SignersKnown is for how many of the lists it is known whose key signed them.
func (l *Lists) SignersKnown() int {
	known := 0
	for _, list := range l.all {
		if len(list.signers.good()) > 0 {
			known++
		}
	}
	return known
}
