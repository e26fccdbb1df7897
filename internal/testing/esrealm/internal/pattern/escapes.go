package pattern

import "unicode/utf8"

// escapedClass reads \d, \s, \w or the negation of one of them, which Lucene
// knows in ASCII only.
func (p *regexpParser) escapedClass() (ranges []span, negated, ok bool) {
	if !p.peek(`\`) || p.pos+1 == len(p.in) {
		return nil, false, false
	}
	c := p.in[p.pos+1]
	switch c | 0x20 {
	case 'd':
		ranges = []span{{'0', '9'}}
	case 's':
		ranges = []span{{'\t', '\n'}, {'\r', '\r'}, {' ', ' '}}
	case 'w':
		ranges = []span{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}
	default:
		return nil, false, false
	}
	p.pos += 2
	return ranges, c < 'a', true
}

// invert is the complement of ranges that are in order.
func invert(ranges []span) []span {
	var out []span
	next := rune(0)
	for _, r := range ranges {
		if next < r.lo {
			out = append(out, span{next, r.lo - 1})
		}
		next = r.hi + 1
	}
	return append(out, span{next, utf8.MaxRune})
}
