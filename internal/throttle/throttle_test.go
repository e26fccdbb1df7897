package throttle_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/throttle"
)

// TestAThingIsLoggedOnceAMinute, with how often it happened since.
func TestAThingIsLoggedOnceAMinute(t *testing.T) {
	var th throttle.Throttle
	at := func(d time.Duration) time.Time { return time.Unix(1_700_000_000, 0).Add(d) }
	for _, c := range []struct {
		what  string
		at    time.Duration
		times int // 0: not logged
	}{
		{"a", 0, 1},
		{"a", time.Second, 0},
		{"b", time.Second, 1},
		{"a", 59 * time.Second, 0},
		{"a", time.Minute, 3},
		{"a", time.Minute, 0},
		{"a", time.Hour, 2},
		{"b", time.Hour, 1},
	} {
		times, due := th.Due(c.what, at(c.at))
		require.Equal(t, c.times > 0, due, "%s at %s", c.what, c.at)
		require.Equal(t, c.times, times, "%s at %s", c.what, c.at)
	}
}

// TestManyThingsDoNotFillTheMemory, nor the log: those that have no room are logged as one.
func TestManyThingsDoNotFillTheMemory(t *testing.T) {
	var th throttle.Throttle
	now := time.Unix(1_700_000_000, 0)
	logged := 0
	for i := range 10_000 {
		if _, due := th.Due(strconv.Itoa(i), now); due {
			logged++
		}
	}
	require.Less(t, logged, 300)
	_, due := th.Due("something else", now.Add(throttle.Interval))
	require.True(t, due, "a minute later there is room again")
}
