package x500

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// String renders the name as Java's X500Principal.toString() does. Elasticsearch's
// PKI realm has this text as `pki_dn`, searches it with `username_pattern`, and
// compares it with role mappings.
//
// The text can be ambiguous. To a pattern, a comma in an organisation looks like the
// start of the next attribute, and double quotes around a value are not escaped. So
// take names from Values or Last where the text is not required.
func (n Name) String() string {
	var out strings.Builder
	n.join(&out, ", ", " + ", writeJava)
	return out.String()
}

// RFC2253 renders the name as Java's X500Principal.getName(RFC2253) does. Only the
// nine attribute types of the RFC are readable. The others, such as e-mail
// addresses, have a number for a name and hexadecimal DER for a value.
//
// Values are decoded as in releases after Java 17, which reads each string type as
// UTF-8 here and so garbles BMPStrings and Latin-1. Bytes that the string type does
// not allow are U+FFFD, as in String.
func (n Name) RFC2253() string {
	var out strings.Builder
	n.join(&out, ",", "+", writeRFC2253)
	return out.String()
}

// join writes the relative distinguished names from the last to the first.
func (n Name) join(out *strings.Builder, comma, plus string, write func(*strings.Builder, Attribute)) {
	for i, rdn := range slices.Backward(n) {
		for j, a := range rdn {
			if j > 0 {
				out.WriteString(plus)
			}
			write(out, a)
		}
		if i > 0 {
			out.WriteString(comma)
		}
	}
}

func writeJava(out *strings.Builder, a Attribute) {
	out.WriteString(a.Type.javaName())
	out.WriteByte('=')
	if !a.readableInJava() {
		writeHex(out, a)
		return
	}
	if !needsQuotes(a.Value) {
		out.WriteString(a.Value)
		return
	}
	out.WriteByte('"')
	writeEscaped(out, unquoted(a.Value), `"\`)
	out.WriteByte('"')
}

// unquoted removes double quotes around a value: Java takes the value for one that
// is quoted already.
func unquoted(v string) string {
	if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
		return v[1 : len(v)-1]
	}
	return v
}

func needsQuotes(v string) bool {
	return strings.ContainsAny(v, ",+=\n<>#;\\\"") ||
		strings.HasPrefix(v, " ") || strings.HasSuffix(v, " ") || strings.Contains(v, "  ")
}

func writeRFC2253(out *strings.Builder, a Attribute) {
	k := keywords[a.Type]
	if !k.rfc2253 {
		out.WriteString(string(a.Type))
		out.WriteByte('=')
		writeHex(out, a)
		return
	}
	out.WriteString(k.name)
	out.WriteByte('=')
	if !a.readableInRFC2253() {
		writeHex(out, a)
		return
	}
	writeEdges(out, a.Value, func(inner string) {
		for i := range len(inner) {
			if inner[i] == 0 {
				out.WriteString(`\00`)
				continue
			}
			writeEscaped(out, inner[i:i+1], rfc2253Specials)
		}
	})
}

// rfc2253Specials are the characters before which Java writes a backslash.
const rfc2253Specials = ",=+<>#;\"\\"

// blanks are the characters that Java takes for spaces around a value.
const blanks = " \r"

// writeEdges writes v with a backslash before each blank at both ends. It calls
// inner to write the text between them.
func writeEdges(out *strings.Builder, v string, inner func(string)) {
	rest := strings.TrimLeft(v, blanks)
	body := strings.TrimRight(rest, blanks)
	writeEscaped(out, v[:len(v)-len(rest)], blanks)
	inner(body)
	writeEscaped(out, rest[len(body):], blanks)
}

// writeEscaped writes v with a backslash before each byte of specials.
func writeEscaped(out *strings.Builder, v, specials string) {
	for i := range len(v) {
		if strings.IndexByte(specials, v[i]) >= 0 {
			out.WriteByte('\\')
		}
		out.WriteByte(v[i])
	}
}

func writeHex(out *strings.Builder, a Attribute) {
	out.WriteByte('#')
	out.WriteString(hex.EncodeToString(a.Raw))
}

func (a Attribute) tag() cbasn1.Tag { return cbasn1.Tag(a.Raw[0]) }

// readableInJava reports whether Java prints the value as text, not in hexadecimal.
// To Java, a NumericString is not text.
func (a Attribute) readableInJava() bool {
	return !errors.Is(a.err, ErrNotString) && a.tag() != numericString
}

// readableInRFC2253 reports whether Java prints the value as text in RFC 2253, where
// a UniversalString is not text either.
func (a Attribute) readableInRFC2253() bool {
	return a.readableInJava() && a.tag() != universalString
}
