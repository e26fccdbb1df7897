// Package spiffe says which text is the SPIFFE ID of a workload, and which
// certificate can be its X.509-SVID:
//
//	spiffe://example.org/ns/data/sa/ingest
//	         trust domain  path
//
// There is one way to write an ID, so that two texts are never the same name to one
// program and different names to another.
package spiffe

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// The limits of the SPIFFE-ID standard, section 2.3.
const (
	maxID          = 2048
	maxTrustDomain = 255
)

const scheme = "spiffe://"

// IsID reports whether a URI has the scheme of SPIFFE, in any case: a scheme of a
// URI has none (RFC 3986 section 3.1). Such a URI is meant to be an ID.
func IsID(uri string) bool {
	name, _, ok := strings.Cut(uri, ":")
	return ok && strings.EqualFold(name, "spiffe")
}

// CheckID returns an error unless a text is the SPIFFE ID of a workload (SPIFFE-ID
// standard, section 2). The ID of a trust domain, without a path, is that of its
// authorities.
func CheckID(id string) error {
	rest, ok := strings.CutPrefix(id, scheme)
	switch {
	case !ok:
		return errors.New("a SPIFFE ID begins with spiffe://")
	case len(id) > maxID:
		return fmt.Errorf("the SPIFFE ID has %d bytes, more than %d", len(id), maxID)
	}
	domain, path, ok := strings.Cut(rest, "/")
	switch {
	case domain == "":
		return errors.New("the SPIFFE ID has no trust domain")
	case len(domain) > maxTrustDomain:
		return fmt.Errorf("the trust domain of the SPIFFE ID has %d bytes, more than %d", len(domain), maxTrustDomain)
	case strings.ContainsFunc(domain, notInTrustDomain):
		return errors.New("the trust domain of a SPIFFE ID has only lower case letters, digits, dots, " +
			"hyphens and underscores")
	case !ok:
		return errors.New("the SPIFFE ID has no path: it is that of an authority, not of a workload")
	}
	for segment := range strings.SplitSeq(path, "/") {
		if err := checkSegment(segment); err != nil {
			return err
		}
	}
	return nil
}

func checkSegment(segment string) error {
	switch {
	case segment == "":
		return errors.New("the path of the SPIFFE ID has an empty segment, or ends with a slash")
	case segment == "." || segment == "..":
		return errors.New("the SPIFFE ID has . or .. as a segment of its path")
	case strings.ContainsFunc(segment, notInPath):
		return errors.New("the path of a SPIFFE ID has only letters of ASCII, digits, dots, hyphens and underscores")
	default:
		return nil
	}
}

// notInTrustDomain and notInPath report whether a part of an ID cannot have a character.
func notInTrustDomain(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_", r)
}

func notInPath(r rune) bool {
	return (r < 'A' || r > 'Z') && notInTrustDomain(r)
}

// CheckLeaf returns an error if a certificate is an authority's, and not that of a
// workload (X509-SVID standard, section 5.2). Whoever can sign certificates can
// give itself any name.
func CheckLeaf(cert *x509.Certificate) error {
	switch {
	case cert.IsCA:
		return errors.New("the certificate is an authority's (CA:TRUE), which cannot be a workload's SVID")
	case cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return errors.New("the certificate's key usage has keyCertSign or cRLSign, " +
			"which that of a workload's SVID cannot have")
	default:
		return nil
	}
}
