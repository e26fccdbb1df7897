package x500

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// String renders the name as Java's X500Principal.toString() does. This is the
// `pki_dn` of Elasticsearch's PKI realm, the text that its `username_pattern`
// searches and that role mappings compare.
//
// Several texts of this form can be read in more than one way, on purpose or
// not: a comma in an organisation looks like the start of the next attribute
// to a pattern, and a value that is itself in double quotes is printed as it
// is. Take a name from Values instead where nothing demands the text.
func (n Name) String() string {
	var out strings.Builder
	n.join(&out, ", ", " + ", writeJava)
	return out.String()
}

// RFC2253 renders the name as Java's X500Principal.getName(RFC2253) does.
// Only the nine attribute types that the RFC names are readable: the others,
// e-mail addresses among them, are a number and hexadecimal DER. Java 17 takes
// the bytes of every string type for UTF-8 here, which garbles BMPStrings and
// Latin-1; this is how later releases read them, but for bytes that the type
// does not allow, which are U+FFFD as in String.
func (n Name) RFC2253() string {
	var out strings.Builder
	n.join(&out, ",", "+", writeRFC2253)
	return out.String()
}

// join writes the relative names from the last to the first.
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

// unquoted drops the double quotes around a value, where Java takes it for one
// that is quoted already.
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

// rfc2253Specials are the characters that Java precedes with a backslash.
const rfc2253Specials = ",=+<>#;\"\\"

// blanks are what Java takes for spaces around a value.
const blanks = " \r"

// writeEdges puts a backslash before each blank at either end of v and leaves
// what is between to inner.
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

// readableInJava is false for the values that Java prints as hexadecimal.
// NumericString is a string to us but not to Java.
func (a Attribute) readableInJava() bool {
	return !errors.Is(a.err, ErrNotString) && a.tag() != numericString
}

// readableInRFC2253 also excludes UniversalString.
func (a Attribute) readableInRFC2253() bool {
	return a.readableInJava() && a.tag() != universalString
}
