package denylist

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// nameKey is equal for two distinguished names that this package takes for the
// same one. It is x500.Normalize with two liberties, because a name in the file
// that looks right and matches nothing would let its client in:
//
//   - An attribute type may be written as Java, OpenSSL, LDAP or Windows write
//     it, or as a number.
//   - The name may be written in either direction: `openssl x509 -subject`
//     prints C=DE,O=Acme,CN=alice where RFC 2253 has CN=alice,O=Acme,C=DE.
type nameKey string

// textKey is the key of a name in the file.
func textKey(dn string) (nameKey, error) {
	if err := refuseComment(dn); err != nil {
		return "", err
	}
	if err := refuseWildcard(dn); err != nil {
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

// certKeys are the keys of a name in a certificate: of both texts that its user
// may have copied. They are mostly the same. Java's form prints a value in
// double quotes as if the quotes were its own, and RFC 2253 prints as
// hexadecimal what is not one of nine attribute types.
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

// makeKey makes the key of a name in the form of x500.Normalize.
func makeKey(normal string) (nameKey, error) {
	if normal == "" { // a certificate that has its names elsewhere
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
			pairs[j] = oid + "=" + value
		}
		slices.Sort(pairs)
		rdns[i] = strings.Join(slices.Compact(pairs), "+")
	}
	forward := strings.Join(rdns, ",")
	slices.Reverse(rdns)
	return nameKey(min(forward, strings.Join(rdns, ","))), nil
}

// splitUnescaped splits at the separators that have no backslash before them,
// which is enough for a normal form: it has no quotes.
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

// refuseComment refuses a name with something like a comment behind it, which
// would be part of the last value and so part of no certificate's name.
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

// oidOf is the attribute type that a name in lower case stands for.
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

// isOID demands the only way to write a number, because keys are compared as
// text.
func isOID(s string) bool {
	arcs := strings.Split(s, ".")
	for _, arc := range arcs {
		if arc == "" || len(arc) > 1 && arc[0] == '0' || strings.Trim(arc, "0123456789") != "" {
			return false
		}
	}
	return len(arcs) > 1
}

// refuseWildcard refuses a name with what its writer may take for a wildcard, as it is in the role
// mappings of Elasticsearch: the line would match a certificate with this very name, and nobody else.
// The name of a host can begin with one (RFC 6125 section 6.4.3), and is the certificate's own name.
func refuseWildcard(dn string) error {
	for i := 0; i < len(dn); i++ {
		switch {
		case dn[i] == '\\':
			i++
		case dn[i] == '*' && !isHostWildcard(dn[:i], dn[i+1:]):
			return errors.New("there are no wildcards, a name is the whole name of a certificate; " +
				`if the * is part of it, write \2A`)
		}
	}
	return nil
}

// isHostWildcard reports whether a * is the first label of the name of a host, as in CN=*.example.com.
func isHostWildcard(before, after string) bool {
	before = strings.TrimRight(before, " \t\"")
	return strings.HasSuffix(before, "=") && len(after) > 1 && after[0] == '.' && after[1] != '*'
}
