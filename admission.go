package esjwt

import (
	"net/http"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
)

// announce tells the rest of Caddy who the client is: it sets the placeholder {http.auth.user.id}, which the
// access log has as user_id, more fields of the access log, and the variable that the transport reads.
func announce(r *http.Request, admitted *admission) {
	ctx := r.Context()
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Set("http.auth.user.id", admitted.client.Principal)
	}
	logDecision(r, admitted)
	caddyhttp.SetVar(ctx, authenticatedVar, admitted)
}

// logDecision puts what became of a request into the access log. If there are several decisions about a
// request, or several handlers, the last one is logged.
func logDecision(r *http.Request, decision *admission) {
	if fields, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		fields.Set(zap.Object("elasticsearch_jwt", decision))
	}
}

// admission is what became of a request, for the access log and for the transport.
type admission struct {
	handler       *Handler         // that let the request in; nil if none did
	client        *identity.Client // nil if the client has no certificate, but its own credentials
	kid           string           // of the key that signed the token
	reason        string           // of the refusal; empty if the request was let through
	maxHeaderSize int
	over          atomic.Bool // the next handler has returned

	header     [1]string // the value of the first header that is injected, see inject
	clientAuth []string  // ES-Client-Authentication, which the transport keeps out of the logs
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

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (a *admission) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	if a.reason != "" {
		enc.AddString("reason", a.reason)
	}
	if a.kid != "" {
		enc.AddString("kid", a.kid)
	}
	if a.client != nil {
		enc.AddString("certificate_serial", a.client.Serial)
	}
	return nil
}

// Interface guards
var _ zapcore.ObjectMarshaler = (*admission)(nil)
