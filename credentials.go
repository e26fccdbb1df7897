package esjwt

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credentialpath"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/headersize"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// serveOwnCredentials serves a client without a certificate, where a certificate is optional. The client keeps
// its own credentials, which Elasticsearch checks. A client without any is refused, because a request without
// credentials could run as the proxy.
func (h *Handler) serveOwnCredentials(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	own, ok := ownCredentials(r.Header)
	found := h.rewriter.strip(r)
	if !ok {
		return h.serveError(w, r, refuseNoCredentials())
	}
	if h.noCredentialAPIs && credentialpath.Makes(r.Method, r.URL) {
		return h.serveError(w, r, refuseCredentialAPI())
	}
	if err := h.fits(found.size+own.size(), r); err != nil {
		return h.serveError(w, r, err)
	}
	if h.app.signed(own.token68) {
		return h.serveError(w, r, refuseReplayedToken())
	}
	admitted := &admission{handler: h, own: &own, upgrade: found.upgrade || r.Method == http.MethodConnect}
	defer h.takeBack(r.Header, admitted)
	h.announce(r, admitted)
	metrics.ownCredentials.Inc()
	if own.clientAuth != "" {
		defer h.warnOfLoggedSecret()
	}
	return next.ServeHTTP(w, r)
}

// warnOfLoggedSecret warns, once, that Caddy's log may have a client's own shared secret in it: Caddy keeps
// the request for its log before any handler sees it.
func (h *Handler) warnOfLoggedSecret() {
	h.loggedSecret.Do(func() {
		advice := "filter it out of every log with " +
			"log { format filter { wrap json fields { request>headers>" + clientAuthHeader + " delete } } }"
		if !h.delivered.Load() {
			advice += ", and use `transport elasticsearch_jwt`, which keeps it out of those of reverse_proxy"
		}
		h.logger.Warn("a client has sent an "+clientAuthHeader+" of its own, "+
			"which Caddy's log of requests and errors prints, unless it is told not to", zap.String("advice", advice))
	})
}

// credentials are those of a client without a certificate.
type credentials struct {
	authorization string // the value of the header Authorization
	token68       string // the part of it after the scheme
	clientAuth    string // ES-Client-Authentication, or ""
}

// ownCredentials returns the credentials of a request that a client may keep: one Authorization of a kind that
// Elasticsearch checks itself, and at most one ES-Client-Authentication. ok is false if the request has other
// credentials, or none.
func ownCredentials(h http.Header) (own credentials, ok bool) {
	values := h["Authorization"]
	if len(values) != 1 {
		return credentials{}, false
	}
	scheme, token68, found := strings.Cut(values[0], " ")
	if !found || !isOwnScheme(scheme) || !isToken68(token68) {
		return credentials{}, false
	}
	own = credentials{authorization: values[0], token68: token68}
	switch secrets := h[clientAuthHeader]; len(secrets) {
	case 0:
		return own, true
	case 1:
		own.clientAuth = secrets[0]
		return own, true
	default:
		return credentials{}, false
	}
}

// set puts the credentials back into the headers of a request that was stripped, and returns their size. See
// rewriter.set for first.
func (c *credentials) set(h http.Header, first *[1]string) (size int) {
	if first[0] != c.authorization {
		first[0] = c.authorization
	}
	h["Authorization"] = first[:]
	if c.clientAuth != "" {
		h[clientAuthHeader] = []string{c.clientAuth}
	}
	return c.size()
}

// size returns the size of the headers that set sets.
func (c *credentials) size() int {
	size := headersize.Line("Authorization", c.authorization)
	if c.clientAuth != "" {
		size += headersize.Line(clientAuthHeader, c.clientAuth)
	}
	return size
}

// takeBack removes what set has put there.
func (c *credentials) takeBack(h http.Header) {
	delete(h, "Authorization")
	delete(h, clientAuthHeader)
}

// isOwnScheme reports whether Elasticsearch checks credentials of a scheme. It knows Bearer in this spelling
// only: it treats a request with "bearer" as one without credentials.
func isOwnScheme(scheme string) bool {
	return scheme == "Bearer" || equalFolded(scheme, "basic") || equalFolded(scheme, "apikey")
}

// isToken68 reports whether s is a token68 (RFC 9110 section 11.2). It has no comma, which could join two
// credentials.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		isLetterOrDigit := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !isLetterOrDigit && !strings.ContainsRune("-._~+/", r)
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
