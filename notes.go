package esjwt

import (
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/site"
)

// This file logs, once a minute, what the operator can mend about clients that no handler refuses: those whose TLS
// handshake fails, and those that are let in without a group or with credentials that do not count.

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
	message := "clients are being refused in the TLS handshake, where they learn no reason"
	if avoidable {
		message += ": for an answer, set client_auth { mode request } " +
			"and write `trust_pool file clients-ca.pem` into elasticsearch_jwt"
	}
	h.logger.Log(levelOf(identity.Reason(refusal.Reason)), message+" (this is logged once a minute)",
		zap.String("reason", refusal.Reason),
		zap.String("advice", refusal.Detail),
		zap.Int("times", times),
		zap.String("server_name", failed.ServerName),
		zap.Stringer("remote_addr", failed.RemoteAddr),
		zap.Error(refusal.Unwrap()),
	)
}

// noteGroupless logs now and then that clients have no group, and so most often no role: a node lets such a client in,
// and then refuses whatever it asks for. It is called when a token is signed, and costs no request.
func (h *Handler) noteGroupless(client *identity.Client) {
	if !client.Groupless {
		return
	}
	times, due := h.warnings.Due("groupless", time.Now())
	if !due {
		return
	}
	settings := strings.Join(h.identifier.GroupSettings(), ", ")
	h.logger.Info("clients have no group, since their certificates have nothing for "+settings+
		", so that a node gives them no roles but those that are mapped to their names: "+
		"issue certificates with groups, or write `groups off` if none are needed (this is logged once a minute)",
		zap.Int("times", times),
		zap.String("user", client.Name()),
		zap.String("certificate_serial", client.Serial),
	)
}

// noteReplaced notes that a client with a certificate has sent an Authorization of its own. That does no harm, but its
// user may believe that it counts.
func (h *Handler) noteReplaced(r *http.Request, client *identity.Client) {
	if times, due := h.warnings.Due("replaced", time.Now()); due {
		h.logger.Info("a client's own Authorization was replaced, since its certificate says who it is: "+
			"leave one of them out (this is logged once a minute)",
			zap.String("user", client.Name()),
			zap.Int("times", times),
			zap.String("remote_addr", r.RemoteAddr),
		)
	}
}
