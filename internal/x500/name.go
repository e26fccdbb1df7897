// Package x500 reads the distinguished names of X.509 certificates and renders
// them as Java does, letter for letter.
//
// Elasticsearch's PKI realm takes user names from a rendered name and compares
// rendered names with role mappings, and so do the files and habits of its
// users. crypto/x509/pkix cannot serve here: its Name drops the order and the
// grouping of attributes and all but the last CN, and its String renders
// otherwise than Java.
//
// crypto/x509 is also stricter than Java. It refuses a certificate whose
// subject has characters outside a string type's alphabet, invalid UTF-8, a
// UniversalString, a GeneralString or a value that is no string, so over TLS
// such names never arrive. It also drops a trailing NUL of a BMPString, which
// Java, and this package, keep. Names from elsewhere (a file, a test, a
// delegated chain) are read as Java reads them.
package x500

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxSize bounds the names that Parse accepts. It is what a TLS handshake can
// carry in a certificate message, so no certificate of a live connection is
// beyond it.
const MaxSize = 1 << 18

// Why the value of an attribute cannot serve as somebody's name.
var (
	ErrNotString = errors.New("is not a string type")
	ErrEncoding  = errors.New("has bytes that its string type does not allow")
	ErrControl   = errors.New("has a control character")

	// These are for Last alone.
	ErrSeveral    = errors.New("has several values in one relative name")
	ErrPassedOver = errors.New("has a value that a PKI realm may pass over for another: " +
		"as a T61String or UniversalString, or empty")
)

// Name is a distinguished name in the order of the certificate, which is the
// reverse of the order in which names are printed.
type Name []RDN

// RDN is a relative distinguished name. It has more than one attribute where
// the name has a "+".
type RDN []Attribute

// Attribute is one type and its value.
type Attribute struct {
	Type OID
	// Value is the decoded text. Bytes that the string type does not allow are
	// replaced by U+FFFD, as Java does it; a value that is not a string is empty.
	// Check Err before using it as a name.
	Value string
	// Raw is the value's DER with its tag. It shares memory with Parse's input.
	Raw []byte

	err error
}

// Err says why Value must not be taken for a name: ErrNotString, ErrEncoding
// or ErrControl. It is nil for clean text, which may be empty.
func (a Attribute) Err() error { return a.err }

// Parse reads the DER of a Name as in RFC 5280 section 4.1.2.4, for instance
// the RawSubject of a certificate.
func Parse(der []byte) (Name, error) {
	if len(der) > MaxSize {
		return nil, fmt.Errorf("x500: the name has %d bytes, more than %d", len(der), MaxSize)
	}
	input := cryptobyte.String(der)
	var rdns cryptobyte.String
	if !input.ReadASN1(&rdns, cbasn1.SEQUENCE) {
		return nil, errors.New("x500: the name is not a DER SEQUENCE")
	}
	if !input.Empty() {
		return nil, errors.New("x500: data after the name")
	}

	name := make(Name, 0, 6)
	// One array for all attributes: RDNs are windows of it. When it grows, the
	// windows so far keep the old array, which nobody writes any more.
	all := make([]Attribute, 0, 6)
	for !rdns.Empty() {
		var set cryptobyte.String
		if !rdns.ReadASN1(&set, cbasn1.SET) {
			return nil, fmt.Errorf("x500: relative name %d is not a DER SET", len(name)+1)
		}
		first := len(all)
		for !set.Empty() {
			attr, err := readAttribute(&set)
			if err != nil {
				return nil, fmt.Errorf("x500: relative name %d: %w", len(name)+1, err)
			}
			all = append(all, attr)
		}
		name = append(name, RDN(all[first:len(all):len(all)]))
	}
	return name, nil
}

func readAttribute(set *cryptobyte.String) (Attribute, error) {
	var pair cryptobyte.String
	if !set.ReadASN1(&pair, cbasn1.SEQUENCE) {
		return Attribute{}, errors.New("the attribute is not a DER SEQUENCE")
	}
	oid, ok := readOID(&pair)
	if !ok {
		return Attribute{}, errors.New("the attribute's type is not a usable OID")
	}
	var raw cryptobyte.String
	var tag cbasn1.Tag
	if !pair.ReadAnyASN1Element(&raw, &tag) {
		return Attribute{}, fmt.Errorf("the value of %s is not DER", oid)
	}
	if !pair.Empty() {
		return Attribute{}, fmt.Errorf("data after the value of %s", oid)
	}
	attr := Attribute{Type: oid, Raw: raw}
	attr.Value, attr.err = decode(tag, content(raw))
	return attr, nil
}

func readOID(pair *cryptobyte.String) (OID, bool) {
	ahead := *pair
	var body cryptobyte.String
	if !ahead.ReadASN1(&body, cbasn1.OBJECT_IDENTIFIER) {
		return "", false
	}
	if oid, ok := wellKnown[string(body)]; ok {
		*pair = ahead
		return oid, true
	}
	var oid asn1.ObjectIdentifier
	if !pair.ReadASN1ObjectIdentifier(&oid) {
		return "", false
	}
	return OID(oid.String()), true
}

// content is a DER element without its tag and length.
func content(raw []byte) []byte {
	s := cryptobyte.String(raw)
	var body cryptobyte.String
	var tag cbasn1.Tag
	s.ReadAnyASN1(&body, &tag) // cannot fail: Parse has read the same bytes
	return body
}

// Values returns the attributes of one type in the order of the certificate.
func (n Name) Values(t OID) []Attribute {
	var found []Attribute
	for _, rdn := range n {
		for _, a := range rdn {
			if a.Type == t {
				found = append(found, a)
			}
		}
	}
	return found
}

// Strings returns the values of one type in the order of the certificate, or
// an error if any of them cannot serve as a name.
func (n Name) Strings(t OID) ([]string, error) {
	var found []string
	for _, a := range n.Values(t) {
		if a.err != nil {
			return nil, fmt.Errorf("the certificate's %s %w", t.javaName(), a.err)
		}
		found = append(found, a.Value)
	}
	return found, nil
}

// Last returns the value of one type that is last in the order of the
// certificate, which is the most specific one, if there is one. It is the one
// that Elasticsearch (username_rdn_name, username_rdn_oid) and OpenSearch
// (username_attribute) take.
//
// Of several values in one relative name, which is a set, Elasticsearch takes the
// last in the order of DER and OpenSearch another: that is ErrSeveral. And
// Elasticsearch passes over some values for an earlier one: a T61String, a
// UniversalString, and what follows an empty value in its relative name. Where
// that may happen it is ErrPassedOver.
func (n Name) Last(t OID) (value string, found bool, err error) {
	for _, rdn := range n {
		here, empty := 0, false
		for _, a := range rdn {
			empty = empty || len(content(a.Raw)) == 0
			if a.Type != t {
				continue
			}
			here++
			value, found, err = a.Value, true, a.err
			if tag := a.tag(); err == nil && (tag == cbasn1.T61String || tag == universalString) {
				err = ErrPassedOver
			}
			if err != nil {
				return "", false, fmt.Errorf("the certificate's %s %w", t.javaName(), err)
			}
		}
		switch {
		case here > 1:
			return "", false, fmt.Errorf("the certificate's %s %w", t.javaName(), ErrSeveral)
		case here > 0 && empty:
			return "", false, fmt.Errorf("the certificate's %s %w", t.javaName(), ErrPassedOver)
		}
	}
	return value, found, nil
}
