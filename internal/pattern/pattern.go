// Package pattern compiles the regular expressions of Elasticsearch's PKI realm. They are those of
// java.util.regex.Pattern with the flag CASE_INSENSITIVE, and match the same text here.
//
// Go's expressions are similar to Java's, but not the same. For example:
//
//	(?i)s     matches ſ in Go, but not in Java
//	[a&&b]    matches a, & and b in Go, and nothing in Java
//
// A pattern that matches another name than in Java would be worse than one that does not compile. So
// this package parses a pattern as Java does, and translates it to a part of Go's syntax that has only one
// meaning. If a part of a pattern cannot be translated, or has another meaning in other releases of Java,
// the error says what to write instead.
//
// Patterns are for names of one line. In a text with control characters, or with U+2028 or U+2029, `.`,
// `^` and `$` match differently than in Java. Callers refuse such names.
package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
)

// Compile compiles a pattern of a PKI realm. The text of its first group is the name, so it must have a
// group.
func Compile(source string) (*regexp.Regexp, error) {
	translated, err := translate(source)
	if err != nil {
		return nil, err
	}
	parsed, err := syntax.Parse(translated, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("%q is no regular expression: %w", source, plain(err))
	}
	if err := checkLoops(parsed); err != nil {
		return nil, fmt.Errorf("%q: %w", source, err)
	}
	compiled, err := regexp.Compile(translated)
	if err != nil {
		return nil, fmt.Errorf("%q is no regular expression: %w", source, plain(err))
	}
	if compiled.NumSubexp() < 1 {
		return nil, fmt.Errorf("%q has no group: put what is the name in parentheses, as in CN=(.*?)(?:,|$)", source)
	}
	return compiled, nil
}

// plain returns an error of regexp/syntax without the expression, which is the translated one.
func plain(err error) error {
	if e, ok := errors.AsType[*syntax.Error](err); ok {
		return errors.New(e.Code.String())
	}
	return err
}

// checkLoops refuses two kinds of repetition in which Java and Go differ:
//
//   - of an expression that can match the empty text, as in (a*)*: after an empty round, Java ends the
//     repetition, and Go may not;
//   - of the first group, as in (a)*: Java may return text of a round that it has given up.
func checkLoops(re *syntax.Regexp) error {
	switch re.Op {
	case syntax.OpStar, syntax.OpPlus, syntax.OpRepeat, syntax.OpQuest:
		if canBeEmpty(re.Sub[0]) {
			return errors.New("it repeats what can be empty, as in (a*)*: " +
				"write it so that each round finds a character")
		}
		if re.Op != syntax.OpQuest && hasName(re.Sub[0]) {
			return errors.New("it repeats its first group, which is the name, as in (a)*: " +
				"write the repetition into the group, as in (a*)")
		}
	default:
	}
	for _, sub := range re.Sub {
		if err := checkLoops(sub); err != nil {
			return err
		}
	}
	return nil
}

// hasName reports whether an expression contains the first group, which is the name.
func hasName(re *syntax.Regexp) bool {
	return re.Op == syntax.OpCapture && re.Cap == 1 || slices.ContainsFunc(re.Sub, hasName)
}

// canBeEmpty reports whether an expression can match the empty text.
func canBeEmpty(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpNoMatch:
		return false
	case syntax.OpRepeat:
		return re.Min == 0 || canBeEmpty(re.Sub[0])
	case syntax.OpPlus, syntax.OpCapture:
		return canBeEmpty(re.Sub[0])
	case syntax.OpConcat:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !canBeEmpty(sub) })
	case syntax.OpAlternate:
		return slices.ContainsFunc(re.Sub, canBeEmpty)
	default: // an anchor, a star, a question mark, nothing
		return true
	}
}
