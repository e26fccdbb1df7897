package crl

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The extensions of a list (RFC 5280 section 5.2) and of its entries (section
// 5.3) that matter here.
var (
	oidAuthorityKeyIdentifier   = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidCRLNumber                = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidDeltaCRLIndicator        = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIssuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
)

// As DER has them: a list may have a million entries.
const (
	derReasonCode        = "\x55\x1d\x15" // 2.5.29.21
	derInvalidityDate    = "\x55\x1d\x18" // 2.5.29.24
	derCertificateIssuer = "\x55\x1d\x1d" // 2.5.29.29
)

// reason is a CRLReason (RFC 5280 section 5.3.1).
type reason int

// removeFromCRL says that a certificate is not revoked, or not any more. It
// belongs into delta lists only; elsewhere it is taken by its word, as OpenSSL
// takes it. All others, certificateHold among them, revoke for as long as the
// entry is there.
const removeFromCRL reason = 8

var reasons = [...]string{
	"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
	"certificateHold", "unknown", "removeFromCRL", "privilegeWithdrawn", "aACompromise",
}

func (r reason) String() string {
	if r < 0 || int(r) >= len(reasons) {
		return "unknown"
	}
	return reasons[r]
}

func (e *entry) readExtensions(exts cryptobyte.String) error {
	hasReason := false
	for !exts.Empty() {
		var ext, id, value cryptobyte.String
		var critical bool
		if !exts.ReadASN1(&ext, cbasn1.SEQUENCE) ||
			!ext.ReadASN1(&id, cbasn1.OBJECT_IDENTIFIER) ||
			ext.PeekASN1Tag(cbasn1.BOOLEAN) && !ext.ReadASN1Boolean(&critical) ||
			!ext.ReadASN1(&value, cbasn1.OCTET_STRING) || !ext.Empty() {
			return errors.New("it has a malformed extension")
		}
		switch string(id) {
		case derReasonCode:
			var code int
			if hasReason || !value.ReadASN1Enum(&code) || !value.Empty() {
				return errors.New("its reason is malformed")
			}
			hasReason = true
			e.reason = reason(code)
		case derInvalidityDate: // since when it may have been abused, which does not matter now
		case derCertificateIssuer:
			return errIndirect
		default:
			if critical {
				return unknownExtension(id)
			}
		}
	}
	return nil
}

func unknownExtension(id cryptobyte.String) error {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(id) })
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(b.BytesOrPanic(), &oid); err != nil {
		return errors.New("it has a malformed extension")
	}
	return errCritical(oid)
}

func errCritical(id asn1.ObjectIdentifier) error {
	return fmt.Errorf("it has the critical extension %s, which is unknown here, so that the list must not be used (RFC 5280 section 5.2)", id)
}

var errIndirect = errors.New("it is an indirect list, with certificates of other authorities: use the list of the authority itself")

// distributionPoint is an issuing distribution point (RFC 5280 section 5.2.5):
// which of its issuer's certificates the list covers.
type distributionPoint struct {
	raw    []byte // empty: all certificates
	uris   []string
	others bool // has names that are no URIs
	users  bool // only certificates that are no authority's
	cas    bool // only authorities
}

// covers reports whether the certificate would be on the list if it were
// revoked. Where that cannot be told, it would.
func (p *distributionPoint) covers(cert *x509.Certificate) bool {
	isCA := cert.BasicConstraintsValid && cert.IsCA
	switch {
	case p.users && isCA, p.cas && !isCA:
		return false
	case len(p.uris) == 0 || p.others || len(cert.CRLDistributionPoints) == 0:
		return true
	default:
		return slices.ContainsFunc(cert.CRLDistributionPoints, func(uri string) bool { return slices.Contains(p.uris, uri) })
	}
}

// checkExtensions refuses what would be misread, and returns the distribution
// point.
func checkExtensions(exts []pkix.Extension) (distributionPoint, error) {
	var point distributionPoint
	seen := make(map[string]bool, len(exts))
	for _, ext := range exts {
		id := ext.Id.String()
		if seen[id] {
			return point, fmt.Errorf("it has the extension %s twice", id)
		}
		seen[id] = true
		switch {
		case ext.Id.Equal(oidDeltaCRLIndicator):
			return point, errors.New("it is a delta list, which says only what has changed since another one: use the complete list")
		case ext.Id.Equal(oidIssuingDistributionPoint):
			if err := point.read(ext.Value); err != nil {
				return point, err
			}
		case ext.Id.Equal(oidAuthorityKeyIdentifier), ext.Id.Equal(oidCRLNumber): // read by crypto/x509
		case ext.Critical:
			return point, errCritical(ext.Id)
		}
	}
	return point, nil
}

// The fields of an IssuingDistributionPoint.
var (
	tagDistributionPoint = cbasn1.Tag(0).ContextSpecific().Constructed()
	tagOnlyUsers         = cbasn1.Tag(1).ContextSpecific()
	tagOnlyCAs           = cbasn1.Tag(2).ContextSpecific()
	tagOnlySomeReasons   = cbasn1.Tag(3).ContextSpecific()
	tagIndirect          = cbasn1.Tag(4).ContextSpecific()
	tagOnlyAttributes    = cbasn1.Tag(5).ContextSpecific()

	tagFullName = cbasn1.Tag(0).ContextSpecific().Constructed()
	tagURI      = cbasn1.Tag(6).ContextSpecific()
)

func (p *distributionPoint) read(value []byte) error {
	p.raw = value
	errMalformed := errors.New("its issuing distribution point is malformed")
	var indirect, attributes, hasName, someReasons bool
	var names, skipped cryptobyte.String
	input, body := cryptobyte.String(value), cryptobyte.String(nil)
	if !input.ReadASN1(&body, cbasn1.SEQUENCE) || !input.Empty() ||
		!body.ReadOptionalASN1(&names, &hasName, tagDistributionPoint) ||
		!readFlag(&body, &p.users, tagOnlyUsers) ||
		!readFlag(&body, &p.cas, tagOnlyCAs) ||
		!body.ReadOptionalASN1(&skipped, &someReasons, tagOnlySomeReasons) ||
		!readFlag(&body, &indirect, tagIndirect) ||
		!readFlag(&body, &attributes, tagOnlyAttributes) || !body.Empty() ||
		hasName && !p.readNames(names) {
		return errMalformed
	}
	switch {
	case indirect:
		return errIndirect
	case someReasons:
		return errors.New("it has only certificates that were revoked for some of the reasons: use a list for all of them")
	case attributes:
		return errors.New("it is for attribute certificates: use the list for the clients' certificates")
	case p.users && p.cas:
		return errMalformed
	}
	return nil
}

// readNames reads a DistributionPointName.
func (p *distributionPoint) readNames(s cryptobyte.String) bool {
	var names cryptobyte.String
	if !s.ReadASN1(&names, tagFullName) {
		p.others = true // a name relative to the issuer
		return true
	}
	for !names.Empty() {
		var name cryptobyte.String
		var tag cbasn1.Tag
		if !names.ReadAnyASN1(&name, &tag) {
			return false
		}
		if tag == tagURI {
			p.uris = append(p.uris, string(name))
		} else {
			p.others = true
		}
	}
	return s.Empty()
}

// readFlag reads an optional BOOLEAN with a tag of its own.
func readFlag(s *cryptobyte.String, out *bool, tag cbasn1.Tag) bool {
	var value cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&value, &present, tag) || present && len(value) != 1 {
		return false
	}
	*out = present && value[0] != 0
	return true
}
