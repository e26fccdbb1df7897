package logfield_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/logfield"
)

func TestATimeIsWrittenInUTC(t *testing.T) {
	vienna := time.FixedZone("CET", 3600)
	at := time.Date(2026, 1, 31, 12, 0, 0, 999, vienna)
	require.Equal(t, zap.String("expires", "2026-01-31T11:00:00Z"), logfield.Time("expires", at))
	require.Equal(t, zap.Skip(), logfield.Time("expires", time.Time{}), "a time that is not known is left out")
}
