package esrealm

import "encoding/base64"

// decodeBase64 decodes base64url as a realm does: it takes both alphabets, with
// and without padding, and ignores all other characters. So "AQID", "AQ~ID" and
// "AQID=" are the same bytes. For the JWT cache, they are different tokens.
func decodeBase64(s string) []byte {
	clean := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			clean = append(clean, c)
		case c == '+':
			clean = append(clean, '-')
		case c == '/':
			clean = append(clean, '_')
		}
	}
	if len(clean)%4 == 1 { // the last six bits are not a byte
		clean = clean[:len(clean)-1]
	}
	out := make([]byte, base64.RawURLEncoding.DecodedLen(len(clean)))
	n, _ := base64.RawURLEncoding.Decode(out, clean) // cannot fail: not strict, one alphabet
	return out[:n]
}
