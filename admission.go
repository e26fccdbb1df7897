package esjwt

import (
	"context"
	"crypto/x509"
	"net/http"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/retry"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rewrite"
)

// announce tells the rest of Caddy who the client is: it sets the placeholder {http.auth.user.id}, which the access
// log has as user_id, more fields of the access log, and the variable that the transport reads. It sets the headers of
// a token as well, unless the transport does. Then nobody else sees them.
func (h *Handler) announce(r *http.Request, admitted *admission) {
	ctx := r.Context()
	if admitted.client != nil {
		if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
			repl.Set("http.auth.user.id", admitted.client.Principal)
		}
		logDecision(r, &admitted.decision)
	}
	caddyhttp.SetVar(ctx, authenticatedVar, admitted)
	if h.delivered.Load() || h.cache != nil { // a credential that is no token goes over the transport, or not at all
		return
	}
	admitted.set(r.Header, &admitted.byHandler)
	if h.secret != nil && admitted.client != nil {
		rewrite.SetSharedSecret(r.Header, h.secret.Get())
	}
}

// takeBack removes everything that announce has added to the headers, and ends the admission. It is deferred, so that
// it does so even if the next handler panics.
func (h *Handler) takeBack(header http.Header, admitted *admission) {
	// The variable itself stays: a transport that dials a connection for a later request may be reading the
	// variables at this moment.
	admitted.over.Store(true)
	h.rewriter.TakeBack(header)
	if admitted.credential == nil {
		admitted.own.TakeBack(header)
	}
	if h.secret != nil {
		delete(header, rewrite.ClientAuthentication)
	}
}

// sizeOf returns the size of the headers that the handler or the transport sets for an admission.
func (h *Handler) sizeOf(admitted *admission) int {
	size := admitted.size()
	if h.secret != nil {
		size += rewrite.SharedSecretSize(h.secret.Get())
	}
	return size
}

// admission says that a request was let in, and as whom. The handler makes it, and the transport sends the request
// with the headers that follow from it, whatever stands between the two.
type admission struct {
	decision                     // whose credential is nil if the client has its own
	handler  *Handler            // that let the request in
	client   *identity.Client    // nil if the client has no certificate, but its own credentials
	chain    []*x509.Certificate // that the client sent
	notAfter int64               // when the client's certificate ends, in Unix seconds
	renewed  bool                // the credential replaces one that a node has refused
	unsure   error               // why to try again although a node has refused the credential
	sent     bool                // the transport has set the headers before, for another node
	own      *rewrite.Own        // the client's own, if it has no certificate; nil if it has one
	upgrade  bool                // the client asks for a WebSocket, and the handler watches over it
	over     atomic.Bool         // the handler has returned, or another one has refused the request
	attempts retry.Attempts      // at sending it to nodes

	// The value of the first header that the handler and the transport set, see [rewrite.Rewriter.Set]. Each has a place of
	// its own, because net/http may still read the transport's when other handlers edit theirs.
	byHandler, byTransport [1]string
}

// admissionOf returns the admission of a request, or nil if the request is not let in (any more).
func admissionOf(ctx context.Context) *admission {
	// A variable of this name can also be set by `vars`, but not with a value of this type.
	a, ok := caddyhttp.GetVar(ctx, authenticatedVar).(*admission)
	if !ok || a.over.Load() {
		return nil
	}
	return a
}

// set sets the headers that follow from the admission, and returns their size. See [rewrite.Rewriter.Set] for first.
func (a *admission) set(h http.Header, first *[1]string) (size int) {
	if a.credential == nil {
		return a.own.Set(h, first)
	}
	return a.handler.rewriter.Set(h, a.credential, a.client.Headers, first)
}

// size returns the size of the headers that set would set.
func (a *admission) size() int {
	if a.credential == nil {
		return a.own.Size()
	}
	return a.handler.rewriter.Size(a.credential, a.client.Headers)
}

// wants returns who wants a credential.
func (a *admission) wants() *credential.Client {
	return wants(a.client, a.chain, a.notAfter)
}

// String returns the client's name, which Caddy shows for a placeholder of the variable.
func (a *admission) String() string {
	if a.client == nil {
		return ""
	}
	return a.client.Name()
}

// GoString returns the same as String, so that %#v does not show the token.
func (a *admission) GoString() string { return a.String() }
