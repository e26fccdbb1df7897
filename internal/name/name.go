// Package name checks whether a text from a certificate is safe to use as a name: of a user, of a group,
// or of something else.
//
// A name is compared, shown to people, and put into other texts, such as a pattern of indices or a query.
// There, some characters can make it the name of somebody else:
//
//   - an invisible character makes two names look alike;
//   - a quote can end the string that has the name in it;
//   - an asterisk matches every other name.
//
// Nobody's name needs them, so they are refused.
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
	// Plain is for the name of a user, and for any other value.
	Plain Kind = iota
	// Group is for a group. Elasticsearch compares groups without regard to case.
	Group
	// DN is for a whole distinguished name, which has special characters of its values in quotes.
	// Elasticsearch compares it without regard to case.
	DN
	// Header is for the value of a header, in which a comma ends a value (RFC 9110 section 5.6.1).
	Header
)

// Error says why a text cannot be a name. It shows nothing of the name but the number of a character,
// since the holder of the certificate may have chosen the name.
type Error struct {
	// Problem is one of the constants, and follows "the name ".
	Problem string

	char rune // 0: none
}

func (e *Error) Error() string {
	if e.char == 0 {
		return "the name " + e.Problem
	}
	return fmt.Sprintf("the name %s: %U", e.Problem, e.char)
}

// The problems of names.
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

// Clean returns an error if a text is empty, is not UTF-8, or has control characters or other ends of a
// line.
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

// Safe returns an error if a text is not Clean, or if people, Elasticsearch or OpenSearch could mistake
// it for another name, alone or as a part of another text.
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

// Unfolded returns an error if a text has a letter that Elasticsearch takes for one of ASCII where it
// compares without regard to case, as it does with groups and distinguished names.
func Unfolded(s string) error {
	if r, found := first(s, isFolded); found {
		return &Error{Folded, r}
	}
	return nil
}

// specials are characters that no name needs, and that have a meaning in the texts that names are put
// into: in patterns of indices (* ? < >), in JSON (" \), in templates of OpenSearch and Elasticsearch
// ($ { }), in queries and expressions (| ^ " \), and in shells and scripts ($ ` | < >).
const specials = specialsOfDN + `"\<>`

// specialsOfDN are those that a distinguished name must not have either. The others are in it where it
// quotes a value.
const specialsOfDN = "*?${}|^`"

func isControl(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }

// isInvisible reports whether a character cannot be seen or only changes another one, or stands for
// something that could not be decoded. That includes all blanks but U+0020.
func isInvisible(r rune) bool {
	return r != ' ' && unicode.In(r, unicode.C, unicode.Z,
		unicode.Noncharacter_Code_Point, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		r == '\u2800' || // braille without a dot
		r == unicode.ReplacementChar
}

// isFolded reports whether a letter equals one of ASCII for Java's String.equalsIgnoreCase, and so where
// Elasticsearch compares without regard to case: İ and ı equal i, ſ equals s, and the Kelvin sign
// equals k.
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

// ProblemOf returns the Problem of an Error, or "" for any other error.
func ProblemOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Problem
	}
	return ""
}
