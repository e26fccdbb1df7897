package gson

import (
	"strings"
	"unicode/utf8"
)

// DecodeUTF8 turns bytes into text as Java's decoder does: each maximal
// malformed subpart becomes one U+FFFD (Unicode 3.9, "substitution of maximal
// subparts"), where Go would write one for each byte.
func DecodeUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = subpart(b)
		}
		out.WriteRune(r)
		b = b[n:]
	}
	return out.String()
}

// subpart is the length of the malformed sequence that starts b.
func subpart(b []byte) int {
	lo, hi, want := byte(0x80), byte(0xbf), 0
	switch c := b[0]; {
	case c >= 0xc2 && c <= 0xdf:
		want = 1
	case c == 0xe0:
		lo, want = 0xa0, 2
	case c == 0xed:
		hi, want = 0x9f, 2
	case c >= 0xe1 && c <= 0xef:
		want = 2
	case c == 0xf0:
		lo, want = 0x90, 3
	case c == 0xf4:
		hi, want = 0x8f, 3
	case c >= 0xf1 && c <= 0xf3:
		want = 3
	}
	n := 1
	for ; n <= want && n < len(b) && b[n] >= lo && b[n] <= hi; n++ {
		lo, hi = 0x80, 0xbf
	}
	return n
}
