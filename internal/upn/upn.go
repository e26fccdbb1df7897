// Package upn reads the user principal names, such as alice@corp.example.com, in certificates of Active
// Directory.
package upn

import (
	"encoding/asn1"
	"errors"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// oid is szOID_NT_PRINCIPAL_NAME ([MS-WCCE] section 2.2.2.7.7.4 and [MS-PKCA] section 3.1.5.2.1).
var oid = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}

var (
	errNames = errors.New("the certificate's alternative names cannot be read")
	errUPN   = errors.New("the certificate's user principal name is no UTF8String")
)

// Parse returns the user principal names in the content of a subject alternative name extension (RFC 5280
// section 4.2.1.6), in their order:
//
//	GeneralNames ::= SEQUENCE SIZE (1..MAX) OF GeneralName
//	otherName [0] ::= { type-id OBJECT IDENTIFIER, value [0] EXPLICIT UTF8String }
//
// Names of other types are skipped. A user principal name that is malformed is an error. If it were
// skipped, the caller would take the next one for the first.
func Parse(extension []byte) ([]string, error) {
	input := cryptobyte.String(extension)
	var names cryptobyte.String
	if !input.ReadASN1(&names, cbasn1.SEQUENCE) || !input.Empty() {
		return nil, errNames
	}
	otherName := cbasn1.Tag(0).ContextSpecific().Constructed()
	var upns []string
	for !names.Empty() {
		var name cryptobyte.String
		var tag cbasn1.Tag
		if !names.ReadAnyASN1(&name, &tag) {
			return nil, errNames
		}
		if tag != otherName {
			continue
		}
		var kind asn1.ObjectIdentifier
		if !name.ReadASN1ObjectIdentifier(&kind) {
			return nil, errNames
		}
		if !kind.Equal(oid) {
			continue
		}
		var value, text cryptobyte.String
		if !name.ReadASN1(&value, cbasn1.Tag(0).ContextSpecific().Constructed()) || !name.Empty() ||
			!value.ReadASN1(&text, cbasn1.UTF8String) || !value.Empty() || !utf8.Valid(text) {
			return nil, errUPN
		}
		upns = append(upns, string(text))
	}
	return upns, nil
}
