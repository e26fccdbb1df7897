// Package pattern matches text against the patterns of Elasticsearch's
// security settings: wildcards ("svc-*", "user-?") and, between slashes,
// Lucene regular expressions ("/x[0-9]+/").
//
// Lucene's expressions are not Go's: they match the whole text and have
// complement (~), intersection (&), intervals (<1-31>), any string (@) and
// quoted text. They are matched by derivatives (Brzozowski 1964), which make
// complement and intersection as simple as union.
package pattern

import (
	"fmt"
	"strings"
)

// Pattern is a compiled pattern. It is safe for concurrent use.
type Pattern struct{ root node }

// IsPattern reports whether a role-mapping rule takes s as a pattern rather
// than as plain text.
func IsPattern(s string) bool {
	return strings.Contains(s, "*") || (len(s) > 1 && s[0] == '/' && s[len(s)-1] == '/')
}

// Compile reads one pattern.
func Compile(s string) (*Pattern, error) {
	if !strings.HasPrefix(s, "/") {
		return &Pattern{wildcard(s)}, nil
	}
	if len(s) == 1 || !strings.HasSuffix(s, "/") {
		return nil, fmt.Errorf("pattern %q starts a regular expression with / and must end with / as well", s)
	}
	root, err := parseRegexp(s[1 : len(s)-1])
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", s, err)
	}
	return &Pattern{root}, nil
}

// CompileAll reads a list of patterns into one that matches what any of them
// matches, and so nothing where the list is empty.
func CompileAll(patterns []string) (*Pattern, error) {
	union := none
	for _, s := range patterns {
		p, err := Compile(s)
		if err != nil {
			return nil, err
		}
		union = or(union, p.root)
	}
	return &Pattern{union}, nil
}

// Match reports whether the pattern matches the whole text.
func (p *Pattern) Match(text string) bool {
	n := p.root
	for _, r := range text {
		if n = n.derive(r); n == none {
			return false
		}
	}
	return n.nullable()
}

// wildcard reads * as any text, ? as any character and \ as an escape.
func wildcard(s string) node {
	n := empty
	rs := []rune(s)
	for i := 0; i < len(rs); i++ {
		switch c := rs[i]; {
		case c == '*':
			n = concat(n, anyString)
		case c == '?':
			n = concat(n, anyChar)
		case c == '\\' && i+1 < len(rs):
			i++
			n = concat(n, char(rs[i]))
		default:
			n = concat(n, char(c))
		}
	}
	return n
}
