package hanging_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/singleflight"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// TestWhoeverWaitsLeavesFirst: a call that hangs holds nobody.
func TestWhoeverWaitsLeavesFirst(t *testing.T) {
	slow, gone, failed := errors.New("slow"), errors.New("gone"), errors.New("failed")
	bubble.Test(t, func(t *testing.T) {
		result := make(chan singleflight.Result, 1)
		began := time.Now()
		_, err := hanging.Wait(t.Context(), result, time.Second, slow)
		require.ErrorIs(t, err, slow)
		require.Equal(t, time.Second, time.Since(began))

		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(gone)
		_, err = hanging.Wait(ctx, result, time.Second, slow)
		require.ErrorIs(t, err, gone)

		result <- singleflight.Result{Val: 1, Err: failed}
		got, err := hanging.Wait(t.Context(), result, time.Second, slow)
		require.ErrorIs(t, err, failed)
		require.Equal(t, 1, got)
	})
}
