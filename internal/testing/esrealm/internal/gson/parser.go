package gson

import (
	"errors"
	"fmt"
)

// errEnd reports the end of the document where that may be legitimate.
var errEnd = errors.New("unexpected end of the document")

type parser struct {
	in   []rune
	pos  int
	mode Mode
}

func (p *parser) errorf(format string, args ...any) error {
	return fmt.Errorf("%s at offset %d", fmt.Sprintf(format, args...), p.pos)
}

// lenient is an error in strict mode.
func (p *parser) lenient(what string) error {
	if p.mode == Lenient {
		return nil
	}
	return p.errorf("%s", what)
}

// skipGuard skips the prefix ")]}'\n", which guards JSON against being run as
// a script and which the lenient mode tolerates.
func (p *parser) skipGuard() {
	const guard = ")]}'\n"
	if p.mode != Lenient {
		return
	}
	start := p.pos
	if _, err := p.next(); err != nil {
		p.pos = start
		return
	}
	p.pos--
	if p.pos+len(guard) <= len(p.in) && string(p.in[p.pos:p.pos+len(guard)]) == guard {
		p.pos += len(guard)
		return
	}
	p.pos = start
}

// next consumes and returns the next character that is neither white space
// nor part of a comment.
func (p *parser) next() (rune, error) {
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		p.pos++
		switch c {
		case ' ', '\t', '\r', '\n':
		case '/':
			done, err := p.slash()
			if err != nil || done {
				return c, err
			}
		case '#':
			if err := p.lenient("unexpected comment"); err != nil {
				return 0, err
			}
			p.skipLine()
		default:
			return c, nil
		}
	}
	return 0, errEnd
}

// slash skips a comment whose first slash has been consumed. A slash that
// starts no comment is reported as a character of its own.
func (p *parser) slash() (done bool, err error) {
	if p.pos == len(p.in) {
		return true, nil
	}
	if err := p.lenient("unexpected comment"); err != nil {
		return false, err
	}
	switch p.in[p.pos] {
	case '*':
		for i := p.pos + 1; i+1 < len(p.in); i++ {
			if p.in[i] == '*' && p.in[i+1] == '/' {
				p.pos = i + 2
				return false, nil
			}
		}
		return false, p.errorf("unterminated comment")
	case '/':
		p.skipLine()
		return false, nil
	}
	return true, nil
}

func (p *parser) skipLine() {
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		p.pos++
		if c == '\n' || c == '\r' {
			return
		}
	}
}

// object reads the members of an object whose brace has been consumed.
func (p *parser) object(depth int, outermost bool) (map[string]any, error) {
	if err := p.checkDepth(depth); err != nil {
		return nil, err
	}
	members := map[string]any{}
	for first := true; ; first = false {
		name, done, err := p.name(first)
		if err != nil || done {
			return members, err
		}
		if err := p.colon(); err != nil {
			return nil, err
		}
		if outermost {
			members[name], err = p.member(members, name, depth)
		} else {
			members[name], err = p.value(depth)
		}
		if err != nil {
			return nil, err
		}
	}
}

// name reads the separator and the name of the next member, or the end of the
// object.
func (p *parser) name(first bool) (name string, done bool, err error) {
	c, err := p.next()
	if err != nil {
		return "", false, err
	}
	if c == '}' {
		return "", true, nil
	}
	if !first {
		switch c {
		case ',':
		case ';':
			if err := p.lenient("expected a comma"); err != nil {
				return "", false, err
			}
		default:
			return "", false, p.errorf("unterminated object")
		}
		if c, err = p.next(); err != nil {
			return "", false, err
		}
	}
	switch {
	case c == '"':
		name, err = p.quoted('"')
	case c == '\'' && p.mode == Lenient:
		name, err = p.quoted('\'')
	case p.mode == Lenient && p.isLiteral(c):
		p.pos--
		name = p.unquoted()
	default:
		err = p.errorf("expected a name")
	}
	return name, false, err
}

func (p *parser) colon() error {
	c, err := p.next()
	if err != nil {
		return err
	}
	switch c {
	case ':':
		return nil
	case '=':
		if err := p.lenient("expected a colon"); err != nil {
			return err
		}
		if p.pos < len(p.in) && p.in[p.pos] == '>' {
			p.pos++
		}
		return nil
	}
	return p.errorf("expected a colon")
}

// arrayEnd reads the separator before the next element, or the end of the
// array.
func (p *parser) arrayEnd(first bool) (done bool, err error) {
	c, err := p.next()
	if err != nil {
		return false, err
	}
	if c == ']' {
		return true, nil
	}
	if first {
		p.pos--
		return false, nil
	}
	switch c {
	case ',':
		return false, nil
	case ';':
		return false, p.lenient("expected a comma")
	}
	return false, p.errorf("unterminated array")
}

func (p *parser) array(depth int) ([]any, error) {
	if err := p.checkDepth(depth); err != nil {
		return nil, err
	}
	elements := []any{}
	for first := true; ; first = false {
		done, err := p.arrayEnd(first)
		if err != nil || done {
			return elements, err
		}
		v, err := p.element(depth)
		if err != nil {
			return nil, err
		}
		elements = append(elements, v)
	}
}

// element reads a value in an array, where an empty slot is null in lenient
// mode.
func (p *parser) element(depth int) (any, error) {
	c, err := p.next()
	if err != nil {
		return nil, err
	}
	p.pos--
	if c == ',' || c == ';' || c == ']' {
		return nil, p.lenient("expected a value")
	}
	return p.value(depth)
}

func (p *parser) checkDepth(depth int) error {
	if p.mode == Strict && depth > MaxDepth {
		return p.errorf("nested more than %d levels deep", MaxDepth)
	}
	return nil
}

// value reads any value inside a container at the given depth.
func (p *parser) value(depth int) (any, error) {
	c, err := p.next()
	if err != nil {
		return nil, err
	}
	switch c {
	case '{':
		return p.object(depth+1, false)
	case '[':
		return p.array(depth + 1)
	case '"':
		return p.quoted('"')
	case '\'':
		if err := p.lenient("unexpected single quote"); err != nil {
			return nil, err
		}
		return p.quoted('\'')
	}
	p.pos--
	return p.literal()
}
