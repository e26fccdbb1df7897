package pattern

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxRepeat bounds {n,m} and maxInterval <n-m>, as such expressions are
// written out.
const (
	maxRepeat   = 1000
	maxInterval = 10000
)

// parseRegexp reads the syntax of org.apache.lucene.util.automaton.RegExp with
// all of its optional operators.
func parseRegexp(s string) (node, error) {
	p := &regexpParser{in: []rune(s)}
	if len(p.in) == 0 {
		return empty, nil
	}
	n, err := p.union(0)
	if err == nil && p.more() {
		err = fmt.Errorf("unexpected %q at offset %d", p.in[p.pos], p.pos)
	}
	return n, err
}

type regexpParser struct {
	in  []rune
	pos int
}

func (p *regexpParser) more() bool { return p.pos < len(p.in) }

func (p *regexpParser) peek(chars string) bool {
	return p.more() && strings.ContainsRune(chars, p.in[p.pos])
}

func (p *regexpParser) take(c rune) bool {
	if p.more() && p.in[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *regexpParser) union(depth int) (node, error) {
	if depth > maxRepeat {
		return nil, errors.New("nested too deeply")
	}
	n, err := p.intersection(depth)
	for err == nil && p.take('|') {
		var m node
		if m, err = p.intersection(depth); err == nil {
			n = or(n, m)
		}
	}
	return n, err
}

func (p *regexpParser) intersection(depth int) (node, error) {
	n, err := p.concatenation(depth)
	for err == nil && p.take('&') {
		var m node
		if m, err = p.concatenation(depth); err == nil {
			n = and(n, m)
		}
	}
	return n, err
}

func (p *regexpParser) concatenation(depth int) (node, error) {
	n, err := p.repetition(depth)
	for err == nil && p.more() && !p.peek(")|&") {
		var m node
		if m, err = p.repetition(depth); err == nil {
			n = concat(n, m)
		}
	}
	return n, err
}

func (p *regexpParser) repetition(depth int) (node, error) {
	n, err := p.negation(depth)
	for err == nil {
		switch {
		case p.take('?'):
			n = or(n, empty)
		case p.take('*'):
			n = star(n)
		case p.take('+'):
			n = concat(n, star(n))
		case p.take('{'):
			n, err = p.count(n)
		default:
			return n, nil
		}
	}
	return n, err
}

// count reads the rest of {n}, {n,} or {n,m}.
func (p *regexpParser) count(n node) (node, error) {
	low, ok := p.integer()
	high, open := low, false
	if ok && p.take(',') {
		if h, some := p.integer(); some {
			high = h
		} else {
			open = true
		}
	}
	if !ok || !p.take('}') || low > maxRepeat || high > maxRepeat || high < low {
		return nil, fmt.Errorf("invalid repetition at offset %d", p.pos)
	}
	out := empty
	for range high - low {
		out = or(empty, concat(n, out))
	}
	if open {
		out = star(n)
	}
	for range low {
		out = concat(n, out)
	}
	return out, nil
}

func (p *regexpParser) integer() (int, bool) {
	start := p.pos
	for p.peek("0123456789") {
		p.pos++
	}
	v, err := strconv.Atoi(string(p.in[start:p.pos]))
	return v, err == nil
}

func (p *regexpParser) negation(depth int) (node, error) {
	if !p.take('~') {
		return p.atom(depth)
	}
	if depth > maxRepeat {
		return nil, errors.New("nested too deeply")
	}
	n, err := p.negation(depth + 1)
	if err != nil {
		return nil, err
	}
	return not(n), nil
}

func (p *regexpParser) atom(depth int) (node, error) {
	switch {
	case !p.more():
		return nil, errors.New("unexpected end")
	case p.take('['):
		return p.class()
	case p.take('.'):
		return anyChar, nil
	case p.take('#'):
		return none, nil
	case p.take('@'):
		return anyString, nil
	case p.take('"'):
		return p.quoted()
	case p.take('<'):
		return p.interval()
	case p.take('('):
		if p.take(')') {
			return empty, nil
		}
		n, err := p.union(depth + 1)
		if err == nil && !p.take(')') {
			err = fmt.Errorf("expected ) at offset %d", p.pos)
		}
		return n, err
	}
	if ranges, negated, ok := p.escapedClass(); ok {
		return newClass(negated, ranges...), nil
	}
	c, err := p.char()
	if err != nil {
		return nil, err
	}
	return char(c), nil
}

func (p *regexpParser) char() (rune, error) {
	p.take('\\')
	if !p.more() {
		return 0, errors.New("unexpected end")
	}
	p.pos++
	return p.in[p.pos-1], nil
}

func (p *regexpParser) quoted() (node, error) {
	n := empty
	for p.more() {
		if p.take('"') {
			return n, nil
		}
		n = concat(n, char(p.in[p.pos]))
		p.pos++
	}
	return nil, errors.New(`expected "`)
}

// interval reads the rest of <n-m>: a decimal number in that range, with
// leading zeros where both ends have the same number of digits.
func (p *regexpParser) interval() (node, error) {
	start := p.pos
	for p.more() && !p.peek(">") {
		p.pos++
	}
	text := string(p.in[start:p.pos])
	if !p.take('>') {
		return nil, errors.New("expected >")
	}
	from, to, _ := strings.Cut(text, "-")
	low, err := strconv.ParseUint(from, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("invalid interval <%s>", text)
	}
	high, err := strconv.ParseUint(to, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("invalid interval <%s>", text)
	}
	low, high = min(low, high), max(low, high)
	if high-low > maxInterval {
		return nil, fmt.Errorf("interval <%s> is too large", text)
	}
	digits := 0
	if len(from) == len(to) {
		digits = len(from)
	}
	n := none
	for v := low; v <= high; v++ {
		number := wildcard(fmt.Sprintf("%0*d", digits, v))
		if digits == 0 {
			number = concat(star(char('0')), number)
		}
		n = or(n, number)
	}
	return n, nil
}

// class reads the rest of a character class.
func (p *regexpParser) class() (node, error) {
	negated := p.take('^')
	var ranges []span
	for first := true; first || (p.more() && !p.peek("]")); first = false {
		if r, not, ok := p.escapedClass(); ok {
			if not {
				r = invert(r)
			}
			ranges = append(ranges, r...)
			continue
		}
		lo, err := p.char()
		if err != nil {
			return nil, err
		}
		hi := lo
		if p.take('-') {
			if p.peek("]") {
				ranges = append(ranges, span{'-', '-'})
			} else if hi, err = p.char(); err != nil {
				return nil, err
			}
		}
		if hi < lo {
			return nil, fmt.Errorf("invalid range at offset %d", p.pos)
		}
		ranges = append(ranges, span{lo, hi})
	}
	if !p.take(']') {
		return nil, errors.New("expected ]")
	}
	return newClass(negated, ranges...), nil
}
