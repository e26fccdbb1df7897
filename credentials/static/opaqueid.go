package static

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// opaqueID is the header in which the name of the client goes. Elasticsearch and OpenSearch know it, write it into their
// logs, and do nothing else with it.
const opaqueID = "X-Opaque-Id"

// longestOpaqueID is how many bytes its value has at most. Elasticsearch takes any text, but repeats it in each answer,
// and in each line of its logs about the request.
const longestOpaqueID = 128

// opaqueIDOf returns a principal as a text that a header can carry: what is not printable ASCII is percent-encoded, and
// so are a percent sign, a tilde, and a blank at an end. A long one is cut, and ends with a tilde and a digest of the
// whole. So different principals have different texts:
//
//	Zoë           Zo%C3%AB
//	100%          100%25
//	spiffe://…    spiffe://…~0123456789abcdef
func opaqueIDOf(principal string) string {
	var s strings.Builder
	for i := range len(principal) {
		encodeByte(&s, principal[i], i == 0 || i == len(principal)-1)
		if s.Len() > longestOpaqueID {
			return shortened(principal)
		}
	}
	return s.String()
}

// encodeByte writes a byte. No blank is left at an end, where a header loses it.
func encodeByte(s *strings.Builder, c byte, end bool) {
	const digits = "0123456789ABCDEF"
	if c >= ' ' && c < '~' && c != '%' && (c != ' ' || !end) {
		s.WriteByte(c)
		return
	}
	s.Write([]byte{'%', digits[c>>4], digits[c&0xf]})
}

// shortened returns the beginning of a long principal, and a digest of it.
func shortened(principal string) string {
	const digest = 8
	sum := sha256.Sum256([]byte(principal))
	end := "~" + hex.EncodeToString(sum[:digest])
	var s strings.Builder
	for i := range len(principal) {
		var one strings.Builder
		encodeByte(&one, principal[i], i == 0)
		if s.Len()+one.Len() > longestOpaqueID-len(end) {
			break
		}
		s.WriteString(one.String())
	}
	return s.String() + end
}
