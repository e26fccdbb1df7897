package x500

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"
)

// OpenSearch renders the name as OpenSearch's `clientcert` authenticator does,
// which reads Java's String form as an LDAP name and prints that: RFC 2253 in
// order and separators, but with Java's names for attribute types and readable
// values. It is the user name where no `username_attribute` is set.
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

// compareLDAP is the order of attributes in a multi-valued relative name: by
// type, then by value without regard to case. (Java compares a compatibility
// decomposition of the values, so two values of one type in one relative name
// may come in another order where they are not ASCII.)
func compareLDAP(a, b Attribute) int {
	return cmp.Or(
		strings.Compare(a.Type.javaName(), b.Type.javaName()),
		strings.Compare(a.ldapSortKey(), b.ldapSortKey()))
}

// ldapText is the value after Java's LdapName has read what String wrote: it
// loses the blanks around it where they are not quoted, and one at the end
// where they are.
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
