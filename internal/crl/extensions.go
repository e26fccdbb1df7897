package crl

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The extensions of a list that matter here (RFC 5280 section 5.2).
var (
	oidAuthorityKeyIdentifier   = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidCRLNumber                = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidDeltaCRLIndicator        = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIssuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
)

// The extensions of an entry that matter here (RFC 5280 section 5.3), in DER: they are compared as bytes,
// since a list may have a million entries.
const (
	derReasonCode        = "\x55\x1d\x15" // 2.5.29.21
	derInvalidityDate    = "\x55\x1d\x18" // 2.5.29.24
	derCertificateIssuer = "\x55\x1d\x1d" // 2.5.29.29
)

// reason is a CRLReason (RFC 5280 section 5.3.1).
type reason int

// removeFromCRL says that a certificate is no longer revoked. It belongs in delta
// lists only, but like OpenSSL, this package follows it in a complete list too.
// With any other reason, and so with certificateHold, a certificate is revoked for
// as long as it is on the list.
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

// readReason returns the reason that the extensions of an entry have.
func readReason(exts cryptobyte.String) (reason, error) {
	var code int
	hasReason := false
	for !exts.Empty() {
		var ext, id, value cryptobyte.String
		var critical bool
		if !exts.ReadASN1(&ext, cbasn1.SEQUENCE) ||
			!ext.ReadASN1(&id, cbasn1.OBJECT_IDENTIFIER) ||
			ext.PeekASN1Tag(cbasn1.BOOLEAN) && !ext.ReadASN1Boolean(&critical) ||
			!ext.ReadASN1(&value, cbasn1.OCTET_STRING) || !ext.Empty() {
			return 0, errors.New("it has a malformed extension")
		}
		switch string(id) {
		case derReasonCode:
			if hasReason || !value.ReadASN1Enum(&code) || !value.Empty() {
				return 0, errors.New("its reason is malformed")
			}
			hasReason = true
		case derInvalidityDate: // since when the key may have been compromised
		case derCertificateIssuer:
			return 0, errIndirect
		default:
			if critical {
				return 0, unknownExtension(id)
			}
		}
	}
	return reason(code), nil
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
	return fmt.Errorf("it has the critical extension %s, which is unknown here, "+
		"so that the list must not be used (RFC 5280 section 5.2)", id)
}

var errIndirect = errors.New("it is an indirect list, with certificates of other authorities: " +
	"use the list of the authority itself")

// checkExtensions returns the issuing distribution point of a list. It refuses a
// list with extensions that this package does not support.
func checkExtensions(exts []pkix.Extension, rawIssuer []byte) (distributionPoint, error) {
	point := distributionPoint{reasons: allReasons}
	seen := make(map[string]bool, len(exts))
	for _, ext := range exts {
		id := ext.Id.String()
		if seen[id] {
			return point, fmt.Errorf("it has the extension %s twice", id)
		}
		seen[id] = true
		switch {
		case ext.Id.Equal(oidDeltaCRLIndicator):
			return point, errors.New("it is a delta list, which says only what has changed since another one: " +
				"use the complete list")
		case ext.Id.Equal(oidIssuingDistributionPoint):
			if err := point.read(ext.Value, rawIssuer); err != nil {
				return point, err
			}
		case ext.Id.Equal(oidAuthorityKeyIdentifier), ext.Id.Equal(oidCRLNumber): // read by crypto/x509
		case ext.Critical:
			return point, errCritical(ext.Id)
		}
	}
	return point, nil
}
