// Package pattern compiles the regular expressions of Elasticsearch's PKI realm, which are those
// of java.util.regex.Pattern with CASE_INSENSITIVE, so that they find here what they find there.
//
// Go's expressions are like Java's, but not the same: Go's (?i) takes ſ for s and the Kelvin sign
// for k, which Java tells apart, [a&&b] is a class of three characters in Go and of none in Java,
// and so on. A pattern that would find another name here is worse than one that does not
// compile. So a pattern is read here as Java reads it, and written anew in a part of Go's syntax that
// leaves nothing to be understood in two ways. What the two would read differently, or what reads
// differently in Java's own releases, is an error that says what to write instead.
//
// Patterns are for names of one line: in a text with control characters, or with U+2028 or
// U+2029, what `.`, `^` and `$` find differs from Java. Callers refuse such names.
package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
)

// Compile compiles a pattern of a PKI realm. The first group of what it finds is the name, so it
// must have one.
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

// plain is an error of regexp/syntax without the text that it is about, which is not the one that
// somebody wrote.
func plain(err error) error {
	if e, ok := errors.AsType[*syntax.Error](err); ok {
		return errors.New(e.Code.String())
	}
	return err
}

// checkLoops refuses a repetition of what can be empty: after a round in which nothing was found, Java
// leaves the loop, and Go may not. It also refuses a repetition of the name's group, in which Java may
// have kept what it found on a way that led nowhere.
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

// hasName reports whether the first group is in an expression.
func hasName(re *syntax.Regexp) bool {
	return re.Op == syntax.OpCapture && re.Cap == 1 || slices.ContainsFunc(re.Sub, hasName)
}

// canBeEmpty reports whether an expression can find nothing and go on.
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
