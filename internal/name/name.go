// Package name says which texts can be a name: of a user, of a group, or of something else that
// a certificate says about its holder.
//
// A name is compared, shown to people, and put into other texts, such as a pattern of indices or
// a query. In each of these a character that nobody's name needs can make it somebody else's: an
// invisible one makes two names look alike, and a quote or an asterisk ends what the name stands
// in, or stands for every other name.
package name

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind is what a name is used for.
type Kind int

// The kinds of names.
const (
	// Plain is a user's name, or another value.
	Plain Kind = iota
	// Group is compared by Elasticsearch without regard to case.
	Group
	// DN is a whole distinguished name, which quotes what its values have in them. Elasticsearch
	// compares it without regard to case, too.
	DN
	// Header is the value of a header, in which a comma ends a value (RFC 9110 section 5.6.1).
	Header
)

// Error is why a text cannot be a name. Its text has the character, which the holder of the
// certificate chose, by its number alone.
type Error struct {
	// Problem goes on from "the name". It has nothing of the name in it.
	Problem string

	char rune // 0: none
}

func (e *Error) Error() string {
	if e.char == 0 {
		return "the name " + e.Problem
	}
	return fmt.Sprintf("the name %s: %U", e.Problem, e.char)
}

// What is wrong with a name.
const (
	Empty     = "is empty"
	NotUTF8   = "is not UTF-8"
	Control   = "has a control character, or another end of a line"
	Blank     = "begins or ends with a blank"
	Invisible = "has a character that cannot be seen"
	Folded    = "has a letter that Elasticsearch takes for another one"
	Special   = "has a character that has a meaning where names are put into other texts"
	Comma     = "has a comma, which ends a value in a header"
)

// Clean reports whether a text can be a name at all: not empty, UTF-8, and without control
// characters or other ends of a line.
func Clean(s string) error {
	switch {
	case s == "":
		return &Error{Problem: Empty}
	case !utf8.ValidString(s):
		return &Error{Problem: NotUTF8}
	}
	if r, found := first(s, isControl); found {
		return &Error{Control, r}
	}
	return nil
}

// Safe reports whether a text is a name that cannot be mistaken for another one, neither by
// people, nor by Elasticsearch and OpenSearch, nor where it is put into another text.
func Safe(s string, kind Kind) error {
	if err := Clean(s); err != nil {
		return err
	}
	// A DN quotes the blanks of its values.
	if trimmed := strings.Trim(s, " "); trimmed == "" || trimmed != s && kind != DN {
		return &Error{Problem: Blank}
	}
	if r, found := first(s, isInvisible); found {
		return &Error{Invisible, r}
	}
	if kind == Group || kind == DN {
		if err := Unfolded(s); err != nil {
			return err
		}
	}
	special := specials
	if kind == DN {
		special = specialsOfDN
	}
	if r, found := first(s, func(r rune) bool { return strings.ContainsRune(special, r) }); found {
		return &Error{Special, r}
	}
	if strings.HasPrefix(s, "/") && kind != DN {
		return &Error{Special, '/'} // /.+/ is a regular expression where OpenSearch expects an index
	}
	if kind == Header && strings.Contains(s, ",") {
		return &Error{Comma, ','}
	}
	return nil
}

// Unfolded reports whether a text has none of the letters that Elasticsearch takes for one of ASCII where it
// compares without regard to case: groups and distinguished names.
func Unfolded(s string) error {
	if r, found := first(s, isFolded); found {
		return &Error{Folded, r}
	}
	return nil
}

// specials are the characters that no name needs, and that end or begin something where names are
// put into: patterns of indices (* ? < >), JSON (" \), templates of OpenSearch and Elasticsearch ($ { }), queries and
// expressions (| ^ " \), shells and scripts ($ ` | < >).
const specials = specialsOfDN + `"\<>`

// specialsOfDN are those of them that no rendering of a distinguished name adds or quotes.
const specialsOfDN = "*?${}|^`"

func isControl(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }

// isInvisible reports whether a character cannot be seen, or only by what it does to others, or stands for
// what could not be read. Of the blanks, U+0020 is the one that can be typed and seen.
func isInvisible(r rune) bool {
	return r != ' ' && unicode.In(r, unicode.C, unicode.Z,
		unicode.Noncharacter_Code_Point, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		r == '\u2800' || // braille without a dot
		r == unicode.ReplacementChar
}

// isFolded reports whether a letter equals one of ASCII where Elasticsearch compares without regard to case, which
// is how Java's String.equalsIgnoreCase does: İ and ı are i, ſ is s, and the Kelvin sign is k.
func isFolded(r rune) bool {
	switch r {
	case '\u0130', '\u0131', '\u017f', '\u212a':
		return true
	}
	return false
}

func first(s string, is func(rune) bool) (rune, bool) {
	for _, r := range s {
		if is(r) {
			return r, true
		}
	}
	return 0, false
}

// ProblemOf is the problem of an error of this package, in words that have nothing of the name in
// them, or "".
func ProblemOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Problem
	}
	return ""
}
