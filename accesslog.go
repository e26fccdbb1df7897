package esjwt

import (
	"crypto/x509"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/logfield"
)

// decision is what was decided about a request, as far as the access log has it.
type decision struct {
	certificate *x509.Certificate      // that the client sent; nil if it sent none
	credential  *credential.Credential // of the client; nil if it has none of ours
	reason      string                 // of the refusal; empty if the request was let in
}

// kid returns the ID of the key that signed the token, or nothing if there is none.
func (d *decision) kid() string {
	if d.credential == nil {
		return ""
	}
	return d.credential.KeyID
}

// logDecision puts a decision about a request into the access log. If there are several, as of two handlers, the last
// one is logged.
func logDecision(r *http.Request, d *decision) {
	if fields, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		fields.Set(zap.Object("elasticsearch_jwt", d))
	}
}

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (d *decision) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	if d.reason != "" {
		enc.AddString("reason", d.reason)
	}
	if kid := d.kid(); kid != "" {
		enc.AddString("kid", kid)
	}
	if d.credential != nil && d.credential.ID != "" {
		enc.AddString("credential_id", d.credential.ID)
	}
	if d.certificate != nil {
		enc.AddString("certificate_serial", identity.Serial(d.certificate))
		logfield.Time("certificate_not_after", d.certificate.NotAfter).AddTo(enc)
	}
	return nil
}

// Interface guards
var _ zapcore.ObjectMarshaler = (*decision)(nil)
