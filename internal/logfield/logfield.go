// Package logfield makes fields of log lines.
package logfield

import (
	"time"

	"go.uber.org/zap"
)

// Time returns a field with a time in RFC 3339, which people and other programs can read. (Caddy's encoders
// write a [zap.Time] as Unix seconds.) The field is left out if the time is zero.
func Time(name string, at time.Time) zap.Field {
	if at.IsZero() {
		return zap.Skip()
	}
	return zap.String(name, at.UTC().Format(time.RFC3339))
}
