package timing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

var (
	never  time.Time
	eight  = time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)
	nine   = eight.Add(time.Hour)
	ten    = nine.Add(time.Hour)
	moment = time.Nanosecond
)

func TestReached(t *testing.T) {
	tests := map[string]struct {
		instant, now time.Time
		want         bool
	}{
		"before":           {nine, nine.Add(-moment), false},
		"at that moment":   {nine, nine, true},
		"after":            {nine, ten, true},
		"never":            {never, ten, false},
		"never, from ever": {never, never, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, timing.Reached(test.instant, test.now)) })
	}
}

func TestEarliestAfter(t *testing.T) {
	tests := map[string]struct {
		after    time.Time
		instants []time.Time
		want     time.Time
	}{
		"none":                       {eight, nil, never},
		"the earlier one":            {eight, []time.Time{ten, nine}, nine},
		"not the moment itself":      {nine, []time.Time{nine, ten}, ten},
		"none is left":               {ten, []time.Time{eight, nine, ten}, never},
		"never is not early":         {never, []time.Time{never, nine, never}, nine},
		"the earlier one of any two": {never, []time.Time{ten, eight}, eight},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, timing.EarliestAfter(test.after, test.instants...))
		})
	}
}

func TestLater(t *testing.T) {
	require.Equal(t, nine, timing.Later(eight, nine))
	require.Equal(t, nine, timing.Later(nine, eight))
	require.Equal(t, nine, timing.Later(never, nine), "the zero time is before all others")
}

// TestTheTimesFitTogether holds what the comments of the constants say about each other.
func TestTheTimesFitTogether(t *testing.T) {
	require.Less(t, timing.PollTimeout, 30*time.Second, "a poll ends before the next one")
	require.Greater(t, timing.LeadTime(timing.DefaultMaxAge), timing.DefaultMaxAge+timing.PollInterval*11/10,
		"every replica has polled a key, and every cache has it, before it signs")
	require.LessOrEqual(t, timing.DefaultLifetime, timing.MaxLifetime)
	require.GreaterOrEqual(t, timing.DefaultLifetime, timing.MinLifetime)
	require.Greater(t, timing.MinLifetime/2, timing.MinRemaining,
		"a client that keeps a token for half its life never has one that is too old")
	require.GreaterOrEqual(t, timing.DefaultRotateEvery, timing.MinRotateEvery)
}
