package esjwt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
	"slices"
	"strings"
)

// This file tells the proxy's own tokens from others. Where certificates are optional, a client without
// one may bring a JWT of its own; one that this proxy signed is good only with its certificate, and
// whoever brings it without has it from a log, a memory dump or a node.
//
// A token cannot be disguised. What a node verifies is the signature over the text of its first two
// parts, so these come back exactly as the proxy wrote them: nothing but the third can be spelled
// otherwise (other letters of base64, stray characters, an ECDSA signature's twin), and it is not asked.

// ownToken is what a JWT says about where it comes from. Nobody has verified it.
type ownToken struct {
	algorithm, kid, issuer string

	payload   []byte
	signature string // as it was sent
}

// parseOwnToken reads a compact JWS (RFC 7515 section 7.1) that may be one of this proxy's. It is not ok
// if it cannot be.
func parseOwnToken(compact string) (token ownToken, ok bool) {
	first, rest, ok := strings.Cut(compact, ".")
	if !ok {
		return ownToken{}, false
	}
	second, signature, ok := strings.Cut(rest, ".")
	if !ok {
		return ownToken{}, false
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
		return ownToken{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(second)
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return ownToken{}, false
	}
	return ownToken{header.Algorithm, header.KeyID, claims.Issuer, payload, signature}, true
}

// signed reports whether credentials are a token of this proxy: one that names the issuer of any of its
// handlers, one with the kid of any key that this process knows, also if it is revoked or has retired, or
// one that a shared secret signed. A kid is the thumbprint of its key, so no other key has it; a token
// that lies about its kid or its issuer is one that no cluster takes.
func (a *App) signed(credentials string) bool {
	token, ok := parseOwnToken(credentials)
	return ok && (a.issues(token.issuer) || knownKey(token))
}

// issues reports whether a handler of this configuration signs in the name of an issuer.
func (a *App) issues(issuer string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.handlers, func(h *Handler) bool { return h.identifier.issuer() == issuer })
}

// knownKey reports whether a token was signed by a key of any set of this process.
func knownKey(token ownToken) (known bool) {
	setStates.Range(func(_, state any) bool {
		s, ok := state.(*setState)
		if !ok {
			return true
		}
		if current := s.current.Load(); current != nil {
			known = slices.ContainsFunc(current.records, func(r keys.Timed) bool { return signedBy(r.Key, token) })
		}
		return !known
	})
	return known
}

// signedBy reports whether a key signed a token.
func signedBy(k *keys.Key, token ownToken) bool {
	if k.ID != "" {
		return k.ID == token.kid
	}
	if token.kid != "" || token.algorithm != string(k.Algorithm) {
		return false
	}
	// A shared secret has no kid. It is at hand, and its signature always the same.
	compact, err := k.Sign(token.payload)
	if err != nil {
		return false
	}
	signature := compact[strings.LastIndexByte(compact, '.')+1:]
	return bytes.Equal(decodeLeniently(signature), decodeLeniently(token.signature))
}

// decodeLeniently decodes base64url as the most forgiving of nodes: what is no letter of it is left out,
// the other alphabet's letters count, and so do bits that should be zero.
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
