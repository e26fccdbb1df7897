package esrealm

import "encoding/base64"

// decodeBase64 decodes what a realm takes for base64url: either alphabet,
// padded or not, and any other character in it ignored. So one signature has
// many spellings, and it is the spelling that the JWT cache goes by.
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
	if len(clean)%4 == 1 { // six bits are no byte
		clean = clean[:len(clean)-1]
	}
	out := make([]byte, base64.RawURLEncoding.DecodedLen(len(clean)))
	n, _ := base64.RawURLEncoding.Decode(out, clean) // cannot fail: not strict, one alphabet
	return out[:n]
}
