package crl

import (
	"crypto/x509"
	"slices"
	"time"
)

// Skew is how far ahead of ours the clock of an authority may be.
const Skew = 5 * time.Minute

// Status is what the lists say, from the best to the worst.
type Status int

const (
	// Good means that no certificate is revoked, as far as there are lists.
	Good Status = iota
	// Stale means that the list that covers a certificate is out of date. The
	// certificate is not on it.
	Stale
	// NotYetValid means that the only lists that cover a certificate are from
	// the future. It is not on them.
	NotYetValid
	// BadSignature means that there are lists of a certificate's issuer, and
	// none that its key has signed, or that it may not sign lists.
	BadSignature
	// Revoked means that a certificate is on a list, be the list out of date or
	// the certificate on hold.
	Revoked
)

func (s Status) String() string {
	return [...]string{"good", "stale", "not yet valid", "bad signature", "revoked"}[s]
}

// Verdict is the outcome of a Check.
type Verdict struct {
	Status Status
	// Cert is the certificate of the chain that the Status is about, the first
	// of several; nil if it is Good.
	Cert *x509.Certificate
	// Reason is the CRLReason of a revoked certificate, such as keyCompromise.
	Reason string
	// NextUpdate is when a stale list was due to be replaced.
	NextUpdate time.Time
	// Until is when time alone may change the verdict: the earliest nextUpdate
	// of the lists that were consulted, or the thisUpdate of one that is not
	// valid yet. Zero: never.
	Until time.Time
}

// Check says whether a certificate of a verified chain is revoked. The chain
// begins with the client's certificate and ends with the one that is trusted as
// it is: of that one nothing is checked.
//
// An issuer without a list says nothing, which is Good; one whose name has lists, of which its key
// has signed none, is BadSignature. A certificate that is
// revoked in one chain may be good in another, if its issuer has several keys
// or certificates: a client with several chains needs one that is Good.
func (l *Lists) Check(chain []*x509.Certificate, now time.Time) Verdict {
	var verdict Verdict
	for i := range len(chain) - 1 {
		cert, issuer := chain[i], chain[i+1]
		scopes := l.of(cert.RawIssuer)
		for _, lists := range scopes {
			verdict = verdict.and(lists.check(cert, issuer, now))
		}
		if len(scopes) > 0 && !slices.ContainsFunc(scopes, func(s scope) bool { return s.hasOneOf(issuer) }) {
			// An authority that has a new key may sign one list for all its certificates, with
			// that key alone: that of the old one would silently be without a list.
			verdict = verdict.and(Verdict{Status: BadSignature, Cert: cert})
		}
	}
	return verdict
}

// hasOneOf reports whether the issuer's key has signed any of the lists.
func (s scope) hasOneOf(issuer *x509.Certificate) bool {
	return slices.ContainsFunc(s, func(l *list) bool { return l.signedBy(issuer) })
}

// and is the worse of two verdicts, for as long as both stand.
func (v Verdict) and(w Verdict) Verdict {
	until := earlier(v.Until, w.Until)
	if w.Status > v.Status {
		v = w
	}
	v.Until = until
	return v
}

// earlier is the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// check takes the newest list that the issuer has signed and that is not from
// the future, or else the one that will be valid first.
func (s scope) check(cert, issuer *x509.Certificate, now time.Time) Verdict {
	var future *list
	forged := false
	for _, list := range s {
		switch {
		case !list.signedBy(issuer):
			forged = forged || list.mayBeOf(issuer)
		case !maySign(issuer):
			forged = true
		case list.begins().After(now):
			future = list
		default:
			verdict := list.judge(cert, now)
			if future != nil {
				verdict.Until = earlier(verdict.Until, future.begins())
			}
			return verdict
		}
	}
	switch {
	case future != nil:
		return future.judge(cert, now)
	case forged:
		return Verdict{Status: BadSignature, Cert: cert}
	default:
		return Verdict{}
	}
}

// judge says what a list with a good signature says.
func (l *list) judge(cert *x509.Certificate, now time.Time) Verdict {
	if why, revoked := l.serials.find(cert.SerialNumber); revoked {
		return Verdict{Status: Revoked, Cert: cert, Reason: why.String()}
	}
	switch {
	case !l.point.covers(cert):
		return Verdict{}
	case l.begins().After(now):
		return Verdict{Status: NotYetValid, Cert: cert, Until: l.begins()}
	case !now.Before(l.nextUpdate):
		return Verdict{Status: Stale, Cert: cert, NextUpdate: l.nextUpdate}
	default:
		return Verdict{Until: l.nextUpdate}
	}
}

// begins is from when on the list is taken for valid.
func (l *list) begins() time.Time { return l.thisUpdate.Add(-Skew) }
