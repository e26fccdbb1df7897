package hanging

import (
	"context"
	"time"

	"golang.org/x/sync/singleflight"
)

// Wait waits for the result of a call that others may wait for too, but no longer than a limit, after which it returns
// slow, or than the context lasts, whose cause it returns then.
func Wait(ctx context.Context, result <-chan singleflight.Result, limit time.Duration, slow error) (any, error) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case r := <-result:
		return r.Val, r.Err
	case <-timeout.C:
		return nil, slow
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
