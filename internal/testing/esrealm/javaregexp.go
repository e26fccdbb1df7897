package esrealm

import (
	"regexp"
	"regexp/syntax"
)

// compileJava compiles a regular expression of java.util.regex, as far as Go
// has it too, with Java's meaning of two signs: the dot matches no line end of
// any kind, and the dollar sign also matches before a line end that ends the
// text.
func compileJava(expr string) (*regexp.Regexp, error) {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	dot, err := syntax.Parse(`[^\n\r\x{85}\x{2028}\x{2029}]`, syntax.Perl)
	if err != nil {
		return nil, err
	}
	// Nothing but the end can follow a dollar sign, so it need not look ahead.
	dollar, err := syntax.Parse(`(?:(?:\r\n|[\n\r\x{85}\x{2028}\x{2029}])?\z)`, syntax.Perl)
	if err != nil {
		return nil, err
	}
	replace(tree, func(re *syntax.Regexp) *syntax.Regexp {
		switch {
		case re.Op == syntax.OpAnyCharNotNL:
			return dot
		case re.Op == syntax.OpEndText && re.Flags&syntax.WasDollar != 0:
			return dollar
		}
		return re
	})
	return regexp.Compile(tree.String())
}

// replace replaces parts of an expression in place.
func replace(re *syntax.Regexp, with func(*syntax.Regexp) *syntax.Regexp) {
	if other := with(re); other != re {
		*re = *other
		return
	}
	for _, sub := range re.Sub {
		replace(sub, with)
	}
}
