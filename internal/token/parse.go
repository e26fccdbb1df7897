package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// Unverified is what a JWT says about where it comes from. Nobody has verified it.
type Unverified struct {
	Algorithm, KeyID, Issuer string

	Payload   []byte
	Signature string // as it was sent
}

// Parse reads a compact JWS (RFC 7515 section 7.1) with claims in it. It is not ok if it is none.
//
// It is strict, and that hides no token of ours. A node verifies the signature over the text of the
// first two parts, so these must come back as they were written. Only the third can be spelled in
// several ways, and is not read here: see [SameSignature].
func Parse(compact string) (token Unverified, ok bool) {
	first, rest, ok := strings.Cut(compact, ".")
	if !ok {
		return Unverified{}, false
	}
	second, signature, ok := strings.Cut(rest, ".")
	if !ok {
		return Unverified{}, false
	}
	var header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil || json.Unmarshal(text, &header) != nil {
		return Unverified{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(second)
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return Unverified{}, false
	}
	return Unverified{header.Algorithm, header.KeyID, claims.Issuer, payload, signature}, true
}

// SameSignature reports whether two texts are the same signature for the most forgiving of nodes:
//
//	SameSignature("-_8", "-_8")     // the same text
//	SameSignature("-_8", "+/8=")    // the letters of the other alphabet of base64
//	SameSignature("-_8", "-~ _.9")  // with stray characters, and with bits set that should be zero
func SameSignature(a, b string) bool { return bytes.Equal(decodeLeniently(a), decodeLeniently(b)) }

// decodeLeniently decodes base64url, and leaves out or puts right what is wrong.
func decodeLeniently(text string) []byte {
	text = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_':
			return r
		case r == '+':
			return '-'
		case r == '/':
			return '_'
		default:
			return -1
		}
	}, text)
	if len(text)%4 == 1 {
		text = text[:len(text)-1] // six bits make no byte
	}
	decoded, _ := base64.RawURLEncoding.DecodeString(text)
	return decoded
}
