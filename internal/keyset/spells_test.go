package keyset

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// TestTheSpellsOfARevokedKeyAndOfTwoOfOneTurn is the example at chooseSigning.
func TestTheSpellsOfARevokedKeyAndOfTwoOfOneTurn(t *testing.T) {
	const half = 30 * time.Minute
	never := time.Time{}
	for _, test := range []struct {
		a, b, c time.Time // when they are revoked
		want    string
	}{
		{never, never, never, "a, a from 8:00, b from 9:00"},
		{at(8*hour + half), never, never, "a, a from 8:00, b from 8:30"},
		{never, at(8*hour + half), never, "a, a from 8:00, c from 9:00"},
		{never, at(9*hour + half), never, "a, a from 8:00, b from 9:00, c from 9:30"},
		{never, at(9*hour + half), at(10 * hour), "a, a from 8:00, b from 9:00, c from 9:30, a from 10:00"},
	} {
		a, b, c := turn("a", 1, 8*hour), turn("b", 2, 9*hour), turn("c", 2, 9*hour)
		a.Revoked, b.Revoked, c.Revoked, c.Created = test.a, test.b, test.c, c.Created.Add(1)
		var got string
		for i, spell := range NewSchedule([]keys.Timed{a, b, c}).spells {
			if i > 0 {
				got += ", "
			}
			got += idOf(spell.signing)
			if i > 0 {
				got += spell.from.Format(" from 3:04")
			}
		}
		require.Equal(t, test.want, got)
	}
}

// TestTheSpellsSayWhatIsChosenAtEachInstant, also between their beginnings and exactly at them.
func TestTheSpellsSayWhatIsChosenAtEachInstant(t *testing.T) {
	const hours = 8
	for seed := range uint64(1000) {
		random := rand.New(rand.NewPCG(seed, 1))
		some := func() time.Time {
			if random.IntN(2) == 0 {
				return time.Time{}
			}
			return at(time.Duration(random.IntN(hours)) * hour)
		}
		var records []keys.Timed
		for i := range 1 + random.IntN(6) {
			r := turn(fmt.Sprint(i), 1+random.IntN(4), time.Duration(random.IntN(hours))*hour)
			r.Promoted, r.Revoked, r.Suspended = some(), some(), random.IntN(6) == 0
			if random.IntN(3) == 0 {
				r.SignsFrom = time.Time{}
			}
			if random.IntN(4) == 0 {
				r.Replaces, r.Appears = []string{fmt.Sprint(random.IntN(6))}, some()
			}
			records = append(records, r)
		}
		s := NewSchedule(records)
		for full := at(-hour); full.Before(at(hours * hour)); full = full.Add(hour) {
			for _, now := range []time.Time{full.Add(-1), full, full.Add(1)} {
				require.Same(t, s.chooseSigning(now), s.Signing(now), "seed %d, %s", seed, now)
			}
		}
	}
}
