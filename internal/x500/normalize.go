package x500

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
)

// Normalize returns the normal form of a distinguished name. Elasticsearch takes the
// name in role_mapping.yml and the name of a certificate for the same if and only if
// their normal forms are equal.
//
// In the normal form, attribute types and values are in lower case, several spaces
// are one, spaces around values and separators are removed, the attributes of a
// relative distinguished name are sorted, everything but printable ASCII is escaped,
// and hexadecimal values are decoded:
//
//	O=Acme  Inc. + CN="Doe, John", C=#13024445    cn=doe\, john+o=acme inc.,c=de
//
// The order of relative distinguished names matters, and so does the spelling of an
// attribute type: `CN`, `commonName` and `OID.2.5.4.3` are different.
//
// The input can be as in RFC 1779, RFC 2253 or RFC 4514, with commas or semicolons,
// quotes or backslashes. (Elasticsearch parses names with the DN class of the
// UnboundID LDAP SDK, without a schema.)
func Normalize(dn string) (string, error) {
	if len(dn) > MaxSize {
		return "", fmt.Errorf("x500: the name has %d bytes, more than %d", len(dn), MaxSize)
	}
	p := dnParser{rest: strings.TrimLeft(dn, " ")}
	if p.rest == "" {
		return "", nil
	}
	var out strings.Builder
	for {
		rdn, more, err := p.relativeName()
		if err != nil {
			return "", fmt.Errorf("x500: not a distinguished name: %w", err)
		}
		out.WriteString(rdn)
		if !more {
			return out.String(), nil
		}
		out.WriteByte(',')
	}
}

// dnParser consumes the text of a distinguished name.
type dnParser struct{ rest string }

func (p *dnParser) skipSpaces() { p.rest = strings.TrimLeft(p.rest, " ") }

// relativeName reads a relative distinguished name and the comma after it. More says
// whether there was a comma, so that another one has to follow.
func (p *dnParser) relativeName() (normal string, more bool, err error) {
	var pairs []pair
	for {
		pair, err := p.attribute()
		if err != nil {
			return "", false, err
		}
		pairs = append(pairs, pair)
		if p.rest == "" {
			more = false
			break
		}
		separator := p.rest[0]
		p.rest = p.rest[1:]
		if separator != '+' {
			more = true
			break
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value))
	})
	var out strings.Builder
	for i, pair := range slices.Compact(pairs) {
		if i > 0 {
			out.WriteByte('+')
		}
		out.WriteString(pair.name)
		out.WriteByte('=')
		writeNormal(&out, pair.value)
	}
	return out.String(), more, nil
}

// pair is an attribute with its name and value in lower case.
type pair struct{ name, value string }

// attribute reads `type = value` and the spaces around it.
func (p *dnParser) attribute() (pair, error) {
	p.skipSpaces()
	end := strings.IndexAny(p.rest, " =,;")
	switch {
	case p.rest == "":
		return pair{}, errors.New("it ends with a separator")
	case end == 0:
		return pair{}, errors.New("an attribute has no type")
	case end < 0 || p.rest[end] == ',' || p.rest[end] == ';':
		return pair{}, fmt.Errorf("%q is not of the form type=value", p.rest)
	}
	name := strings.ToLower(p.rest[:end])
	if strings.ContainsFunc(name, notInType) {
		return pair{}, fmt.Errorf("%q is not an attribute type such as CN or OID.2.5.4.3", p.rest[:end])
	}
	p.rest = p.rest[end:]
	p.skipSpaces()
	if p.rest == "" || p.rest[0] != '=' {
		return pair{}, fmt.Errorf("no \"=\" after %q", name)
	}
	p.rest = p.rest[1:]
	p.skipSpaces()

	read := p.text
	if strings.HasPrefix(p.rest, "#") {
		read = p.hexadecimal
	}
	value, err := read()
	if err != nil {
		return pair{}, fmt.Errorf("the value of %q %w", name, err)
	}
	p.skipSpaces()
	return pair{name, foldCase(value)}, nil
}

// notInType reports whether an attribute type cannot have a character. UnboundID
// allows all of them. But Java prints no others, so a role mapping with one could
// never match.
func notInType(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_", r)
}

