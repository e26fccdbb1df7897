package esjwt

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/logfield"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/signer"
)

// auditor returns a function that logs each credential that is made, with the certificate that it is made for.
func (h *Handler) auditor(client *identity.Client, leaf *x509.Certificate) func(*credential.Credential) {
	return func(c *credential.Credential) {
		fingerprint := sha256.Sum256(leaf.Raw)
		fields := []zap.Field{
			zap.String("user", client.Name()),
			zap.String("certificate_serial", client.Serial),
			zap.String("certificate_fingerprint", hex.EncodeToString(fingerprint[:])),
			logfield.Time("certificate_not_after", leaf.NotAfter),
		}
		made := "credential made"
		if c.Found {
			made = "credential found"
		}
		h.logMade("token signed", made, client, c, fields)
		if h.cache == nil {
			h.noteGroupless(client)
		}
	}
}

// logMade logs a credential that is made: as signed if it is a token, and as made if it is none.
func (h *Handler) logMade(
	signed, made string, client *identity.Client, c *credential.Credential, fields []zap.Field,
) {
	if h.cache != nil {
		fields = append(fields,
			zap.String("kind", h.credentialKind()),
			zap.Strings("groups", client.Groups),
			zap.String("credential_id", c.ID))
		if c.Until < never {
			fields = append(fields, logfield.Time("expires", time.Unix(c.Until, 0)))
		}
		h.audit.Info(made, fields...)
		return
	}
	h.audit.Info(signed, append(fields,
		zap.String("issuer", h.Issuer),
		zap.String("keys", h.Keys),
		zap.String("kid", c.KeyID),
		logfield.Time("not_before", time.Unix(signer.NotBefore(c), 0)),
		logfield.Time("expires", time.Unix(c.Until, 0)),
	)...)
}

// logRenewed warns that nodes refuse credentials, which are replaced.
func (h *Handler) logRenewed(user string, times int) {
	h.logger.Warn("a node refuses credentials that it gave out itself; others were made "+
		"(this is logged once a minute)",
		zap.String("kind", h.credentialKind()),
		zap.String("user", user),
		zap.Int("times", times),
		zap.String("advice", "somebody else may delete them, or the cluster was restored from a snapshot: "+
			"see the audit log of the cluster"),
	)
}
