package crl

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// reasonFlags is a set of reasons for a revocation (RFC 5280 section 4.2.1.13), with one bit for each.
type reasonFlags uint16

// allReasons has the reasons from keyCompromise (bit 1) to aACompromise (bit 8). Bit 0 is unused.
const allReasons reasonFlags = 1<<9 - 1<<1

// distributionPoint is the issuing distribution point of a list (RFC 5280 section 5.2.5). It says which
// certificates of its issuer the list covers, and which reasons for a revocation.
type distributionPoint struct {
	raw     []byte   // its DER; empty if the list has none, and so covers all certificates
	named   bool     // covers only certificates that have one of names in a distribution point
	names   []string // as readNames returns them
	uris    []string // the first URIs in names, for messages
	users   bool     // covers only certificates that are not an authority's
	cas     bool     // covers only certificates of authorities
	reasons reasonFlags
}

// covers returns the reasons for which the certificate would be on the list if it were revoked
// (RFC 5280 section 6.3.3 (b)(2)).
//
// An authority can split its list by certificate. Then each part has a name, and covers the
// certificates that have the same name in one of their CRL distribution points:
//
//	list         issuing distribution point http://ca.example/1.crl
//	certificate  CRL distribution point     http://ca.example/1.crl   covered
//	certificate  CRL distribution point     http://ca.example/2.crl   not covered
//
// URIs are compared byte for byte. A certificate without distribution points is covered by a list whose
// name is that of its issuer (the last paragraph of section 6.3.3).
func (p *distributionPoint) covers(cert *x509.Certificate) reasonFlags {
	isCA := cert.BasicConstraintsValid && cert.IsCA
	switch {
	case p.users && isCA, p.cas && !isCA:
		return 0
	case !p.named || slices.Contains(p.names, directoryName(cert.RawIssuer)):
		return p.reasons
	}
	var covered reasonFlags
	for _, point := range pointsOf(cert) {
		if slices.ContainsFunc(point.names, func(name string) bool { return slices.Contains(p.names, name) }) {
			covered |= point.reasons & p.reasons
		}
	}
	return covered
}

// String says which certificates the list covers.
func (p *distributionPoint) String() string {
	var only []string
	switch {
	case len(p.uris) > 0:
		only = append(only, "certificates whose CRL distribution point is "+strings.Join(p.uris, " or "))
	case p.named:
		only = append(only, "certificates with its distribution point")
	}
	if p.users {
		only = append(only, "certificates that are no authority's")
	}
	if p.cas {
		only = append(only, "authorities")
	}
	if p.reasons != allReasons {
		only = append(only, "some reasons")
	}
	return "only for " + strings.Join(only, ", and only for ")
}

// The fields of an IssuingDistributionPoint and of a DistributionPoint.
var (
	tagDistributionPoint = cbasn1.Tag(0).ContextSpecific().Constructed()
	tagOnlyUsers         = cbasn1.Tag(1).ContextSpecific()
	tagOnlyCAs           = cbasn1.Tag(2).ContextSpecific()
	tagOnlySomeReasons   = cbasn1.Tag(3).ContextSpecific()
	tagIndirect          = cbasn1.Tag(4).ContextSpecific()
	tagOnlyAttributes    = cbasn1.Tag(5).ContextSpecific()

	tagReasons   = cbasn1.Tag(1).ContextSpecific()
	tagCRLIssuer = cbasn1.Tag(2).ContextSpecific().Constructed()

	tagFullName      = cbasn1.Tag(0).ContextSpecific().Constructed()
	tagRelativeName  = cbasn1.Tag(1).ContextSpecific().Constructed()
	tagDirectoryName = cbasn1.Tag(4).ContextSpecific().Constructed()
	tagURI           = cbasn1.Tag(6).ContextSpecific()
)

// read reads the content of the extension.
func (p *distributionPoint) read(value, rawIssuer []byte) error {
	p.raw = value
	errMalformed := errors.New("its issuing distribution point is malformed")
	var indirect, attributes, someReasons bool
	var names, reasons cryptobyte.String
	input, body := cryptobyte.String(value), cryptobyte.String(nil)
	if !input.ReadASN1(&body, cbasn1.SEQUENCE) || !input.Empty() ||
		!body.ReadOptionalASN1(&names, &p.named, tagDistributionPoint) ||
		!readFlag(&body, &p.users, tagOnlyUsers) ||
		!readFlag(&body, &p.cas, tagOnlyCAs) ||
		!body.ReadOptionalASN1(&reasons, &someReasons, tagOnlySomeReasons) ||
		!readFlag(&body, &indirect, tagIndirect) ||
		!readFlag(&body, &attributes, tagOnlyAttributes) || !body.Empty() {
		return errMalformed
	}
	if p.named {
		var ok bool
		if p.names, p.uris, ok = readNames(names, rawIssuer); !ok {
			return errMalformed
		}
	}
	if someReasons {
		p.reasons = readReasons(reasons)
	}
	switch {
	case indirect:
		return errIndirect
	case attributes:
		return errors.New("it is for attribute certificates: use the list for the clients' certificates")
	case p.users && p.cas, p.reasons == 0:
		return errMalformed
	}
	return nil
}

