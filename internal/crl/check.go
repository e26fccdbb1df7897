package crl

import (
	"bytes"
	"crypto/x509"
	"slices"
	"time"
)

// Skew is how far an authority's clock may be ahead of ours.
const Skew = 5 * time.Minute

// Status is the result of a check, from the best to the worst. With a status between Good and Revoked,
// the certificate is on no list, but no list shows that it is not revoked.
type Status int

const (
	// Good means that no certificate is revoked. That includes certificates whose issuers have no list.
	Good Status = iota
	// Stale means that the list that covers a certificate is out of date.
	Stale
	// NotYetValid means that the only list that covers a certificate is not valid yet.
	NotYetValid
	// Uncovered means that there are lists of a certificate's issuer, but only for other certificates.
	Uncovered
	// BadSignature means that there are lists of a certificate's issuer, but none of them is signed
	// with its key, or the key may not sign lists.
	BadSignature
	// Revoked means that a certificate is on a list. It may be on hold, and the list may be out of
	// date or for other certificates.
	Revoked
)

func (s Status) String() string {
	return [...]string{"good", "stale", "not yet valid", "uncovered", "bad signature", "revoked"}[s]
}

// Verdict is the outcome of a Check. Cert and From are nil if the Status is Good.
type Verdict struct {
	Status Status
	// Cert is the first certificate of the chain that has the Status.
	Cert *x509.Certificate
	// From has the list that led to the Status.
	From *Lists
	// Reason is the CRLReason of a revoked certificate, such as keyCompromise.
	Reason string
	// NextUpdate is when a stale list was due to be replaced.
	NextUpdate time.Time
	// Note says more about the list, such as which certificates it is for if the Status is Uncovered.
	Note string
	// Until is when time alone may change the verdict: the earliest nextUpdate of the lists that led
	// to it, or the thisUpdate of one that is not valid yet. Zero means never.
	Until time.Time
}

// Check returns whether a certificate of a verified chain is revoked, according to the lists of all
// sources together. The chain begins with the client's certificate and ends with the trust anchor,
// which is not checked itself.
//
// If there are no lists of its issuer, a certificate is Good. If there are any, one of them has to
// cover the certificate: its issuing distribution point includes the certificate, and the list is
// signed with the issuer's key, or with another key of the same authority: that of a certificate above
// the issuer in the chain that has the same name. Several lists can cover a certificate together if
// each is for some of the reasons for a revocation.
//
// If an authority has several keys or certificates, a client can have several chains, and a
// certificate can be revoked in one of them and Good in another. One chain that is Good is enough.
func Check(chain []*x509.Certificate, now time.Time, sources ...*Lists) Verdict {
	var verdict Verdict
	for i := range len(chain) - 1 {
		c := check{cert: chain[i], issuers: namesakes(chain[i+1:]), now: now}
		for _, from := range sources {
			for _, lists := range from.of(c.cert.RawIssuer) {
				c.addScope(from, lists)
			}
		}
		verdict = verdict.worse(c.verdict())
	}
	return verdict
}

// namesakes returns the first certificate of a chain, and those directly above it that have the same
// name: the other keys of the same authority.
func namesakes(chain []*x509.Certificate) []*x509.Certificate {
	end := 1
	for end < len(chain) && bytes.Equal(chain[end].RawSubject, chain[0].RawSubject) {
		end++
	}
	return chain[:end]
}

// worse returns the worse of two verdicts, with the earlier Until of both.
func (v Verdict) worse(w Verdict) Verdict {
	until := earlier(v.Until, w.Until)
	if w.Status > v.Status {
		v = w
	}
	v.Until = until
	return v
}

// earlier returns the earlier of two times. Zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// check is the check of one certificate: what its issuer's lists say of it so far.
type check struct {
	cert    *x509.Certificate
	issuers []*x509.Certificate // who may sign its lists
	now     time.Time

	covered reasonFlags // by lists that are valid now
	until   time.Time

	revoked Verdict // by a list that counts
	// maybeRevoked is by a list that may be forged, or by one that was withdrawn and is out of date.
	// It counts only if no valid list covers the certificate.
	maybeRevoked Verdict
	unknown      Verdict // why nothing can be said; the best Status if there are several reasons
}

