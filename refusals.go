package esjwt

import (
	"crypto/x509"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/logfield"
)

// Refusal is the error of a request that was refused. It has the reason, and says what to do.
type Refusal = identity.Refusal

// The functions refuse… each make one refusal. Here are those that do not depend on the certificate; the others are
// in internal/identity/refusals.go.

func refuseNoPath() *Refusal {
	return identity.Refuse(identity.NoPath, "the request's target is not a path, has a blank in it, or is for "+
		"a tunnel (CONNECT): send it with a path that begins with a slash, with %%20 for a blank, and with another method")
}

func refuseNoCredentials() *Refusal {
	return identity.Refuse(identity.NoCertificate, "the client sent neither a certificate "+
		"nor exactly one Authorization of the kind Basic, ApiKey or Bearer "+
		"(and at most one ES-Client-Authentication): send one of them")
}

// withoutCertificate returns the refusal of a client without a certificate, with why it may have none: another one if
// the request or the configuration of the site tells that, or else the same.
func (h *Handler) withoutCertificate(r *http.Request, refusal *Refusal) *Refusal {
	if asksForKeys(r) {
		return refuseNoJWKS()
	}
	if h.optional {
		return refusal
	}
	if r.TLS == nil {
		return refuseWithoutTLS()
	}
	switch asks, known := h.server.Asks(r.TLS.ServerName); {
	case !known:
		return refusal
	case asks:
		return refuseNoneSent()
	default:
		return refuseNotAsked(h.identifier.VerifiesItself())
	}
}

func refuseWithoutTLS() *Refusal {
	return identity.Refuse(identity.NoCertificate, "the client sent no certificate, since the request came without TLS: "+
		"connect with https and a client certificate")
}

func refuseNoneSent() *Refusal {
	return identity.Refuse(identity.NoCertificate, "the client sent no certificate: "+
		"connect with TLS and a client certificate; this site asks for one, so if you gave your program one, "+
		"it has not sent it")
}

func refuseNotAsked(ownTrustPool bool) *Refusal {
	advice := "set client_auth { mode request }"
	if !ownTrustPool {
		advice += ", and give elasticsearch_jwt a trust_pool"
	}
	return identity.Refuse(identity.NoCertificate, "the client sent no certificate, since this site asks for none: %s",
		advice)
}

// refuseNoJWKS is for a node that asks for the JWKS at a path where there is none. It logs the status, and no more.
func refuseNoJWKS() *Refusal {
	return identity.Refuse(identity.NoCertificate, "the client sent no certificate, and there is no JWKS at this path: "+
		"if it is a node, write the path of elasticsearch_jwks into its pkc_jwkset_path or jwks_uri "+
		"(it is /.well-known/jwks.json unless `path` is set); if not, connect with a client certificate")
}

// asksForKeys reports whether a request looks like one for a JWKS.
func asksForKeys(r *http.Request) bool {
	path := strings.ToLower(r.URL.Path)
	return r.Method == http.MethodGet && (strings.HasPrefix(path, "/.well-known/") || strings.Contains(path, "jwk"))
}

func refuseReplayedToken() *Refusal {
	return identity.Refuse(identity.ReplayedToken, "the token is one of this proxy's, "+
		"which are good only together with their certificate: connect with that, and send no token")
}

func refuseCredentialAPI() *Refusal {
	return identity.Refuse(identity.RefusedAPI, "this request could make a credential "+
		"that outlives the client's certificate, and such requests do not go on from here: "+
		"use the certificate itself, or ask the operator for a credential")
}

func refuseTooLarge(limit int) *Refusal {
	return identity.Refuse(identity.TooLarge, "the headers of the request, with those that the proxy adds, "+
		"would have more than the %d bytes that the cluster reads: "+
		"send fewer or shorter ones, such as cookies; "+
		"if http.max_header_size is larger, say so with max_header_size", limit)
}