// certificatePoint is a CRL distribution point of a certificate (RFC 5280 section 4.2.1.13).
type certificatePoint struct {
	names   []string
	reasons reasonFlags
}

// pointsOf returns the distribution points of a certificate. It leaves out those that cannot be read, and
// those with indirect lists, which another authority issues.
func pointsOf(cert *x509.Certificate) []certificatePoint {
	var points []certificatePoint
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(oidCRLDistributionPoints) {
			points = append(points, readPoints(ext.Value, cert.RawIssuer)...)
		}
	}
	return points
}

var oidCRLDistributionPoints = asn1.ObjectIdentifier{2, 5, 29, 31}

// readPoints reads the content of a certificate's extension, up to the first distribution point that is
// malformed.
func readPoints(value, rawIssuer []byte) []certificatePoint {
	var points []certificatePoint
	input, all := cryptobyte.String(value), cryptobyte.String(nil)
	if !input.ReadASN1(&all, cbasn1.SEQUENCE) || !input.Empty() {
		return nil
	}
	for !all.Empty() {
		var one, names, reasons, issuer cryptobyte.String
		var named, someReasons, indirect bool
		if !all.ReadASN1(&one, cbasn1.SEQUENCE) ||
			!one.ReadOptionalASN1(&names, &named, tagDistributionPoint) ||
			!one.ReadOptionalASN1(&reasons, &someReasons, tagReasons) ||
			!one.ReadOptionalASN1(&issuer, &indirect, tagCRLIssuer) || !one.Empty() {
			return points
		}
		point := certificatePoint{reasons: allReasons}
		if someReasons {
			point.reasons = readReasons(reasons)
		}
		if named && !indirect {
			point.names, _, _ = readNames(names, rawIssuer)
			points = append(points, point)
		}
	}
	return points
}

// maxShown is how many URIs of a list a message can have.
const maxShown = 3

// readNames reads a DistributionPointName. The names that it returns are equal if they are the same name.
// The URIs are the first ones among the names, as messages show them.
func readNames(s cryptobyte.String, rawIssuer []byte) (names, uris []string, ok bool) {
	var inside cryptobyte.String
	if s.PeekASN1Tag(tagRelativeName) {
		if !s.ReadASN1(&inside, tagRelativeName) || !s.Empty() {
			return nil, nil, false
		}
		return []string{relativeName(rawIssuer, inside)}, nil, true
	}
	if !s.ReadASN1(&inside, tagFullName) || !s.Empty() {
		return nil, nil, false
	}
	for !inside.Empty() {
		var value, element cryptobyte.String
		var tag cbasn1.Tag
		if !inside.ReadAnyASN1Element(&element, &tag) {
			return nil, nil, false
		}
		value = element
		value.ReadASN1(&value, tag)
		switch tag {
		case tagDirectoryName:
			names = append(names, directoryName(value))
		case tagURI:
			if names = append(names, string(element)); len(uris) < maxShown {
				uris = append(uris, printable(value))
			}
		default:
			names = append(names, string(element))
		}
	}
	return names, uris, true
}

// directoryName returns the name of a point that is a distinguished name. It is equal for names that are
// the same, even if they are encoded with other string types.
func directoryName(der []byte) string {
	normal, err := normalName(der)
	if err != nil {
		return "unreadable " + string(der)
	}
	return "name " + normal
}

// relativeName returns the name of a point that is a nameRelativeToCRLIssuer: the issuer's name with
// one more relative distinguished name.
func relativeName(rawIssuer []byte, relative cryptobyte.String) string {
	var above cryptobyte.String
	issuer := cryptobyte.String(rawIssuer)
	if !issuer.ReadASN1(&above, cbasn1.SEQUENCE) {
		return "unreadable " + string(rawIssuer) + string(relative)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(above)
		b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(relative) })
	})
	der, err := b.Bytes()
	if err != nil {
		return "unreadable " + string(rawIssuer) + string(relative)
	}
	return directoryName(der)
}

// printable returns a URI as a message can show it.
func printable(uri []byte) string {
	if strings.ContainsFunc(string(uri), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Sprintf("%.200q", uri)
	}
	return fmt.Sprintf("%.200s", uri)
}

// readReasons reads the content of a ReasonFlags. It returns no reasons if it is malformed.
func readReasons(bits []byte) reasonFlags {
	var flags reasonFlags
	for n := 1; len(bits) > 1 && n <= 8; n++ {
		if at := 1 + n/8; at < len(bits) && bits[at]&(0x80>>(n%8)) != 0 {
			flags |= 1 << n
		}
	}
	return flags
}

// readFlag reads an optional BOOLEAN that has an implicit tag.
func readFlag(s *cryptobyte.String, out *bool, tag cbasn1.Tag) bool {
	var value cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&value, &present, tag) || present && len(value) != 1 {
		return false
	}
	*out = present && value[0] != 0
	return true
}
