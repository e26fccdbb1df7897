// Package logfield makes fields of log lines.
package logfield

import (
	"time"

	"go.uber.org/zap"
)

// Time returns a field with a time in RFC 3339 and UTC, as in 2026-01-31T12:00:00Z, which people and other programs
// can read. (Caddy writes a [zap.Time] as Unix seconds.) If the time is zero, the field is left out.
func Time(name string, at time.Time) zap.Field {
	if at.IsZero() {
		return zap.Skip()
	}
	return zap.String(name, at.UTC().Format(time.RFC3339))
}
