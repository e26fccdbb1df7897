package esjwt

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/site"
)

// noteHandshake counts and logs a TLS handshake that failed for the client's certificate. Where client_auth verifies,
// a certificate that it does not accept ends the handshake: the client gets an alert, and no handler hears of it.
func (h *Handler) noteHandshake(failed site.Handshake) {
	now := time.Now()
	refusal, avoidable := identity.OfHandshake(failed.Err, failed.Authorities(), now)
	if refusal == nil {
		return
	}
	metrics.handshakes.WithLabelValues(refusal.Reason).Inc()
	times, due := h.warnings.Due("handshake "+refusal.Error(), now)
	if !due {
		return
	}
	level := zapcore.WarnLevel
	if refusal.Reason == string(identity.NoCertificate) {
		level = zapcore.InfoLevel // any port scanner causes it
	}
	message := "clients are being refused in the TLS handshake, where they learn no reason"
	if avoidable {
		message += ": for an answer, set client_auth { mode request } " +
			"and write `trust_pool file clients-ca.pem` into elasticsearch_jwt"
	}
	h.logger.Log(level, message+" (this is logged once a minute)",
		zap.String("reason", refusal.Reason),
		zap.String("advice", refusal.Detail),
		zap.Int("times", times),
		zap.String("server_name", failed.ServerName),
		zap.Stringer("remote_addr", failed.RemoteAddr),
		zap.Error(refusal.Unwrap()),
	)
}
