package hanging

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

func TestALeaseHasOneHolder(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var lease Lease
		release := lease.Acquire()
		acquired := false
		go func() {
			defer lease.Acquire()()
			acquired = true
		}()
		time.Sleep(timing.SignatureTimeout - time.Second)
		synctest.Wait()
		require.False(t, acquired, "the others wait")
		release()
		synctest.Wait()
		require.True(t, acquired, "until it is given back")
	})
}

func TestAHolderThatHangsLosesItsLease(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var lease Lease
		began := time.Now()
		hangs := lease.Acquire()
		second := lease.Acquire()
		require.Equal(t, timing.SignatureTimeout, time.Since(began))

		hangs() // it comes back late, and takes nothing away from the second
		acquired := false
		go func() {
			defer lease.Acquire()()
			acquired = true
		}()
		synctest.Wait()
		require.False(t, acquired)
		second()
		synctest.Wait()
		require.True(t, acquired)
	})
}
