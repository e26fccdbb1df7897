package crl

import (
	"bytes"
	"crypto/x509"
	"slices"
	"time"
)

// Skew is how far ahead of ours the clock of an authority may be.
const Skew = 5 * time.Minute

// Status is what the lists say, from the best to the worst. Between Good and Revoked nobody can
// tell whether a certificate is revoked, and it is on no list.
type Status int

const (
	// Good means that no certificate is revoked, as far as there are lists.
	Good Status = iota
	// Stale means that the list that covers a certificate is out of date.
	Stale
	// NotYetValid means that the only list that covers a certificate is from
	// the future.
	NotYetValid
	// Uncovered means that the lists of a certificate's issuer are for others of its certificates.
	Uncovered
	// BadSignature means that there are lists of a certificate's issuer, and
	// none that its key has signed, or that it may not sign lists.
	BadSignature
	// Revoked means that a certificate is on a list, be the list out of date or for other
	// certificates, or the certificate on hold.
	Revoked
)

func (s Status) String() string {
	return [...]string{"good", "stale", "not yet valid", "uncovered", "bad signature", "revoked"}[s]
}

// Verdict is the outcome of a Check.
type Verdict struct {
	Status Status
	// Cert is the certificate of the chain that the Status is about, the first
	// of several; nil if it is Good.
	Cert *x509.Certificate
	// From has the list that the Status is about; nil if it is Good.
	From *Lists
	// Reason is the CRLReason of a revoked certificate, such as keyCompromise.
	Reason string
	// NextUpdate is when a stale list was due to be replaced.
	NextUpdate time.Time
	// Note says more about the list, such as what it is for if it does not cover the certificate.
	Note string
	// Until is when time alone may change the verdict: the earliest nextUpdate
	// of the lists that were consulted, or the thisUpdate of one that is not
	// valid yet. Zero: never.
	Until time.Time
}

// Check says whether a certificate of a verified chain is revoked, by the lists of all sources
// together. The chain begins with the client's certificate and ends with the one that is trusted as
// it is: of that one nothing is checked.
//
// An issuer without a list says nothing, which is Good. Of one that has lists, a list must cover the
// certificate: one for such certificates, signed by the issuer's key or by one above it in the chain
// that has the same name, as an authority's new key has. Parts of a list that cover some of the
// reasons each do so together.
//
// A certificate that is revoked in one chain may be good in another, if its issuer has several keys
// or certificates: a client with several chains needs one that is Good.
func Check(chain []*x509.Certificate, now time.Time, sources ...*Lists) Verdict {
	var verdict Verdict
	for i := range len(chain) - 1 {
		j := judge{cert: chain[i], issuers: namesakes(chain[i+1:]), now: now}
		for _, from := range sources {
			for _, lists := range from.of(j.cert.RawIssuer) {
				j.hear(from, lists)
			}
		}
		verdict = verdict.and(j.verdict())
	}
	return verdict
}

