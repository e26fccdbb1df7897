package x500

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"
)

// OpenSearch renders the name as OpenSearch's `clientcert` authenticator does. That
// is the name of the user if no `username_attribute` is set. OpenSearch parses the
// text of String as an LDAP name and prints that name: the order and the separators
// are those of RFC 2253, but attribute types have Java's names, and values are
// readable.
func (n Name) OpenSearch() string {
	sorted := make(Name, len(n))
	for i, rdn := range n {
		if sorted[i] = rdn; len(rdn) > 1 {
			sorted[i] = slices.Clone(rdn)
			slices.SortStableFunc(sorted[i], compareLDAP)
		}
	}
	var out strings.Builder
	sorted.join(&out, ",", "+", writeOpenSearch)
	return out.String()
}

func writeOpenSearch(out *strings.Builder, a Attribute) {
	out.WriteString(a.Type.javaName())
	out.WriteByte('=')
	if !a.readableInJava() {
		writeHex(out, a)
		return
	}
	writeEdges(out, a.ldapText(), func(inner string) {
		writeEscaped(out, inner, rfc2253Specials)
	})
}

// compareLDAP compares two attributes of a relative distinguished name, which
// OpenSearch sorts by type, then by value without regard to case. (Java compares the
// compatibility decomposition of the values. So the order may be another one if two
// values have the same type and are not ASCII.)
func compareLDAP(a, b Attribute) int {
	return cmp.Or(
		strings.Compare(a.Type.javaName(), b.Type.javaName()),
		strings.Compare(a.ldapSortKey(), b.ldapSortKey()))
}

// ldapText returns the value as Java's LdapName reads it from the text of String. It
// loses the blanks around it, or if String quotes it, only the last one.
func (a Attribute) ldapText() string {
	if !needsQuotes(a.Value) {
		return strings.Trim(a.Value, blanks)
	}
	v := unquoted(a.Value)
	if v != "" && strings.IndexByte(blanks, v[len(v)-1]) >= 0 {
		return v[:len(v)-1]
	}
	return v
}

func (a Attribute) ldapSortKey() string {
	if !a.readableInJava() {
		return "#" + hex.EncodeToString(a.Raw)
	}
	return strings.ToUpper(a.ldapText())
}
