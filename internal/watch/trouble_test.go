package watch_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// TestTroubleIsToldForAsLongAsItLasts: one line in the log, hours ago, is what nobody sees.
func TestTroubleIsToldForAsLongAsItLasts(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		trouble := watch.NewTrouble("denied.txt", zap.New(core))
		told := func() (lines []string) {
			for _, entry := range logs.TakeAll() {
				require.Equal(t, "denied.txt", entry.ContextMap()["source"])
				lines = append(lines, entry.Level.String()+": "+entry.Message)
			}
			return lines
		}
		const (
			begins = "error: the source cannot be read or used; what was read before goes on"
			lasts  = "warn: the source still cannot be read or used; what was read before goes on"
			ends   = "info: the source can be read and used again"
		)
		trouble.Note(nil, true)
		require.Empty(t, told())
		require.False(t, trouble.Has())

		bad, worse := errors.New("bad"), errors.New("worse")
		for minute := range 3 {
			for second := 0; second < 60; second += 3 {
				trouble.Note(bad, true)
				require.True(t, trouble.Has())
				time.Sleep(3 * time.Second)
			}
			require.Equal(t, []string{[]string{begins, lasts, lasts}[minute]}, told())
		}
		trouble.Note(worse, true)
		require.Equal(t, []string{begins}, told(), "it is another trouble")
		trouble.Note(nil, true)
		trouble.Note(nil, true)
		require.Equal(t, []string{ends}, told())
		require.False(t, trouble.Has())

		trouble.Note(worse, false)
		require.Equal(t, []string{"error: the source cannot be read or used; nothing was read before"}, told())
	})
}
