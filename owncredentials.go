package esjwt

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credentialpath"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rewrite"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// serveOwnCredentials serves a client without a certificate, where a certificate is optional. The client keeps
// its own credentials, which Elasticsearch checks. A client without any is refused, because a request without
// credentials could run as the proxy.
func (h *Handler) serveOwnCredentials(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	own, ok := rewrite.OwnOf(r.Header)
	found := h.rewriter.Strip(r)
	if !ok {
		return h.serveError(w, r, refuseNoCredentials())
	}
	if h.noCredentialAPIs && credentialpath.Makes(r.Method, r.URL) {
		return h.serveError(w, r, refuseCredentialAPI())
	}
	if err := h.fits(found.Size+own.Size(), r); err != nil {
		return h.serveError(w, r, err)
	}
	if h.app.signed(own.Token68()) {
		return h.serveError(w, r, refuseReplayedToken())
	}
	admitted := &admission{handler: h, own: &own, upgrade: found.Upgrade || r.Method == http.MethodConnect}
	defer h.takeBack(r.Header, admitted)
	h.announce(r, admitted)
	metrics.ownCredentials.Inc()
	if own.HasSecret() {
		defer h.warnOfLoggedSecret()
	}
	return next.ServeHTTP(w, r)
}

// warnOfLoggedSecret warns, once, that Caddy's log may have a client's own shared secret in it: Caddy keeps
// the request for its log before any handler sees it.
func (h *Handler) warnOfLoggedSecret() {
	h.loggedSecret.Do(func() {
		advice := "filter it out of every log with " +
			"log { format filter { wrap json fields { request>headers>" + rewrite.ClientAuthentication + " delete } } }"
		if !h.delivered.Load() {
			advice += ", and use `transport elasticsearch_jwt`, which keeps it out of those of reverse_proxy"
		}
		h.logger.Warn("a client has sent an "+rewrite.ClientAuthentication+" of its own, "+
			"which Caddy's log of requests and errors prints, unless it is told not to", zap.String("advice", advice))
	})
}

// signed reports whether credentials are a token that this proxy has signed. Such a token is good only with its
// certificate: a client that sends it without has it from a log, a memory dump or a node. It is one that
//
//   - names the issuer of one of the handlers, or
//   - has the kid of a key that this process knows, even if the key is revoked or has retired, or
//   - was signed with a shared secret of this process, which has no kid.
//
// A kid is the thumbprint of its key, so no other key has it. No cluster accepts a token with a false kid or
// issuer, and none can be disguised: a node verifies the signature over the text of the first two parts, so
// these must be exactly as the proxy wrote them. Only the third part can be spelled in other ways (other letters
// of base64, stray characters, the twin of an ECDSA signature), so it is compared leniently, or not at all.
func (a *App) signed(credentials string) bool {
	sent, ok := token.Parse(credentials)
	return ok && (a.issues(sent.Issuer) || knownKey(sent))
}

// issues reports whether a handler of this configuration signs in the name of an issuer.
func (a *App) issues(issuer string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.handlers, func(h *Handler) bool { return issuer != "" && h.identifier.Issuer() == issuer })
}

// knownKey reports whether a token was signed by a key of any set of this process.
func knownKey(sent token.Unverified) (known bool) {
	keySetStates.Range(func(_, state any) bool {
		s, ok := state.(*keySetState)
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
	// A shared secret has no kid. Its signature of the same text is always the same.
	compact, err := k.Sign(sent.Payload)
	if err != nil {
		return false
	}
	return token.SameSignature(compact[strings.LastIndexByte(compact, '.')+1:], sent.Signature)
}