// refuseNotAdmitted says which mistake in the routes has most likely led a request to the transport.
func refuseNotAdmitted(r *http.Request) *Refusal {
	ctx := r.Context()
	refused := false
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		_, refused = repl.Get("http.elasticsearch_jwt.reason")
	}
	switch _, ended := caddyhttp.GetVar(ctx, authenticatedVar).(*admission); {
	case refused:
		return identity.Refuse(identity.NotAdmitted, "elasticsearch_jwt has refused the request, and it came here all the "+
			"same: take this reverse_proxy out of handle_errors")
	case ended:
		return identity.Refuse(identity.NotAdmitted, "elasticsearch_jwt had let the request in, but that is over: "+
			"take this reverse_proxy out of handle_errors")
	default:
		return identity.Refuse(identity.NotAdmitted, "no elasticsearch_jwt has seen the request: "+
			"put one in front of this reverse_proxy, into the same handle or route block; inside route, above it")
	}
}

// refuseNoKey keeps err from the client. The log has it.
func refuseNoKey(err error) *Refusal {
	return identity.Refuse(identity.NoKey, "there is no key to sign with right now: "+
		"try again, or see the log of elasticsearch_jwt").From(err)
}

// The refusals that end an upgraded connection, such as one for WebSocket.

func refuseEndedConfiguration() *Refusal {
	return identity.Refuse(identity.Unverified, "the configuration that let the client in has ended: connect anew")
}

func refuseOtherClient() *Refusal {
	return identity.Refuse(identity.Unverified, "the certificate stands for something else "+
		"than when the connection was opened: connect anew")
}

// refused notes that a request is refused: it counts the refusal, logs it, and sets the placeholder
// {http.elasticsearch_jwt.reason}. It returns the refusal as an error of Caddy's.
func (h *Handler) refused(r *http.Request, refusal *Refusal) error {
	metrics.refused(identity.Reason(refusal.Reason))
	logDecision(r, &decision{certificate: certificateOf(r), reason: refusal.Reason})
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Set("http.elasticsearch_jwt.reason", refusal.Reason)
	}
	h.logRefusal(r, refusal, "clients are being refused (this is logged once a minute)")
	return caddyhttp.Error(identity.Reason(refusal.Reason).Status(), refusal)
}

// certificateOf returns the certificate that a client sent, or nil.
func certificateOf(r *http.Request) *x509.Certificate {
	if identity.HasNoCertificate(r.TLS) {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

// logRefusal logs a refusal, because often only the operator can do something about it. It does so once a minute for
// each message, reason and advice. The others in that minute are logged at the level DEBUG.
func (h *Handler) logRefusal(r *http.Request, refusal *Refusal, message string, more ...zap.Field) {
	times, due := h.warnings.Due(message+": "+refusal.Error(), time.Now())
	level := levelOf(identity.Reason(refusal.Reason))
	if !due {
		times, level, message = 1, zapcore.DebugLevel, "a client was refused"
	}
	line := h.logger.Check(level, message)
	if line == nil {
		return
	}
	fields := []zap.Field{
		zap.String("reason", refusal.Reason),
		zap.String("advice", refusal.Detail),
		zap.Int("times", times),
		zap.String("remote_addr", r.RemoteAddr),
		zap.Error(refusal.Unwrap()),
	}
	if cert := certificateOf(r); cert != nil {
		fields = append(fields,
			zap.String("certificate_serial", identity.Serial(cert)),
			logfield.Time("certificate_not_after", cert.NotAfter))
	}
	line.Write(append(fields, more...)...)
}

// levelOf returns the level at which a refusal is logged. That a client has no certificate is no more than a note,
// because any port scanner causes it. That there is no key is an error, because nobody gets in.
func levelOf(reason identity.Reason) zapcore.Level {
	switch reason {
	case identity.NoCertificate:
		return zapcore.InfoLevel
	case identity.NoKey:
		return zapcore.ErrorLevel
	default:
		return zapcore.WarnLevel
	}
}