// text reads a value up to the separator after it.
func (p *dnParser) text() (string, error) {
	var value strings.Builder
	quoted := strings.HasPrefix(p.rest, `"`)
	if quoted {
		p.rest = p.rest[1:]
	}
	for p.rest != "" {
		c := p.rest[0]
		switch {
		case c == '\\':
			unescaped, err := p.escape()
			if err != nil {
				return "", err
			}
			value.WriteString(unescaped)
			continue
		case c == '"' && !quoted:
			return "", errors.New("has a double quote that is not at its start; write it as \\\"")
		case c == '"':
			p.rest = p.rest[1:]
			p.skipSpaces()
			if p.rest != "" && strings.IndexByte("+,;", p.rest[0]) < 0 {
				return "", errors.New("goes on after its closing double quote")
			}
			return value.String(), nil
		case !quoted && (c == ',' || c == ';' || c == '+'):
			return value.String(), nil
		}
		value.WriteByte(c)
		p.rest = p.rest[1:]
	}
	if quoted {
		return "", errors.New("has no closing double quote")
	}
	return value.String(), nil
}

// escape reads a backslash and the character after it, or several escaped bytes
// (`\C3\A9`), which are decoded together as UTF-8.
func (p *dnParser) escape() (string, error) {
	if len(p.rest) < 2 {
		return "", errors.New("ends with a backslash")
	}
	if !isHexDigit(p.rest[1]) {
		_, size := utf8.DecodeRuneInString(p.rest[1:])
		c := p.rest[1 : 1+size]
		p.rest = p.rest[1+size:]
		return c, nil
	}
	var run []byte
	for len(p.rest) >= 2 && p.rest[0] == '\\' && isHexDigit(p.rest[1]) {
		if len(p.rest) < 3 || !isHexDigit(p.rest[2]) {
			return "", errors.New("has half of an escaped byte")
		}
		b, _ := hex.DecodeString(p.rest[1:3])
		run = append(run, b...)
		p.rest = p.rest[3:]
	}
	return utf8Text(run), nil
}

// hexadecimal reads `#` and the DER of a value, and returns its content:
// `SERIALNUMBER=#1203313233` is `SERIALNUMBER=123`.
func (p *dnParser) hexadecimal() (string, error) {
	digits := p.rest[1:]
	if end := strings.IndexAny(digits, " +,;"); end >= 0 {
		digits = digits[:end]
	}
	der, err := hex.DecodeString(digits)
	if err != nil {
		return "", errors.New("starts with # but is not hexadecimal; write a literal # as \\#")
	}
	p.rest = p.rest[1+len(digits):]
	body, ok := berContent(der)
	if !ok {
		return "", errors.New("is hexadecimal but not the encoding of a value")
	}
	return utf8Text(body), nil
}

// berContent returns the content of a BER element. The tag has one byte, and the
// length is definite. The length can have more bytes than DER allows.
func berContent(ber []byte) ([]byte, bool) {
	s := cryptobyte.String(ber)
	var tag, first uint8
	if !s.ReadUint8(&tag) || !s.ReadUint8(&first) {
		return nil, false
	}
	length := uint64(first)
	if first >= 0x80 {
		length = 0
		var field []byte
		if !s.ReadBytes(&field, int(first&0x7f)) || len(field) > 4 {
			return nil, false
		}
		for _, b := range field {
			length = length<<8 | uint64(b)
		}
	}
	return s, length == uint64(len(s))
}

func isHexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// foldCase normalizes a value as UnboundID does for caseIgnoreMatch: it returns it in
// lower case, with one space for several, and without spaces at the ends. Only
// U+0020 is a space. A value that has only spaces becomes one space.
func foldCase(v string) string {
	folded := make([]rune, 0, len(v))
	for _, r := range v {
		if r == ' ' && (len(folded) == 0 || folded[len(folded)-1] == ' ') {
			continue
		}
		// These are upper case in Java. Letters in title case are not.
		if unicode.IsUpper(r) || unicode.Is(unicode.Other_Uppercase, r) {
			r = unicode.ToLower(r)
		}
		folded = append(folded, r)
	}
	text := strings.TrimSuffix(string(folded), " ")
	if text == "" && v != "" {
		return " "
	}
	return text
}

// writeNormal writes v with the escapes that make the normal form unambiguous.
func writeNormal(out *strings.Builder, v string) {
	for i := range len(v) {
		c := v[i]
		switch {
		case c < ' ' || c > '~':
			out.WriteByte('\\')
			out.WriteString(hex.EncodeToString([]byte{c}))
			continue
		case strings.IndexByte(`\="+,;<>`, c) >= 0,
			c == '#' && i == 0,
			c == ' ' && (i == 0 || i == len(v)-1):
			out.WriteByte('\\')
		}
		out.WriteByte(c)
	}
}
