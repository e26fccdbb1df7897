package pattern

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// node is a regular expression. Equal expressions have equal keys, by which
// unions stay small while a text is matched.
type node interface {
	nullable() bool     // matches the empty text
	derive(r rune) node // what must follow r
	key() string
}

var (
	none      node = leaf("∅") // matches nothing
	empty     node = leaf("ε") // matches the empty text
	anyChar   node = &class{ranges: []span{{0, utf8.MaxRune}}, id: "."}
	anyString      = star(anyChar)
)

type leaf string

func (l leaf) nullable() bool   { return l == empty }
func (l leaf) derive(rune) node { return none }
func (l leaf) key() string      { return string(l) }

// span is an inclusive range of characters.
type span struct{ lo, hi rune }

type class struct {
	ranges []span
	not    bool
	id     string
}

func newClass(not bool, ranges ...span) node {
	return &class{ranges: ranges, not: not, id: fmt.Sprintf("[%t%v]", not, ranges)}
}

func char(r rune) node { return newClass(false, span{r, r}) }

func (c *class) nullable() bool { return false }
func (c *class) key() string    { return c.id }

func (c *class) derive(r rune) node {
	in := slices.ContainsFunc(c.ranges, func(s span) bool { return s.lo <= r && r <= s.hi })
	if in != c.not {
		return empty
	}
	return none
}

// pair is a concatenation.
type pair struct {
	a, b node
	id   string
}

func concat(a, b node) node {
	switch {
	case a == none || b == none:
		return none
	case a == empty:
		return b
	case b == empty:
		return a
	}
	return &pair{a, b, "(" + a.key() + b.key() + ")"}
}

func (p *pair) nullable() bool { return p.a.nullable() && p.b.nullable() }
func (p *pair) key() string    { return p.id }

func (p *pair) derive(r rune) node {
	d := concat(p.a.derive(r), p.b)
	if p.a.nullable() {
		d = or(d, p.b.derive(r))
	}
	return d
}

type repeat struct {
	of node
	id string
}

func star(of node) node {
	if of == none || of == empty {
		return empty
	}
	return &repeat{of, of.key() + "*"}
}

func (s *repeat) nullable() bool     { return true }
func (s *repeat) key() string        { return s.id }
func (s *repeat) derive(r rune) node { return concat(s.of.derive(r), s) }

// set is a union or, where all is true, an intersection.
type set struct {
	all  bool
	of   []node
	id   string
	zero bool
}

func or(nodes ...node) node  { return newSet(false, nodes) }
func and(nodes ...node) node { return newSet(true, nodes) }

func newSet(all bool, nodes []node) node {
	var flat []node
	for _, n := range nodes {
		if s, ok := n.(*set); ok && s.all == all {
			flat = append(flat, s.of...)
			continue
		}
		if n == none {
			if all {
				return none
			}
			continue
		}
		flat = append(flat, n)
	}
	slices.SortFunc(flat, func(a, b node) int { return strings.Compare(a.key(), b.key()) })
	flat = slices.CompactFunc(flat, func(a, b node) bool { return a.key() == b.key() })
	switch len(flat) {
	case 0:
		return none
	case 1:
		return flat[0]
	}
	s := &set{all: all, of: flat, zero: all}
	op := "|"
	if all {
		op = "&"
	}
	keys := make([]string, len(flat))
	for i, n := range flat {
		keys[i] = n.key()
		if all {
			s.zero = s.zero && n.nullable()
		} else {
			s.zero = s.zero || n.nullable()
		}
	}
	s.id = "(" + strings.Join(keys, op) + ")"
	return s
}

func (s *set) nullable() bool { return s.zero }
func (s *set) key() string    { return s.id }

func (s *set) derive(r rune) node {
	next := make([]node, len(s.of))
	for i, n := range s.of {
		next[i] = n.derive(r)
	}
	return newSet(s.all, next)
}

// complement matches whatever its operand does not.
type complement struct{ of node }

func not(of node) node {
	if c, ok := of.(*complement); ok {
		return c.of
	}
	return &complement{of}
}

func (c *complement) nullable() bool     { return !c.of.nullable() }
func (c *complement) key() string        { return "~" + c.of.key() }
func (c *complement) derive(r rune) node { return not(c.of.derive(r)) }
