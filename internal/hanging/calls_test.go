package hanging

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// TestCallsThatHangAreBounded over time: a driver that hangs for a month costs fewer threads than Go
// has.
func TestCallsThatHangAreBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var h Calls
		forever, calls := make(chan struct{}), new(atomic.Int64)
		timeout := errors.New("too slow")
		ask := func(answers bool) error {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, timeout)
			defer cancel()
			_, err := Call(ctx, &h, func() (int, error) {
				calls.Add(1)
				if !answers {
					<-forever
				}
				return 0, nil
			})
			return err
		}
		for range maxInRow {
			require.ErrorIs(t, ask(false), timeout)
		}
		for began := time.Now(); time.Since(began) < 30*24*time.Hour; time.Sleep(9 * time.Second) {
			require.Error(t, ask(false))
		}
		require.Less(t, calls.Load(), int64(9000))
		require.Greater(t, calls.Load(), int64(8000), "but it is asked")

		require.ErrorIs(t, ask(true), ErrTooMany)
		time.Sleep(longestPause)
		for range 100 {
			require.NoError(t, ask(true), "one answer is enough")
		}
		require.ErrorIs(t, ask(false), timeout)
		require.ErrorIs(t, ask(true), ErrTooMany, "there are many already")
		close(forever)
		synctest.Wait()
		require.Zero(t, h.hanging)

		forever = make(chan struct{})
		for range maxHanging / 2 {
			require.ErrorIs(t, ask(false), timeout, "calls that hang now and then")
			require.NoError(t, ask(true), "keep none from being made")
		}
		close(forever)
	})
}
