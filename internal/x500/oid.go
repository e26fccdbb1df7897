package x500

import (
	"crypto/x509"
	"fmt"
	"strings"
)

// OID is an attribute type in dotted-decimal notation, as in
// `username_rdn_oid: 2.5.4.3`.
type OID string

// The attribute types for which Java, and so Elasticsearch, prints a name. For all
// others, it prints the number.
const (
	CommonName          OID = "2.5.4.3"
	Surname             OID = "2.5.4.4"
	SerialNumber        OID = "2.5.4.5"
	Country             OID = "2.5.4.6"
	Locality            OID = "2.5.4.7"
	Province            OID = "2.5.4.8"
	Street              OID = "2.5.4.9"
	Organization        OID = "2.5.4.10"
	OrganizationalUnit  OID = "2.5.4.11"
	Title               OID = "2.5.4.12"
	GivenName           OID = "2.5.4.42"
	Initials            OID = "2.5.4.43"
	GenerationQualifier OID = "2.5.4.44"
	DNQualifier         OID = "2.5.4.46"
	EmailAddress        OID = "1.2.840.113549.1.9.1"
	UserID              OID = "0.9.2342.19200300.100.1.1"
	DomainComponent     OID = "0.9.2342.19200300.100.1.25"
	IPAddress           OID = "1.3.6.1.4.1.42.2.11.2.1"
)

// keyword is the name that Java prints for an attribute type.
type keyword struct {
	name    string
	rfc2253 bool // false: in the format of RFC 2253, Java prints a number, and the value in hexadecimal
}

var keywords = map[OID]keyword{
	CommonName:          {"CN", true},
	Surname:             {"SURNAME", false},
	SerialNumber:        {"SERIALNUMBER", false},
	Country:             {"C", true},
	Locality:            {"L", true},
	Province:            {"ST", true},
	Street:              {"STREET", true},
	Organization:        {"O", true},
	OrganizationalUnit:  {"OU", true},
	Title:               {"T", false},
	GivenName:           {"GIVENNAME", false},
	Initials:            {"INITIALS", false},
	GenerationQualifier: {"GENERATION", false},
	DNQualifier:         {"DNQ", false},
	EmailAddress:        {"EMAILADDRESS", false},
	UserID:              {"UID", true},
	DomainComponent:     {"DC", true},
	IPAddress:           {"IP", false},
}

// wellKnown has the usual attribute types by the content of their DER, so that they
// need not be decoded.
var wellKnown = map[string]OID{
	"\x55\x04\x03":                         CommonName,
	"\x55\x04\x05":                         SerialNumber,
	"\x55\x04\x06":                         Country,
	"\x55\x04\x07":                         Locality,
	"\x55\x04\x08":                         Province,
	"\x55\x04\x09":                         Street,
	"\x55\x04\x0a":                         Organization,
	"\x55\x04\x0b":                         OrganizationalUnit,
	"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01": EmailAddress,
	"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01": UserID,
	"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19": DomainComponent,
}

// javaName returns the attribute type as X500Principal.toString() prints it.
func (o OID) javaName() string {
	if k, ok := keywords[o]; ok {
		return k.name
	}
	return "OID." + string(o)
}

// ParseAttributeType reads an attribute type as in `username_rdn_name` and `username_rdn_oid`: one of the
// names that Java prints, in upper or lower case, or a number in dotted-decimal notation.
func ParseAttributeType(s string) (OID, error) {
	for oid, k := range keywords {
		if strings.EqualFold(k.name, s) {
			return oid, nil
		}
	}
	parsed, err := x509.ParseOID(s)
	if err != nil {
		return "", fmt.Errorf("%q is no attribute type: write its name, such as CN, or its number, such as 2.5.4.3", s)
	}
	return OID(parsed.String()), nil
}
