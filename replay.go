package esjwt

import (
	"slices"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// This file tells the proxy's own tokens from others. Where certificates are optional, a client without
// one may bring a JWT of its own; one that this proxy signed is good only with its certificate, and
// whoever brings it without has it from a log, a memory dump or a node.
//
// A token cannot be disguised. What a node verifies is the signature over the text of its first two
// parts, so these come back exactly as the proxy wrote them: nothing but the third can be spelled
// otherwise (other letters of base64, stray characters, an ECDSA signature's twin), and it is not asked.

// signed reports whether credentials are a token of this proxy: one that names the issuer of any of its
// handlers, one with the kid of any key that this process knows, also if it is revoked or has retired, or
// one that a shared secret signed. A kid is the thumbprint of its key, so no other key has it; a token
// that lies about its kid or its issuer is one that no cluster takes.
func (a *App) signed(credentials string) bool {
	sent, ok := token.Parse(credentials)
	return ok && (a.issues(sent.Issuer) || knownKey(sent))
}

// issues reports whether a handler of this configuration signs in the name of an issuer.
func (a *App) issues(issuer string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.handlers, func(h *Handler) bool { return h.identifier.Issuer() == issuer })
}

// knownKey reports whether a token was signed by a key of any set of this process.
func knownKey(sent token.Unverified) (known bool) {
	setStates.Range(func(_, state any) bool {
		s, ok := state.(*setState)
		if !ok {
			return true
		}
		if current := s.Current(); current != nil {
			known = slices.ContainsFunc(current.Records, func(r keys.Timed) bool { return signedBy(r.Key, sent) })
		}
		return !known
	})
	return known
}

// signedBy reports whether a key signed a token.
func signedBy(k *keys.Key, sent token.Unverified) bool {
	if k.ID != "" {
		return k.ID == sent.KeyID
	}
	if sent.KeyID != "" || sent.Algorithm != string(k.Algorithm) {
		return false
	}
	// A shared secret has no kid. It is at hand, and its signature always the same.
	compact, err := k.Sign(sent.Payload)
	if err != nil {
		return false
	}
	return token.SameSignature(compact[strings.LastIndexByte(compact, '.')+1:], sent.Signature)
}
