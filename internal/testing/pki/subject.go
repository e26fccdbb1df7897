package pki

import (
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf16"
)

// StringType is the tag of an ASN.1 string type.
type StringType int

// The string types of X.520's DirectoryString and of older names.
const (
	UTF8      StringType = asn1.TagUTF8String
	Numeric   StringType = asn1.TagNumericString
	Printable StringType = asn1.TagPrintableString
	T61       StringType = asn1.TagT61String // with Latin-1 in it, as everybody does
	IA5       StringType = asn1.TagIA5String
	Universal StringType = 28 // UTF-32
	BMP       StringType = asn1.TagBMPString
)

const (
	tagSequence = 0x30
	tagSet      = 0x31
)

// Attribute is an attribute of a name.
type Attribute struct {
	Type string // an OID
	Text string
	As   StringType // default: UTF8
}

// RDN is a relative distinguished name. Most have one attribute.
type RDN []Attribute

// Attribute types.
const (
	CN    = "2.5.4.3"
	C     = "2.5.4.6"
	O     = "2.5.4.10"
	OU    = "2.5.4.11"
	Email = "1.2.840.113549.1.9.1"
	UID   = "0.9.2342.19200300.100.1.1"
	DC    = "0.9.2342.19200300.100.1.25"
)

// Subject returns the DER of a name. It neither sorts nor checks anything, so that
// it can make names that crypto/x509 cannot write or parse.
func Subject(rdns ...RDN) []byte {
	var name []byte
	for _, rdn := range rdns {
		var set []byte
		for _, a := range rdn {
			set = append(set, a.der()...)
		}
		name = append(name, Element(tagSet, set)...)
	}
	return Element(tagSequence, name)
}

func (a Attribute) der() []byte {
	var oid asn1.ObjectIdentifier
	for number := range dotted(a.Type) {
		oid = append(oid, number)
	}
	as := a.As
	if as == 0 {
		as = UTF8
	}
	return Element(tagSequence, must(asn1.Marshal(oid)), Element(byte(as), as.encode(a.Text)))
}

// dotted yields the numbers of an OID.
func dotted(oid string) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		number := 0
		for _, c := range oid + "." {
			if c != '.' {
				number = number*10 + int(c-'0')
				continue
			}
			if !yield(number) {
				return
			}
			number = 0
		}
	}
}

func (s StringType) encode(text string) (encoded []byte) {
	switch s {
	case BMP:
		for _, unit := range utf16.Encode([]rune(text)) {
			encoded = binary.BigEndian.AppendUint16(encoded, unit)
		}
	case Universal:
		for _, r := range text {
			encoded = binary.BigEndian.AppendUint32(encoded, uint32(r))
		}
	case T61:
		for _, r := range text {
			if r > 0xff {
				panic(fmt.Sprintf("%q is not Latin-1", text))
			}
			encoded = append(encoded, byte(r))
		}
	default:
		encoded = []byte(text)
	}
	return encoded
}

// Element returns a DER element: the tag, the length of the content and the content.
func Element(tag byte, content ...[]byte) []byte {
	return must(asn1.Marshal(asn1.RawValue{
		Class: int(tag >> 6), IsCompound: tag&0x20 != 0, Tag: int(tag & 0x1f), Bytes: slices.Concat(content...),
	}))
}
