package esjwt

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAKeyThatIsOnlyPublishedNeverSigns, wherever it stands, whatever its record says, and also where it
// was known before as one that signs: it has no private half.
func TestAKeyThatIsOnlyPublishedNeverSigns(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		instant := func() time.Time {
			if random.IntN(3) == 0 {
				return time.Time{}
			}
			return at(time.Duration(random.IntN(40)-20) * hour)
		}
		var records, before []KeyRecord
		signers := 0
		for i := range 1 + random.IntN(5) {
			r := turn(fmt.Sprint(i), random.IntN(4), time.Duration(random.IntN(40)-20)*hour)
			if random.IntN(2) == 0 {
				before = append(before, r) // when it could sign yet
			}
			r.Key = fakeKey(r.ID)
			r.onlyPublished = random.IntN(2) == 0
			if !r.onlyPublished {
				signers++
			}
			r.SignsFrom, r.Promoted = instant(), instant()
			if random.IntN(4) == 0 {
				r.Revoked = instant()
			}
			records = append(records, r)
		}
		fresh := slices.Clone(records)
		if before != nil {
			fresh = merge(newSchedule(before, time.Time{}), fresh, epoch)
		}
		s := newSchedule(fresh, time.Time{})
		for h := -30; h <= 30; h++ {
			now := at(time.Duration(h) * hour)
			signing := s.signing(now)
			next, _ := s.next(now)
			for what, chosen := range map[string]*KeyRecord{"signing": signing, "window": s.signingWindow(now, now), "next": next} {
				if chosen != nil {
					require.False(t, chosen.onlyPublished, "seed %d, %s, hour %d", seed, what, h)
				}
			}
			revoked := 0
			for i := range s.records {
				if r := &s.records[i]; !r.onlyPublished && r.revokedAt(now) {
					revoked++
				}
			}
			require.Equal(t, signers > revoked, signing != nil, "seed %d, hour %d", seed, h)
		}
	}
}

// TestASetOfPublicKeysHasNoneToSignWith: that is for the source to refuse.
func TestASetOfPublicKeysHasNoneToSignWith(t *testing.T) {
	s := newSchedule([]KeyRecord{with(turn("a", 1, 0), func(r *KeyRecord) { r.onlyPublished = true })}, time.Time{})
	require.Nil(t, s.signing(epoch))
	require.Equal(t, []string{"a"}, idsOf(s.published(epoch)))
	_, err := s.records[0].Sign([]byte("{}"))
	require.ErrorContains(t, err, "the key a has no private half")
}
