package pattern

import (
	"errors"
	"fmt"
	"strings"
)

// class translates a class, after its opening bracket. It refuses what Java and Go read differently: a
// class in a class, &&, and hyphens and brackets that are not clearly literal.
func (t *translator) class() error {
	var set strings.Builder
	not := t.skip("^")
	for first := true; ; first = false {
		switch {
		case t.rest == "":
			return errors.New("a class is not closed: write ], or \\[ for a bracket")
		case t.skip("]"):
			if first {
				return errors.New("a class begins with ]: write \\] for a bracket")
			}
			t.atom(map[bool]string{false: "[", true: "[^"}[not] + set.String() + "]")
			return nil
		case strings.HasPrefix(t.rest, "&&"):
			return errors.New("an intersection of classes (&&) is not supported: " +
				"write one class, or \\& for the character")
		case strings.HasPrefix(t.rest, "["):
			return errors.New("a class in a class is not supported: write one class, or \\[ for a bracket")
		case strings.HasPrefix(t.rest, `\`) && len(t.rest) > 1:
			ahead := translator{rest: t.rest[1:]}
			if predefined, ok := ahead.predefined(); ok {
				t.rest = ahead.rest
				set.WriteString(predefined)
				continue
			}
		}
		from, err := t.member(first)
		if err != nil {
			return err
		}
		to := from
		if strings.HasPrefix(t.rest, "-") && !strings.HasPrefix(t.rest, "-]") {
			t.skip("-")
			if to, err = t.member(false); err != nil {
				return err
			}
			if to < from {
				return fmt.Errorf("the range %c-%c is empty: write it the other way round", from, to)
			}
		}
		t.span(&set, from, to)
	}
}

// member reads one character of a class.
func (t *translator) member(first bool) (rune, error) {
	switch {
	case t.rest == "":
		return 0, errors.New("a class is not closed: write ], or \\[ for a bracket")
	case strings.HasPrefix(t.rest, "[") || strings.HasPrefix(t.rest, "]"):
		return 0, errors.New("a range ends with a bracket: write \\[ or \\]")
	case strings.HasPrefix(t.rest, "-") && !first && !strings.HasPrefix(t.rest, "-]"):
		return 0, errors.New("a - is neither at an end of its class nor between two characters: " +
			"write \\- for the character")
	case t.skip(`\`):
		if t.rest == "" {
			return 0, errors.New("it ends with a backslash: write \\\\ for the character")
		}
		return t.escaped()
	}
	return t.take(), nil
}

// span writes the range from one character to another. Without regard to case, it also writes the other
// case of the letters of ASCII in the range.
func (t *translator) span(set *strings.Builder, from, to rune) {
	write := func(from, to rune) {
		if from <= to {
			fmt.Fprintf(set, `\x{%x}-\x{%x}`, from, to)
		}
	}
	write(from, to)
	if t.fold {
		const toLower = 'a' - 'A'
		write(max(from, 'A')+toLower, min(to, 'Z')+toLower)
		write(max(from, 'a')-toLower, min(to, 'z')-toLower)
	}
}
