package keyset

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// TestAShorterLifetimeKeepsAKeyForTheTokensOfBefore, until these expire, and no longer, however often
// the keys are read.
func TestAShorterLifetimeKeepsAKeyForTheTokensOfBefore(t *testing.T) {
	key := &keys.Key{ID: "first"}
	record := func(grace time.Duration) []keys.Timed {
		return []keys.Timed{
			{Key: key, Turn: 1, Created: at(0), SignsFrom: at(0), Grace: grace},
			{Key: &keys.Key{ID: "second"}, Turn: 2, Created: at(0), SignsFrom: at(time.Hour), Grace: grace},
		}
	}
	before := NewSchedule(record(10 * time.Hour))
	for _, now := range []time.Duration{30 * time.Minute, 2 * time.Hour} {
		before = merge(before, record(time.Hour), at(now))
		require.Equal(t, at(10*time.Hour+30*time.Minute), before.Retires(&before.Records[0]))
	}
}
