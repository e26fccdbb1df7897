package esjwt_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

func TestAChangedAlgorithmIsThatOfTheNextSuccessor(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		before := startReplica(t, replicaConfig{storage: shared.view(t).config(), keys: storageKeys(`,"rotate_every":"2h"`)})
		first := before.kidsAndAlgorithms()
		before.stop()

		after := startReplica(t, replicaConfig{storage: shared.view(t).config(), keys: map[string]string{
			"default": `{"source":"storage","algorithm":"ES384","rotate_every":"2h"}`,
		}})
		require.Equal(t, first, after.kidsAndAlgorithms(), "what is published stays")
		time.Sleep(2*time.Hour + 10*time.Minute)
		keys := after.kidsAndAlgorithms()
		require.Equal(t, first, keys[:2])
		require.Len(t, keys, 3)
		require.True(t, strings.HasPrefix(keys[2], "ES384 "))
	})
}

// TestAChangedAlgorithmIsToldWithTheTimeItTakes: once for each key that signs until then.
func TestAChangedAlgorithmIsToldWithTheTimeItTakes(t *testing.T) {
	type line struct {
		Msg, Signing, Configured string
		Rotations                int
		From                     time.Time
	}
	told := func(r *replica) (lines []line) {
		for text := range strings.Lines(r.logs.String()) {
			var l line
			require.NoError(t, json.Unmarshal([]byte(text), &l))
			if strings.Contains(l.Msg, "algorithm and size that are configured") {
				require.Contains(t, l.Msg, "`caddy elasticsearch-jwt rotate default`")
				lines = append(lines, l)
			}
		}
		return lines
	}
	es := func(algorithm, every string) map[string]string {
		return map[string]string{"default": `{"source":"storage","algorithm":"` + algorithm + `","rotate_every":` + every +
			`}`}
	}
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		start := time.Now()
		before := startReplica(t, replicaConfig{storage: shared.view(t).config(), keys: es("ES256", `"2h"`)})
		time.Sleep(time.Minute)
		require.Empty(t, told(before), "nothing has changed")
		before.stop()

		after := startOperated(t, replicaConfig{storage: shared.view(t).config(), keys: es("ES384", `"2h"`)})
		time.Sleep(time.Hour)
		require.Len(t, told(after.replica), 1)
		first := told(after.replica)[0]
		require.WithinDuration(t, start.Add(4*time.Hour), first.From, time.Minute)
		first.From = time.Time{}
		require.Equal(t, line{Msg: first.Msg, Signing: "ES256", Configured: "ES384", Rotations: 2}, first)
		time.Sleep(2 * time.Hour)
		require.Len(t, told(after.replica), 2)
		second := told(after.replica)[1]
		require.Equal(t, 1, second.Rotations)
		require.WithinDuration(t, start.Add(4*time.Hour), second.From, time.Minute)
		time.Sleep(30 * time.Hour)
		require.Len(t, told(after.replica), 2, "it has taken effect")
		require.Contains(t, after.kidsAndAlgorithms()[0], "ES384 ")
		after.stop()

		// To hurry, somebody rotates as often.
		never := startOperated(t, replicaConfig{storage: shared.view(t).config(), keys: es("ES256", "-1")})
		time.Sleep(time.Minute)
		require.Len(t, told(never.replica), 1)
		require.Zero(t, told(never.replica)[0].From, "if nobody does, it never takes effect")
		for range told(never.replica)[0].Rotations {
			never.rotate()
			time.Sleep(5 * time.Minute)
		}
		for _, key := range never.status().Keys {
			if key.State == "signing" {
				require.Equal(t, "ES256", key.Algorithm)
			}
		}
	})
}

func TestTheSizeOfAnRSAKeyIsPartOfWhatIsConfigured(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		for i, size := range []string{"2048", "2048", "3072"} {
			r := startReplica(t, replicaConfig{
				storage: shared.view(t).config(),
				keys:    map[string]string{"default": `{"source":"storage","key_size":` + size + `}`},
			})
			r.signs()
			synctest.Wait()
			r.stop()
			require.Equal(t, i == 2, strings.Contains(r.logs.String(),
				`"signing":"RS256 with 2048 bits","configured":"RS256 with 3072 bits"`))
		}
	})
}
