package esjwt

import (
	"crypto/x509"
	"fmt"
	"math"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/denylist"
)

// revocation is what says that a certificate is no longer good, though it is verified and has
// not expired.
type revocation struct {
	denied       []*watched[*denylist.List]
	lists        []listSource
	staleAllowed bool
}

// check refuses a certificate without a chain that is both valid now and free of revoked
// certificates. Of several such chains the one that ends last speaks for the client, until end;
// recheck is until when that is so if no file changes. Both are Unix seconds.
func (r *revocation) check(leaf *x509.Certificate, chains [][]*x509.Certificate, now time.Time) (recheck, end int64, err error) {
	for _, chain := range chains {
		chainEnd := chainEnd(chain, leaf, now)
		if chainEnd <= end {
			continue
		}
		until, refusal := r.checkChain(chain, now)
		if refusal != nil {
			err = refusal
			continue
		}
		recheck, end = min(until, chainEnd), chainEnd
	}
	switch {
	case end > 0:
		return recheck, end, nil
	case err != nil:
		return 0, 0, err
	default:
		return 0, 0, refuseExpired()
	}
}

func (r *revocation) checkChain(chain []*x509.Certificate, now time.Time) (until int64, err error) {
	for _, list := range r.denied {
		for _, cert := range chain {
			if kind, denied := list.get().Denies(cert); denied {
				refusal := refuse(revoked, "the certificate, or one above it, is denied by its %s: ask the operator why", kind)
				return 0, refusal.because("deny "+list.name, nil)
			}
		}
	}
	until = math.MaxInt64
	for _, list := range r.lists {
		lists := list.get()
		if lists == nil {
			if !r.staleAllowed {
				return 0, refuseList("has not been fetched yet").because("crl "+list.name, nil)
			}
			continue
		}
		verdict := lists.Check(chain, now)
		if refusal := r.judge(verdict); refusal != nil {
			return 0, refusal.because("crl "+list.name+details(verdict), nil)
		}
		if !verdict.Until.IsZero() {
			until = min(until, verdict.Until.Unix())
		}
	}
	return until, nil
}

// judge turns the verdict of revocation lists into a refusal, or none.
func (r *revocation) judge(verdict crl.Verdict) *Refusal {
	switch verdict.Status {
	case crl.Good:
		return nil
	case crl.Revoked:
		return refuse(revoked, "the certificate, or one above it, is on its issuer's revocation list: get a new one")
	case crl.BadSignature:
		return refuseList("is not signed by its key: fetch it anew, and if the authority has had several keys, add the list of each")
	default:
		switch {
		case r.staleAllowed:
			return nil
		case verdict.Status == crl.NotYetValid:
			return refuseList("is from the future: check the clocks of Caddy and of the authority, or set crl_stale allow")
		default:
			return refuseList("is out of date: renew it, or set crl_stale allow")
		}
	}
}

// details are what an operator would look for in the list.
func details(verdict crl.Verdict) string {
	switch {
	case verdict.Cert == nil:
		return ""
	case verdict.Reason != "":
		return fmt.Sprintf(", serial %s, %s", serial(verdict.Cert), verdict.Reason)
	case !verdict.NextUpdate.IsZero():
		return ", due " + verdict.NextUpdate.Format(time.RFC3339)
	default:
		return fmt.Sprintf(", issuer of serial %s", serial(verdict.Cert))
	}
}

// refuseList refuses a client since its issuer's list does not serve to tell whether it is
// revoked. That is for the operator to mend.
func refuseList(why string) *Refusal {
	return refuse(revoked, "it cannot be told whether the certificate is revoked: the revocation list of its issuer %s", why)
}