// addScope adds the lists of one scope, which begin with the newest. Of the lists that have the same
// signer, one counts: the newest that is valid already, or else the one that will be valid first.
func (c *check) addScope(from *Lists, lists scope) {
	var current, future []*list
	for _, l := range lists {
		signers := c.signersOf(l)
		sameSigner := func(other *list) bool { return slices.ContainsFunc(signers, other.signedBy) }
		switch {
		case len(signers) == 0:
			if !from.isKept(l) {
				c.addUnverified(from, l)
			}
		case slices.ContainsFunc(current, sameSigner): // that one is newer
		case l.validFrom().After(c.now):
			future = append(slices.DeleteFunc(future, sameSigner), l) // this one is valid sooner
		default:
			for _, next := range future {
				if sameSigner(next) {
					c.until = earlier(c.until, next.validFrom())
				}
			}
			future = slices.DeleteFunc(future, sameSigner)
			current = append(current, l)
		}
	}
	current = append(current, future...)
	withdrawn := !slices.ContainsFunc(current, func(l *list) bool { return !from.isKept(l) })
	for _, l := range current {
		c.addVerified(from, l, withdrawn)
	}
}

// signersOf returns the certificates whose key has signed the list, and may sign lists: the
// certificate's issuers in this chain, or if it is none of them, known ones in other chains.
func (c *check) signersOf(l *list) []*x509.Certificate {
	var signers []*x509.Certificate
	for _, issuer := range c.issuers {
		if maySign(issuer) && l.signedBy(issuer) {
			signers = append(signers, issuer)
		}
	}
	if signers != nil {
		return signers
	}
	return slices.DeleteFunc(l.signers.good(), func(issuer *x509.Certificate) bool { return !maySign(issuer) })
}

// signedByIssuer reports whether the list is signed by an issuer of the certificate in this chain.
func (c *check) signedByIssuer(l *list) bool {
	return slices.ContainsFunc(c.issuers, func(issuer *x509.Certificate) bool {
		return maySign(issuer) && l.signedBy(issuer)
	})
}

// addVerified adds a list whose signature is good. Withdrawn says that the last fetch had no list of
// its scope.
func (c *check) addVerified(from *Lists, l *list, withdrawn bool) {
	expired := !c.now.Before(l.nextUpdate)
	if why, revoked := l.serials.find(c.cert.SerialNumber); revoked {
		verdict := Verdict{Status: Revoked, Cert: c.cert, From: from, Reason: why.String()}
		if withdrawn && expired {
			c.maybeRevoked = c.maybeRevoked.worse(verdict)
		} else {
			c.revoked = c.revoked.worse(verdict)
		}
	}
	if withdrawn && !expired {
		c.until = earlier(c.until, l.nextUpdate)
	}
	covered := l.point.covers(c.cert)
	switch {
	case !c.signedByIssuer(l):
		c.addUnknown(Verdict{Status: BadSignature, From: from})
	case covered == 0:
		c.addUnknown(Verdict{Status: Uncovered, From: from, Note: l.point.String()})
	case l.validFrom().After(c.now):
		c.until = earlier(c.until, l.validFrom())
		c.addUnknown(Verdict{Status: NotYetValid, From: from})
	case expired:
		c.addUnknown(Verdict{Status: Stale, From: from, NextUpdate: l.nextUpdate})
	default:
		c.covered |= covered
		c.until = earlier(c.until, l.nextUpdate)
		c.addUnknown(Verdict{Status: Uncovered, From: from, Note: l.point.String()}) // if some reasons are missing
	}
}

// addUnverified adds a list that no known key has signed. Another key of the issuer may have signed it,
// and then its entries are about this issuer's certificates too. Or it is forged: so if it came over a
// network, it refuses no certificate that a valid list covers.
func (c *check) addUnverified(from *Lists, l *list) {
	if why, revoked := l.serials.find(c.cert.SerialNumber); revoked {
		verdict := Verdict{
			Status: Revoked,
			Cert:   c.cert,
			From:   from,
			Reason: why.String(),
			Note:   "on a list that its key has not signed",
		}
		if from.untrusted {
			c.maybeRevoked = c.maybeRevoked.worse(verdict)
		} else {
			c.revoked = c.revoked.worse(verdict)
		}
	}
	c.addUnknown(Verdict{Status: BadSignature, From: from})
}

func (c *check) addUnknown(why Verdict) {
	if why.Cert = c.cert; c.unknown.Cert == nil || why.Status < c.unknown.Status {
		c.unknown = why
	}
}

func (c *check) verdict() Verdict {
	verdict := c.unknown
	switch {
	case c.revoked.Cert != nil:
		verdict = c.revoked
	case c.covered == allReasons:
		verdict = Verdict{}
	case c.maybeRevoked.Cert != nil:
		verdict = c.maybeRevoked
	}
	verdict.Until = c.until
	return verdict
}

// validFrom returns from when on the list is valid.
func (l *list) validFrom() time.Time { return l.thisUpdate.Add(-Skew) }
