package storage

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// TestTheVersionIsRaisedWithEachMember: a release that does not know a member must not take the object for
// one that it understands. Who adds one raises storedVersion, and then changes this list.
func TestTheVersionIsRaisedWithEachMember(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	key, err := keys.NewKey(jose.ES256, private)
	require.NoError(t, err)
	revokes := revocation{
		By: "a", Turn: 1, Created: instant(0), Appears: instant(2), Replaces: []string{"b"},
		ReplacesFrom: instant(1),
	}
	members := func(object []byte, err error) []string {
		require.NoError(t, err)
		var members map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(object, &members))
		return slices.Sorted(maps.Keys(members))
	}
	require.Equal(t, 3, storedVersion)
	require.Equal(t, []string{
		"appears", "created", "grace_seconds", "key", "kid", "knows", "promotes", "promotes_from", "replaces",
		"replaces_from", "revocations", "sha256", "signs_from", "turn", "unread", "version",
	}, members(encodeKey(keyObject{
		keys.Timed{
			Key: key, Turn: 1, Created: instant(0), SignsFrom: instant(3), Appears: instant(2), Replaces: []string{"b"},
			ReplacesFrom: instant(1), Grace: time.Hour,
		},
		promotion{"b", instant(1)},
		history{Knows: []string{"b"}, Unread: map[string]int{"c": 1}, Revocations: []revocation{revokes}},
	}, private)))
	require.Equal(t, []string{"appears", "by", "created", "replaces", "replaces_from", "sha256", "turn", "version"},
		members(encodeRevocation(revokes)))
}

// TestEachBitOfAnObjectIsChecked: one that is flipped is noticed, or says the same.
func TestEachBitOfAnObjectIsChecked(t *testing.T) {
	revokes := revocation{
		By: "a", Turn: 1, Created: instant(0), Appears: instant(2), Replaces: []string{"b", "c"},
		ReplacesFrom: instant(1),
	}
	object, err := encodeRevocation(revokes)
	require.NoError(t, err)
	for i := range object {
		for bit := range 8 {
			flipped := slices.Clone(object)
			flipped[i] ^= 1 << bit
			if read, err := decodeRevocation("a", flipped); err == nil {
				require.True(t, read.equal(&revokes), "%s", flipped)
			}
		}
		_, err := decodeRevocation("a", object[:i])
		require.Error(t, err)
	}
}
