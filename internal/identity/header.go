package identity

import (
	"encoding/base64"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
)

// Header is a header that the upstream gets.
type Header struct {
	Name string // canonical

	template template
}

// HasToken reports whether the token is in the value. Other values are those of [Client.Headers].
func (h *Header) HasToken() bool { return h.template.hasJWT() }

// WithToken renders a value that has {jwt} in it, for "Bearer " and a token.
func (h *Header) WithToken(authorization string) string {
	parts := h.template.parts
	if len(parts) == 2 && parts[0].text == token.Bearer && parts[1].jwt {
		return authorization
	}
	var s strings.Builder
	for _, p := range parts {
		if p.jwt {
			s.WriteString(authorization[len(token.Bearer):])
		} else {
			s.WriteString(p.text)
		}
	}
	return s.String()
}

// headerSize is how many bytes the injected headers have at most: with the signature of the
// largest key.
func (c *Client) headerSize(headers []Header) int {
	const overhead = 115 + 684 + len("..") // the JWS header with a kid, and an RSA-4096 signature, in base64url
	jwt := base64.RawURLEncoding.EncodedLen(c.Claims.Size()) + overhead
	size := 0
	for i, h := range headers {
		size += len(h.Name) + len(": \r\n") + len(c.Headers[i])
		for _, part := range h.template.parts {
			if part.jwt {
				size += jwt
			} else if h.HasToken() {
				size += len(part.text)
			}
		}
	}
	return size
}