// namesakes returns the issuer, which is the first, and those above it that are the same authority
// with another key.
func namesakes(above []*x509.Certificate) []*x509.Certificate {
	end := 1
	for end < len(above) && bytes.Equal(above[end].RawSubject, above[0].RawSubject) {
		end++
	}
	return above[:end]
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

// judge hears all lists of a certificate's issuer before it says anything.
type judge struct {
	cert    *x509.Certificate
	issuers []*x509.Certificate // who may sign its lists
	now     time.Time

	covered reasonFlags // by lists that are valid now
	until   time.Time
	revoked Verdict // by a list that is genuine
	accused Verdict // by one of which that cannot be told, or that was withdrawn
	unknown Verdict // why it cannot be told whether it is revoked: the least of several reasons
}

// hear takes the lists of one scope, the newest first. Of those with the same signer the newest
// that is not from the future counts, or else the one that will be valid first.
func (j *judge) hear(from *Lists, lists scope) {
	var heard, future []*list
	for _, l := range lists {
		signers := j.signersOf(l)
		sameSigner := func(other *list) bool { return slices.ContainsFunc(signers, other.signedBy) }
		switch {
		case len(signers) == 0:
			if !from.isKept(l) {
				j.suspect(from, l)
			}
		case slices.ContainsFunc(heard, sameSigner): // which is newer
		case l.begins().After(j.now):
			future = append(slices.DeleteFunc(future, sameSigner), l) // this one begins sooner
		default:
			for _, next := range future {
				if sameSigner(next) {
					j.until = earlier(j.until, next.begins())
				}
			}
			future = slices.DeleteFunc(future, sameSigner)
			heard = append(heard, l)
		}
	}
	heard = append(heard, future...)
	withdrawn := !slices.ContainsFunc(heard, func(l *list) bool { return !from.isKept(l) })
	for _, l := range heard {
		j.weigh(from, l, withdrawn)
	}
}

// signersOf returns those who have signed the list and may: of the certificate's issuer in this
// chain, or if it is none of them those of that name in other chains.
func (j *judge) signersOf(l *list) []*x509.Certificate {
	var signers []*x509.Certificate
	for _, issuer := range j.issuers {
		if maySign(issuer) && l.signedBy(issuer) {
			signers = append(signers, issuer)
		}
	}
	if signers != nil {
		return signers
	}
	return slices.DeleteFunc(l.signers.good(), func(c *x509.Certificate) bool { return !maySign(c) })
}

// isOwn reports whether one of the certificate's own issuers has signed the list.
func (j *judge) isOwn(l *list) bool {
	return slices.ContainsFunc(j.issuers, func(c *x509.Certificate) bool { return maySign(c) && l.signedBy(c) })
}

// weigh takes a list into account that is genuine. Withdrawn says that the list's scope was not
// among what was fetched last.
func (j *judge) weigh(from *Lists, l *list, withdrawn bool) {
	expired := !j.now.Before(l.nextUpdate)
	if why, revoked := l.serials.find(j.cert.SerialNumber); revoked {
		verdict := Verdict{Status: Revoked, Cert: j.cert, From: from, Reason: why.String()}
		if withdrawn && expired {
			j.accused = j.accused.and(verdict)
		} else {
			j.revoked = j.revoked.and(verdict)
		}
	}
	if withdrawn && !expired {
		j.until = earlier(j.until, l.nextUpdate)
	}
	covered := l.point.covers(j.cert)
	switch {
	case !j.isOwn(l):
		j.doubt(Verdict{Status: BadSignature, From: from})
	case covered == 0:
		j.doubt(Verdict{Status: Uncovered, From: from, Note: l.point.String()})
	case l.begins().After(j.now):
		j.until = earlier(j.until, l.begins())
		j.doubt(Verdict{Status: NotYetValid, From: from})
	case expired:
		j.doubt(Verdict{Status: Stale, From: from, NextUpdate: l.nextUpdate})
	default:
		j.covered |= covered
		j.until = earlier(j.until, l.nextUpdate)
		j.doubt(Verdict{Status: Uncovered, From: from, Note: l.point.String()}) // unless that is enough
	}
}

// suspect takes a list into account that nobody in this chain has signed. It can be that of another
// key of the issuer, which names this certificate as well, or a forged one: what came over a network
// does not refuse a certificate that a genuine list covers.
func (j *judge) suspect(from *Lists, l *list) {
	if why, revoked := l.serials.find(j.cert.SerialNumber); revoked {
		verdict := Verdict{
			Status: Revoked,
			Cert:   j.cert,
			From:   from,
			Reason: why.String(),
			Note:   "on a list that its key has not signed",
		}
		if from.unsafe {
			j.accused = j.accused.and(verdict)
		} else {
			j.revoked = j.revoked.and(verdict)
		}
	}
	j.doubt(Verdict{Status: BadSignature, From: from})
}

func (j *judge) doubt(why Verdict) {
	if why.Cert = j.cert; j.unknown.Cert == nil || why.Status < j.unknown.Status {
		j.unknown = why
	}
}

func (j *judge) verdict() Verdict {
	verdict := j.unknown
	switch {
	case j.revoked.Cert != nil:
		verdict = j.revoked
	case j.covered == allReasons:
		verdict = Verdict{}
	case j.accused.Cert != nil:
		verdict = j.accused
	}
	verdict.Until = j.until
	return verdict
}

// begins is from when on the list is taken for valid.
func (l *list) begins() time.Time { return l.thisUpdate.Add(-Skew) }
