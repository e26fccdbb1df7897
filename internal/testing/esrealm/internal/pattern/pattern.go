// Package pattern matches text against the patterns of Elasticsearch's security
// settings: wildcards ("svc-*", "user-?") and, between slashes, Lucene's regular
// expressions ("/x[0-9]+/").
//
// Of Lucene's syntax, it knows what is also Go's, and the complement after plain
// text: "/nine~(-9.*)/" matches all that begins with "nine" but not with "nine-9".
package pattern

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Pattern is a compiled pattern. It is safe for concurrent use.
type Pattern struct {
	match  *regexp.Regexp
	except *regexp.Regexp // does not match this, if there is a complement
}

// IsPattern reports whether s is a pattern in a role-mapping rule. Otherwise it is
// plain text.
func IsPattern(s string) bool {
	return strings.Contains(s, "*") || (len(s) > 1 && s[0] == '/' && s[len(s)-1] == '/')
}

// Compile reads one pattern.
func Compile(s string) (*Pattern, error) {
	if !strings.HasPrefix(s, "/") {
		match, err := wildcard(s)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", s, err)
		}
		return &Pattern{match: match}, nil
	}
	if len(s) == 1 || !strings.HasSuffix(s, "/") {
		return nil, fmt.Errorf("pattern %q starts a regular expression with / and must end with / as well", s)
	}
	expr, complement, hasComplement := strings.Cut(s[1:len(s)-1], "~")
	if strings.ContainsAny(expr+complement, `~&<>"@#`) || (hasComplement && regexp.QuoteMeta(expr) != expr) {
		return nil, fmt.Errorf("pattern %q has an operator of Lucene that is not known here", s)
	}
	var p Pattern
	var err error
	if hasComplement {
		if p.except, err = whole(expr + complement); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", s, err)
		}
		expr += ".*"
	}
	if p.match, err = whole(expr); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", s, err)
	}
	return &p, nil
}

// whole compiles an expression that matches the whole text.
func whole(expr string) (*regexp.Regexp, error) { return regexp.Compile(`(?s)\A(?:` + expr + `)\z`) }

// Match reports whether the pattern matches the whole text.
func (p *Pattern) Match(text string) bool {
	return p.match.MatchString(text) && (p.except == nil || !p.except.MatchString(text))
}

// wildcard compiles a text in which * is any text, ? is any character and \ is an
// escape.
func wildcard(s string) (*regexp.Regexp, error) {
	expr := wildcardPart.ReplaceAllStringFunc(s, func(part string) string {
		switch {
		case part == "*":
			return ".*"
		case part == "?":
			return "."
		case len(part) > 1 && part[0] == '\\':
			part = part[1:]
		}
		return regexp.QuoteMeta(part)
	})
	return regexp.Compile(`(?s)\A` + expr + `\z`)
}

var wildcardPart = regexp.MustCompile(`(?s)\\.|.`)

// List is a list of patterns, which matches what any of them matches.
type List []*Pattern

// CompileAll reads a list of patterns.
func CompileAll(patterns []string) (List, error) {
	list := make(List, len(patterns))
	for i, s := range patterns {
		var err error
		if list[i], err = Compile(s); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Match reports whether any pattern matches the whole text.
func (l List) Match(text string) bool {
	return slices.ContainsFunc(l, func(p *Pattern) bool { return p.Match(text) })
}
