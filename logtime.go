package esjwt

import (
	"time"

	"go.uber.org/zap"
)

// logTime is a field with an instant as people and other programs read it (RFC 3339): Caddy's
// encoders write those of zap as Unix seconds. It is left out if there is no instant.
func logTime(name string, at time.Time) zap.Field {
	if at.IsZero() {
		return zap.Skip()
	}
	return zap.String(name, at.UTC().Format(time.RFC3339))
}
