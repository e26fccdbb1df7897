package x500

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The string types that cryptobyte does not name.
const (
	numericString   = cbasn1.Tag(18)
	universalString = cbasn1.Tag(28)
	bmpString       = cbasn1.Tag(30)
)

// decode returns the text of a value as Java decodes it, with U+FFFD for malformed
// bytes. The error is that of Attribute.Err.
func decode(tag cbasn1.Tag, b []byte) (string, error) {
	var text string
	valid := true
	switch tag {
	case cbasn1.UTF8String:
		text, valid = utf8Text(b), utf8.Valid(b)
	case cbasn1.PrintableString, cbasn1.IA5String, cbasn1.GeneralString, numericString:
		text, valid = asciiText(b)
	case cbasn1.T61String:
		// Nobody writes real T.61, which has shift codes. Java, OpenSSL and Go
		// read it as Latin-1.
		text = latin1Text(b)
	case bmpString:
		text, valid = utf16Text(b)
	case universalString:
		text, valid = utf32Text(b)
	default:
		return "", ErrNotString
	}
	switch {
	case !valid:
		return text, ErrEncoding
	case strings.ContainsFunc(text, isControl):
		return text, ErrControl
	}
	return text, nil
}

// isControl reports whether a character is a control character or one of Unicode's
// two line separators. Java takes those for the end of a line, and so a dot in the
// PKI realm's pattern does not match them.
func isControl(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

func asciiText(b []byte) (text string, valid bool) {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return strings.Map(func(r rune) rune {
				if r >= utf8.RuneSelf {
					return utf8.RuneError
				}
				return r
			}, latin1Text(b)), false
		}
	}
	return string(b), true
}

func latin1Text(b []byte) string {
	var text strings.Builder
	text.Grow(len(b))
	for _, c := range b {
		text.WriteRune(rune(c))
	}
	return text.String()
}

// utf16Text decodes a BMPString. Like Java, it also decodes surrogate pairs, which
// a BMPString must not have. A high surrogate without a low one becomes U+FFFD
// together with the next two bytes, or the one that is left.
func utf16Text(b []byte) (text string, valid bool) {
	var out strings.Builder
	valid = len(b)%2 == 0
	for len(b) >= 2 {
		r := rune(binary.BigEndian.Uint16(b))
		b = b[2:]
		if utf16.IsSurrogate(r) {
			valid = false
			if isHigh := r < 0xdc00; isHigh {
				var low rune
				if len(b) >= 2 {
					low = rune(binary.BigEndian.Uint16(b))
				}
				r = utf16.DecodeRune(r, low)
				b = b[min(2, len(b)):]
			}
		}
		out.WriteRune(r)
	}
	if len(b) > 0 {
		out.WriteRune(utf8.RuneError)
	}
	return out.String(), valid
}

// utf32Text decodes a UniversalString. Like Java, it drops a byte order mark; Java
// does not do so with other string types.
func utf32Text(b []byte) (text string, valid bool) {
	var out strings.Builder
	valid = len(b)%4 == 0
	b = bytes.TrimPrefix(b, []byte{0, 0, 0xfe, 0xff})
	for ; len(b) >= 4; b = b[4:] {
		r := rune(binary.BigEndian.Uint32(b)) //nolint:gosec // too large is negative, which ValidRune refuses
		valid = valid && utf8.ValidRune(r)
		out.WriteRune(r)
	}
	if len(b) > 0 {
		out.WriteRune(utf8.RuneError)
	}
	return out.String(), valid
}

// utf8Text decodes UTF-8 as Java does: it replaces each malformed sequence by one
// U+FFFD, where Go's own conversions write one for each byte. A sequence ends before
// the first byte that cannot continue it. A surrogate that is encoded in UTF-8 is
// one sequence.
func utf8Text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			size = malformed(b)
		}
		out.WriteRune(r)
		b = b[size:]
	}
	return out.String()
}

// malformed returns the length of the malformed sequence at the start of b.
func malformed(b []byte) int {
	lead := b[0]
	length := 1
	low, high := byte(0x80), byte(0xbf) // the limits of the second byte
	switch {
	case lead >= 0xc2 && lead <= 0xdf:
		length = 2
	case lead >= 0xe0 && lead <= 0xef:
		length = 3
		if lead == 0xe0 {
			low = 0xa0
		}
	case lead >= 0xf0 && lead <= 0xf4:
		length = 4
		if lead == 0xf0 {
			low = 0x90
		}
		if lead == 0xf4 {
			high = 0x8f
		}
	}
	for i := 1; i < length; i++ {
		if i == len(b) || b[i] < low || b[i] > high {
			return i
		}
		low, high = 0x80, 0xbf
	}
	return length
}
