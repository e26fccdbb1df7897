// Package chain verifies the certificates that a client sends, and finds out under which fingerprints a
// certificate may be known.
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

// Verify returns the chains from the first certificate that a client sent, over the others, to a trust
// anchor in the pool. It calls [x509.Certificate.Verify] for client authentication, and returns the same
// errors. If an intermediate certificate is at fault, the error names it.
//
// Verify protects crypto/x509 from certificates that a client makes up. To check one signature can take
// milliseconds, and crypto/x509 checks up to a hundred of them for one certificate, with all the keys
// that it finds in the intermediates. So it gets only those intermediates that lead to the pool. Then
// all signatures are checked with keys of authorities.
func Verify(sent []*x509.Certificate, pool *x509.CertPool, now time.Time) ([][]*x509.Certificate, error) {
	intermediates, rejected := trustedOf(sent[1:], pool, now)
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

// candidate is a certificate that may be an intermediate.
type candidate struct {
	*x509.Certificate
	err error // why it does not lead to the pool
}

// trustedOf returns the certificates that lead to the pool, directly or over others of them, and those
// that do not. It goes down from the pool, one level in each round:
//
//	sent      L (issued by U), U (issued by a root in the pool), X (issued by nobody known)
//	round 1   U is trusted
//	round 2   L is trusted
//	then      X is rejected
func trustedOf(sent []*x509.Certificate, pool *x509.CertPool, now time.Time) (*x509.CertPool, []*candidate) {
	trusted := x509.NewCertPool()
	opts := x509.VerifyOptions{
		Roots:         pool,
		Intermediates: trusted,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // Verify checks them for the whole chain
	}
	pending, rejected := distinct(sent)
	var above []*x509.Certificate // those of the round before
	for first := true; first || len(above) > 0; first = false {
		var found []*x509.Certificate
		pending = slices.DeleteFunc(pending, func(c *candidate) bool {
			isIssuer := func(a *x509.Certificate) bool { return bytes.Equal(a.RawSubject, c.RawIssuer) }
			if !first && !slices.ContainsFunc(above, isIssuer) {
				return false // it has no new issuer
			}
			if _, c.err = c.Verify(opts); c.err == nil {
				found = append(found, c.Certificate)
			}
			return c.err == nil
		})
		for _, c := range found {
			trusted.AddCert(c)
		}
		above = found
	}
	return trusted, append(pending, rejected...)
}

// distinct returns each certificate once, even if it was sent in several encodings. It rejects those that
// are Reencoded.
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

// explain finds out why the authority of a certificate is unknown. Mostly the fault is in an intermediate
// certificate above it. So it follows the names of issuers upwards over the rejected certificates, to the
// first one that has another fault than an unknown authority, or else to the last one. For example, if
// L issued the client's certificate, U issued L, and a trusted root issued U:
//
//	U has expired     the error names U, and says that it has expired
//	U was not sent    the error names L, whose authority is unknown
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
