package keyset

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	rng "crypto/rand"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// TestAKeyThatIsOnlyPublishedNeverSigns, wherever it stands, and also where it was known before as one that
// signs: it has no private half any more.
func TestAKeyThatIsOnlyPublishedNeverSigns(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		some := func() (fixed []keys.Fixed, signs bool) {
			for i := range 1 + random.IntN(5) {
				key := keys.Fixed{Key: fakeKey(fmt.Sprint(i)), Signs: random.IntN(2) == 0}
				signs = signs || key.Signs
				fixed = append(fixed, key)
			}
			return fixed, signs
		}
		before, _ := some()
		fixed, signs := some()
		s := updateFixed(newFixedSchedule(before, time.Time{}), fixed, epoch)
		for h := -30; h <= 30; h++ {
			now := at(time.Duration(h) * hour)
			signing := s.Signing(now)
			require.Equal(t, signs, signing != nil, "seed %d, hour %d", seed, h)
			require.Len(t, s.Published(now), len(fixed))
			if !signs {
				continue
			}
			for what, chosen := range map[string]*keys.Timed{"signing": signing, "window": s.SigningFor(now, now)} {
				i := slices.IndexFunc(fixed, func(key keys.Fixed) bool { return key.Is(chosen.Key) })
				require.True(t, fixed[i].Signs, "seed %d, %s, hour %d", seed, what, h)
			}
		}
	}
}

// TestAnAnswerThatNoSetCanUseIsAFaultOfTheSource.
func TestAnAnswerThatNoSetCanUseIsAFaultOfTheSource(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rng.Reader)
	require.NoError(t, err)
	whole, err := keys.NewKey(jose.ES256, private)
	require.NoError(t, err)
	half, err := keys.NewPublicKey(jose.ES256, private.Public())
	require.NoError(t, err)
	for text, answer := range map[string]keys.Answer{
		"":                             {Fixed: []keys.Fixed{{Key: half}, {Key: whole, Signs: true}}},
		"cannot be the one that signs": {Fixed: []keys.Fixed{{Key: half, Signs: true}}},
		"a timed key must":             {Timed: []keys.Timed{{Key: half}}},
		"no key to sign with":          {Fixed: []keys.Fixed{{Key: half}}},
		"the source has no key":        {},
		"which no set can have": {
			Fixed: []keys.Fixed{{Key: whole, Signs: true}}, Timed: []keys.Timed{{Key: whole}},
		},
	} {
		if text == "" {
			require.NoError(t, answer.Check())
		} else {
			require.ErrorContains(t, answer.Check(), text)
		}
	}
	_, err = half.Sign([]byte("{}"))
	require.ErrorContains(t, err, "has no private half")
}
