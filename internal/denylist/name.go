package denylist

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// nameKey is the normal form of a distinguished name. Two names are the same here
// if their keys are equal. That is more lenient than x500.Normalize in three ways, so
// that a name in the file matches however it was written:
//
//   - An attribute type can be written as Java, OpenSSL, LDAP or Windows write it,
//     or as a number.
//   - The name can be written in either direction: `openssl x509 -subject` prints
//     C=DE,O=Acme,CN=alice where RFC 2253 has CN=alice,O=Acme,C=DE.
//   - A letter can be one character or several: o-umlaut is U+00F6, or an o and
//     U+0308. They look the same (RFC 4518 section 2.3).
type nameKey string

// textKey returns the key of a name in the file.
func textKey(dn string) (nameKey, error) {
	if err := refuseComment(dn); err != nil {
		return "", err
	}
	// It would match only a certificate with a * in its name.
	if x500.HasWildcard(dn) {
		return "", errors.New("there are no wildcards, a name is the whole name of a certificate; " +
			`if the * is part of it, write \2A`)
	}
	if err := x500.CheckEscapes(dn); err != nil {
		return "", err
	}
	normal, err := x500.Normalize(dn)
	if err != nil {
		return "", err
	}
	if normal == "" {
		return "", errors.New("the name is empty")
	}
	return makeKey(normal)
}

// certKeys returns the keys of a name in a certificate: of the text that Java
// prints, and of the one in RFC 2253. The file may have either. Mostly both have the
// same key. But Java does not escape double quotes around a value, and RFC 2253 has
// the values of all but nine attribute types in hexadecimal.
func certKeys(der []byte) ([]nameKey, error) {
	name, err := x500.Parse(der)
	if err != nil {
		return nil, err
	}
	keys := make([]nameKey, 0, 2)
	for _, text := range []string{name.RFC2253(), name.String()} {
		normal, err := x500.Normalize(text)
		if err != nil {
			return nil, err
		}
		key, err := makeKey(normal)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return slices.Compact(keys), nil
}

// makeKey returns the key of a name that x500.Normalize has normalized.
func makeKey(normal string) (nameKey, error) {
	if normal == "" { // a certificate with alternative names alone
		return "", nil
	}
	rdns := splitUnescaped(normal, ',')
	for i, rdn := range rdns {
		pairs := splitUnescaped(rdn, '+')
		for j, pair := range pairs {
			name, value, _ := strings.Cut(pair, "=")
			oid, err := oidOf(name)
			if err != nil {
				return "", err
			}
			if value, err = composed(value); err != nil {
				return "", err
			}
			pairs[j] = oid + "=" + value
		}
		slices.Sort(pairs)
		rdns[i] = strings.Join(slices.Compact(pairs), "+")
	}
	forward := strings.Join(rdns, ",")
	slices.Reverse(rdns)
	return nameKey(min(forward, strings.Join(rdns, ","))), nil
}

// composed returns the normal form of a value with the Unicode normalization NFKC.
//
//	jo\cc\88rg    is an o and U+0308, and becomes j\c3\b6rg
func composed(normal string) (string, error) {
	if !strings.Contains(normal, `\`) { // it is ASCII
		return normal, nil
	}
	var out strings.Builder
	out.WriteString("x=")
	for _, b := range norm.NFKC.AppendString(nil, unescaped(normal)) {
		out.WriteByte('\\')
		out.WriteString(hex.EncodeToString([]byte{b}))
	}
	again, err := x500.Normalize(out.String())
	return strings.TrimPrefix(again, "x="), err
}

// unescaped returns the value that a normal form is of.
func unescaped(normal string) string {
	var out strings.Builder
	for i := 0; i < len(normal); i++ {
		c := normal[i]
		if c == '\\' && i+1 < len(normal) {
			i++
			c = normal[i]
			if b, err := hex.DecodeString(normal[i:min(i+2, len(normal))]); err == nil {
				i++
				c = b[0]
			}
		}
		out.WriteByte(c)
	}
	return out.String()
}

// splitUnescaped splits a normal form at the separators that have no backslash
// before them. A normal form has no quotes.
func splitUnescaped(s string, separator byte) []string {
	var parts []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case separator:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// refuseComment refuses a name that a comment seems to follow. The comment would be
// part of the last value, and the name would match no certificate:
//
//	subject CN=alice,O=Acme  # left in May
func refuseComment(dn string) error {
	quoted := false
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case '#':
			before := strings.TrimRight(dn[:i], " \t")
			if !quoted && len(before) < i && !strings.HasSuffix(before, "=") {
				return errors.New(`a comment has a line of its own; if the # is part of the name, write \#`)
			}
		}
	}
	return nil
}

// oidOf returns the number of an attribute type, which is written in lower case.
func oidOf(name string) (string, error) {
	if oid, ok := types[name]; ok {
		return string(oid), nil
	}
	number := strings.TrimPrefix(name, "oid.")
	switch {
	case number == uniqueIdentifier:
		return string(x500.UserID), nil
	case isOID(number):
		return number, nil
	default:
		return "", fmt.Errorf("the attribute type %s is unknown: "+
			"write its number, such as 2.5.4.3", excerpt(strings.ToUpper(name)))
	}
}

// isOID reports whether s is a number such as 2.5.4.3, without needless zeros: keys
// are compared as text.
func isOID(s string) bool {
	arcs := strings.Split(s, ".")
	for _, arc := range arcs {
		if arc == "" || len(arc) > 1 && arc[0] == '0' || strings.Trim(arc, "0123456789") != "" {
			return false
		}
	}
	return len(arcs) > 1
}
