package gson

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
)

// number is the grammar of a JSON number (RFC 8259 section 6).
var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// isLiteral reports whether c may be part of an unquoted text.
func (p *parser) isLiteral(c rune) bool {
	return !strings.ContainsRune("/\\;#={}[]:, \t\f\r\n", c)
}

// unquoted consumes the longest unquoted text.
func (p *parser) unquoted() string {
	start := p.pos
	for p.pos < len(p.in) && p.isLiteral(p.in[p.pos]) {
		p.pos++
	}
	return string(p.in[start:p.pos])
}

// literal reads true, false, null, a number or, in lenient mode, a string
// without quotes.
func (p *parser) literal() (any, error) {
	text := p.unquoted()
	if text == "" {
		return nil, p.errorf("expected a value")
	}
	keyword := text
	if p.mode == Lenient {
		keyword = strings.ToLower(text)
	}
	switch keyword {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	}
	if number.MatchString(text) {
		return p.number(text)
	}
	if err := p.lenient("unexpected text"); err != nil {
		return nil, err
	}
	return text, nil
}

// number follows Gson's LONG_OR_DOUBLE policy.
func (p *parser) number(text string) (any, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if math.IsInf(f, 0) {
		return f, p.lenient("number out of range")
	}
	return f, err
}

// quoted reads the rest of a string whose opening quote has been consumed.
func (p *parser) quoted(quote rune) (string, error) {
	var b strings.Builder
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		p.pos++
		switch {
		case c == quote:
			return b.String(), nil
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
		case c < ' ':
			if err := p.lenient("unescaped control character"); err != nil {
				return "", err
			}
			b.WriteRune(c)
		default:
			b.WriteRune(c)
		}
	}
	return "", p.errorf("unterminated string")
}

func (p *parser) escape() (rune, error) {
	if p.pos == len(p.in) {
		return 0, p.errorf("unterminated escape")
	}
	c := p.in[p.pos]
	p.pos++
	switch c {
	case 't':
		return '\t', nil
	case 'b':
		return '\b', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 'f':
		return '\f', nil
	case '"', '\\', '/':
		return c, nil
	case '\n', '\'':
		return c, p.lenient("invalid escape")
	case 'u':
		return p.unicodeEscape()
	}
	return 0, p.errorf("invalid escape")
}

// unicodeEscape reads the digits of \uXXXX, and of a second escape where the
// two are a surrogate pair. A lone surrogate, which a Go string cannot hold,
// becomes U+FFFD.
func (p *parser) unicodeEscape() (rune, error) {
	r, ok := p.hex4(p.pos)
	if !ok {
		return 0, p.errorf("malformed unicode escape")
	}
	p.pos += 4
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if p.pos+6 <= len(p.in) && p.in[p.pos] == '\\' && p.in[p.pos+1] == 'u' {
		if low, ok := p.hex4(p.pos + 2); ok {
			if pair := utf16.DecodeRune(r, low); pair != '\ufffd' {
				p.pos += 6
				return pair, nil
			}
		}
	}
	return '\ufffd', nil
}

func (p *parser) hex4(at int) (rune, bool) {
	if at+4 > len(p.in) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(p.in[at:at+4]), 16, 16)
	return rune(n), err == nil
}
