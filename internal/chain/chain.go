// Package chain looks at the certificates that a client sends: at the chains from its own to an
// authority, and at how they are encoded.
package chain

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrReencoded says that a certificate is Reencoded.
var ErrReencoded = errors.New("the certificate is not encoded as an authority does it")

// Verify returns the chains from a client's certificate, which is the first that it sent, over the
// others to an authority of the pool. It is [x509.Certificate.Verify] for client authentication,
// and its errors are the same; where an intermediate certificate is at fault, they say which.
//
// A client can send any intermediates, and to check a signature can take milliseconds: crypto/x509
// checks up to a hundred of them for one certificate, with whatever keys it finds. So it gets only
// those intermediates that lead to the pool themselves, and each signature is checked with the key
// of an authority, of which a client cannot make one.
func Verify(sent []*x509.Certificate, pool *x509.CertPool, now time.Time) ([][]*x509.Certificate, error) {
	intermediates, rejected := vet(sent[1:], pool, now)
	chains, err := sent[0].Verify(x509.VerifyOptions{
		Roots:         pool,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		err = explain(err, sent[0], rejected)
	}
	return chains, err
}

// candidate is a certificate that may be an intermediate one.
type candidate struct {
	*x509.Certificate
	err error // why it is none
}

// vet finds the certificates that lead to the pool, over one another where they must. These are all
// that a chain to it can have: what is left of a chain without its first certificates is a chain.
func vet(sent []*x509.Certificate, pool *x509.CertPool, now time.Time) (*x509.CertPool, []*candidate) {
	vetted := x509.NewCertPool()
	opts := x509.VerifyOptions{
		Roots:         pool,
		Intermediates: vetted,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // of the whole chain it is for the end to say
	}
	pending, rejected := distinct(sent)
	var above []*x509.Certificate // what was found in the round before
	for first := true; first || len(above) > 0; first = false {
		var found []*x509.Certificate
		pending = slices.DeleteFunc(pending, func(c *candidate) bool {
			isIssuer := func(a *x509.Certificate) bool { return bytes.Equal(a.RawSubject, c.RawIssuer) }
			if !first && !slices.ContainsFunc(above, isIssuer) {
				return false // nothing has changed for it
			}
			if _, c.err = c.Verify(opts); c.err == nil {
				found = append(found, c.Certificate)
			}
			return c.err == nil
		})
		for _, c := range found {
			vetted.AddCert(c)
		}
		above = found
	}
	return vetted, append(pending, rejected...)
}

// distinct are the certificates without those that are there in another form already.
func distinct(sent []*x509.Certificate) (all, rejected []*candidate) {
	for _, c := range sent {
		same := func(other *candidate) bool { return bytes.Equal(other.RawTBSCertificate, c.RawTBSCertificate) }
		switch {
		case Reencoded(c):
			rejected = append(rejected, &candidate{c, ErrReencoded})
		case !slices.ContainsFunc(all, same):
			all = append(all, &candidate{Certificate: c})
		}
	}
	return all, rejected
}

// explain finds out why the authority of a certificate is unknown: mostly another certificate is at
// fault. It goes by names: from the issuer of the first one upwards over those that were rejected, to
// the first that has a fault of its own, or else to the last of all, whose issuer is missing. Of a
// client below L below U below a trusted root, it names U if U has expired, and L if U was not sent.
func explain(err error, cert *x509.Certificate, rejected []*candidate) error {
	issuers := [][]byte{cert.RawIssuer}
	seen := make(map[*candidate]bool)
	for i := 0; i < len(issuers); i++ {
		for _, c := range rejected {
			if seen[c] || !bytes.Equal(c.RawSubject, issuers[i]) {
				continue
			}
			seen[c] = true
			issuers = append(issuers, c.RawIssuer)
			err = fmt.Errorf("the intermediate certificate %q: %w", c.Subject, c.err)
			if _, unknown := errors.AsType[x509.UnknownAuthorityError](c.err); !unknown {
				return err
			}
		}
	}
	return err
}
