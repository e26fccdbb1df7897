// Package dn normalises text that may be a distinguished name, as the LDAP
// library inside Elasticsearch does when a role-mapping rule is compared with
// a group or a DN.
package dn

import (
	"slices"
	"strings"
)

// Normalize returns the normalised form of a distinguished name, and false
// where the text is none. Attribute names and values are lower-cased, white
// space is collapsed, multi-valued RDNs are sorted and special characters are
// escaped with a backslash.
func Normalize(s string) (string, bool) {
	rdns, err := parse(s)
	if err != nil {
		return "", false
	}
	var b strings.Builder
	for i, r := range rdns {
		if i > 0 {
			b.WriteByte(',')
		}
		slices.SortFunc(r, func(x, y attribute) int { return strings.Compare(x.String(), y.String()) })
		for j, a := range slices.Compact(r) {
			if j > 0 {
				b.WriteByte('+')
			}
			b.WriteString(a.String())
		}
	}
	return b.String(), true
}

// attribute is one normalised name and value.
type attribute struct{ name, value string }

func newAttribute(name, value string) attribute {
	return attribute{strings.ToLower(name), ignoreCase(value)}
}

func (a attribute) String() string {
	var b strings.Builder
	b.WriteString(a.name)
	b.WriteByte('=')
	for i := range len(a.value) {
		switch c := a.value[i]; {
		case strings.IndexByte(`\="+,;<>`, c) >= 0,
			c == '#' && i == 0,
			c == ' ' && (i == 0 || i == len(a.value)-1):
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			const digits = "0123456789abcdef"
			b.WriteByte('\\')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// ignoreCase is the caseIgnoreMatch rule (RFC 4517 section 4.2.11): lower case,
// no outer spaces, and one space for several.
func ignoreCase(value string) string {
	value = strings.ToLower(strings.Trim(value, " "))
	var b strings.Builder
	for i := range len(value) {
		if value[i] != ' ' || value[i-1] != ' ' {
			b.WriteByte(value[i])
		}
	}
	return b.String()
}
