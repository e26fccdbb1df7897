package keyset

import (
	"reflect"
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

// TestARecordThatSaysSomethingElseIsNoticed, whichever of its fields it is.
func TestARecordThatSaysSomethingElseIsNoticed(t *testing.T) {
	require.True(t, sameRecord(keys.Timed{}, keys.Timed{}))
	for field := range reflect.TypeFor[keys.Timed]().Fields() {
		t.Run(field.Name, func(t *testing.T) {
			var other keys.Timed
			value, is := reflect.ValueOf(&other).Elem().FieldByIndex(field.Index), any(nil)
			switch value.Interface().(type) {
			case *keys.Key:
				is = new(keys.Key)
			case time.Time:
				is = at(time.Hour)
			case time.Duration:
				is = time.Hour
			case int:
				is = 1
			case bool:
				is = true
			case []string:
				is = []string{"a"}
			}
			value.Set(reflect.ValueOf(is))
			require.False(t, sameRecord(keys.Timed{}, other))
			require.True(t, sameRecord(other, other))
		})
	}
}
