package esjwt

import (
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
)

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
