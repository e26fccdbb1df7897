package identity

import (
	"crypto/x509"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
)

// revocation checks deny lists and revocation lists. Its certificates are verified and have not expired.
type revocation struct {
	*Files
	staleAllowed bool
}

// check refuses a certificate unless one of its chains is valid now and has no revoked certificate in it. If there
// are several such chains, the one that ends last counts, and end is when it ends. recheck is when to check again,
// even if no file changes until then. Both are Unix seconds.
func (r *revocation) check(
	leaf *x509.Certificate, chains [][]*x509.Certificate, now int64,
) (recheck, end int64, err error) {
	var change int64
	for _, chain := range chains {
		chainEnd := chainEnd(chain, leaf, now)
		if chainEnd <= end {
			continue
		}
		until, refusal := r.checkChain(chain, now)
		if refusal != nil {
			change = earlier(change, refusal.change)
			err = refusal.until(change)
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

func (r *revocation) checkChain(chain []*x509.Certificate, now int64) (until int64, refusal *Refusal) {
	for _, list := range r.denied {
		for _, cert := range chain {
			if kind, denied := list.Get().Denies(cert); denied {
				return 0, refuseDenied(kind).because("deny "+list.Name, nil)
			}
		}
	}
	verdict, refusal := r.checkLists(chain, now)
	if refusal != nil {
		return 0, refusal
	}
	if verdict.Until.IsZero() {
		return math.MaxInt64, nil
	}
	return verdict.Until.Unix(), nil
}

// checkLists checks a chain against all revocation lists together. One of them must cover each certificate, and none
// of them may name it.
func (r *revocation) checkLists(chain []*x509.Certificate, now int64) (crl.Verdict, *Refusal) {
	sources := make([]*crl.Lists, 0, len(r.lists))
	names := make(map[*crl.Lists]string, len(r.lists))
	for _, list := range r.lists {
		lists := list.Get()
		if lists == nil {
			if !r.staleAllowed {
				return crl.Verdict{}, refuseMissingList().because("crl "+list.name, nil)
			}
			continue
		}
		sources, names[lists] = append(sources, lists), list.name
	}
	verdict := crl.Check(chain, time.Unix(now, 0), sources...)
	if refusal := r.refusalOf(verdict); refusal != nil {
		return verdict, refusal.because("crl "+names[verdict.From]+details(verdict), nil).until(unixOf(verdict.Until))
	}
	return verdict, nil
}

// refusalOf returns the refusal for a verdict of the revocation lists, or nil.
func (r *revocation) refusalOf(verdict crl.Verdict) *Refusal {
	switch {
	case verdict.Status == crl.Revoked:
		return refuseRevoked()
	case verdict.Status == crl.Good, r.staleAllowed:
		return nil
	case verdict.Status == crl.BadSignature:
		return refuseBadlySignedList()
	case verdict.Status == crl.Uncovered:
		return refuseListOfOthers()
	case verdict.Status == crl.NotYetValid:
		return refuseListFromTheFuture()
	default:
		return refuseOutdatedList()
	}
}

// details returns what an operator needs to find the entry in the list.
func details(verdict crl.Verdict) string {
	text := ", serial " + Serial(verdict.Cert)
	switch verdict.Status {
	case crl.Revoked:
		text += ", " + verdict.Reason
	case crl.Stale:
		text += ", due " + verdict.NextUpdate.Format(time.RFC3339)
	case crl.BadSignature:
		text = ", issuer of serial " + Serial(verdict.Cert)
	default:
	}
	if verdict.Note != "" {
		text += ", " + verdict.Note
	}
	if verdict.Status == crl.Uncovered {
		if points := verdict.Cert.CRLDistributionPoints; len(points) > 0 {
			text += ", and the certificate's is " + strings.Join(points[:min(len(points), 3)], ", ")
		} else {
			text += ", and the certificate names none by a URI"
		}
	}
	return fmt.Sprintf("%.*s", maxText, text)
}
