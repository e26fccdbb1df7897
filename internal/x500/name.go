// Package x500 reads the distinguished names of X.509 certificates and renders
// them exactly as Java does.
//
// Elasticsearch's PKI realm renders a name, takes the user name from that text, and
// compares the text with role mappings. crypto/x509/pkix does not help here: its
// Name loses the order and the grouping of attributes and all but the last CN, and
// its String renders names in another way than Java.
//
// crypto/x509 is also stricter than Java. It refuses a certificate whose subject has
// characters that its string type does not allow, malformed UTF-8, a UniversalString,
// a GeneralString or a value that is no string. So clients cannot have such names.
// It also drops a NUL at the end of a BMPString, which Java and this package keep.
// Names from elsewhere (a file, a test, a delegated chain) are read as Java reads
// them.
package x500

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxSize is how many bytes a name can have. The certificate message of a TLS
// handshake cannot be longer, so every client's name fits.
const MaxSize = 1 << 18

// The reasons why the value of an attribute cannot be used as a name.
var (
	ErrNotString = errors.New("is not a string type")
	ErrEncoding  = errors.New("has bytes that its string type does not allow")
	ErrControl   = errors.New("has a control character")

	// Only Last returns these.
	ErrSeveral    = errors.New("has several values in one relative name")
	ErrPassedOver = errors.New("has a value that a PKI realm may pass over for another: " +
		"as a T61String or UniversalString, or empty")
)

// Name is a distinguished name in the order of the certificate. Names are printed
// in the reverse order.
type Name []RDN

// RDN is a relative distinguished name. If it has several attributes, there is a
// "+" between them in print.
type RDN []Attribute

// Attribute is one type and its value.
type Attribute struct {
	Type OID
	// Value is the decoded text. As in Java, bytes that the string type does not
	// allow are U+FFFD. If the value is not a string, it is empty. Check Err before
	// using it as a name.
	Value string
	// Raw is the value's DER with its tag. It shares memory with Parse's input.
	Raw []byte

	err error
}

// Err returns the reason why Value must not be used as a name: ErrNotString,
// ErrEncoding or ErrControl. It returns nil for clean text, even if it is empty.
func (a Attribute) Err() error { return a.err }

// Parse reads a Name in DER (RFC 5280 section 4.1.2.4), such as the RawSubject of a
// certificate.
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
	// All attributes are in one array, and each RDN is a slice of it. When the array
	// grows, earlier slices keep the old one, to which nothing is written any more.
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

// content returns a DER element without its tag and length.
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

// Last returns the last value of one type in the order of the certificate, which is
// the most specific one. Elasticsearch (username_rdn_name, username_rdn_oid) and
// OpenSearch (username_attribute) use the same value. Where they may use another
// one, Last returns an error:
//
//   - ErrSeveral if a relative distinguished name has several values of the type.
//     Elasticsearch takes the last one in the order of DER, and OpenSearch another.
//   - ErrPassedOver if Elasticsearch may skip the value and take an earlier one. It
//     skips a T61String, a UniversalString, and the values that follow an empty one
//     in the same relative distinguished name.
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
