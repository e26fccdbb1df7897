package turns_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/turns"
)

// TestOneAtATimeForAKeyAndFewInAll.
func TestOneAtATimeForAKeyAndFewInAll(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := turns.New[string](make(chan struct{}, 2))
		var mu sync.Mutex
		busy, most, all, mostAll := map[string]int{}, 0, 0, 0
		var wg sync.WaitGroup
		for i := range 40 {
			key := []string{"a", "b", "c", "d"}[i%4]
			wg.Go(func() {
				done, err := shared.Take(t.Context(), key)
				if err != nil {
					t.Error(err)
					return
				}
				defer done()
				mu.Lock()
				busy[key]++
				all++
				most, mostAll = max(most, busy[key]), max(mostAll, all)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				busy[key]--
				all--
				mu.Unlock()
			})
		}
		began := time.Now()
		wg.Wait()
		require.Equal(t, 1, most)
		require.Equal(t, 2, mostAll)
		require.Equal(t, 20*time.Second, time.Since(began), "those who wait for one key leave the places to the others")
	})
}

// TestWhoGivesUpTakesNothingAlong: neither the key nor a place.
func TestWhoGivesUpTakesNothingAlong(t *testing.T) {
	gone := errors.New("the client has gone")
	for _, key := range []string{"the same key", "another key"} {
		bubble.Test(t, func(t *testing.T) {
			shared := turns.New[string](make(chan struct{}, 1))
			done, err := shared.Take(t.Context(), "the same key")
			require.NoError(t, err)
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(gone) })
			_, err = shared.Take(ctx, key)
			require.ErrorIs(t, err, gone)
			done()
			for _, next := range []string{"the same key", "another key"} {
				done, err := shared.Take(t.Context(), next)
				require.NoError(t, err)
				done()
			}
			require.Zero(t, shared.Keys())
		})
	}
}
