package storage

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/keytest"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

func FuzzDecodeKey(f *testing.F) {
	for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.RS256, jose.PS512} {
		private := keytest.Generate(f, alg)
		key, err := keys.NewKey(alg, private)
		require.NoError(f, err)
		object, err := encodeKey(keyObject{Timed: keys.Timed{
			Key: key, Turn: 3, Created: instant(0), SignsFrom: instant(time.Hour), Appears: instant(time.Minute),
			Replaces: []string{"another", "third"}, ReplacesFrom: instant(0), Grace: time.Hour,
		}, promotion: promotion{Promotes: "another", PromotesFrom: instant(0)}, history: history{
			Knows: []string{"another", "third"}, Unread: map[string]int{"lost": 2},
			Revocations: []revocation{{By: "third", Turn: 1, Created: instant(0), Replaces: []string{keys.ReplacesAll}}},
		}}, private)
		require.NoError(f, err)
		f.Add(object)
		f.Add(ofVersion(object, storedVersion-1))
		f.Add(ofVersion(object, storedVersion+1))
		f.Add(bytes.ReplaceAll(object, []byte(`"grace_seconds": 3600`), []byte(`"grace_seconds": 9223372036854775807`)))
		f.Add(bytes.ReplaceAll(object, []byte(`"turn": 3`), []byte(`"turn": 9223372036854775807`)))
		f.Add(object[:len(object)-1])
	}
	f.Add(fmt.Appendf(nil, `{"version":%d,"key":{"kty":"oct","k":"AAAA"}}`, storedVersion))
	f.Add([]byte(`null`))

	f.Fuzz(func(t *testing.T, object []byte) {
		record, err := decodeKey(object)
		if err != nil {
			keytest.RequireNoSecretOf(t, object, err)
			object = reseal(object) // what the checksum keeps out otherwise
			if record, err = decodeKey(object); err != nil {
				keytest.RequireNoSecretOf(t, object, err)
				return
			}
		}
		require.Positive(t, record.Turn)
		require.Positive(t, record.Turn+1)
		require.GreaterOrEqual(t, record.Grace, time.Duration(0))
		require.False(t, record.Created.IsZero())
		require.True(t, record.ReplacesFrom.IsZero() || !record.Appears.Before(record.ReplacesFrom),
			"what it replaces would leave the JWKS while it signs")
		require.Equal(t, record.Promotes == "", record.PromotesFrom.IsZero())
		require.True(t, record.Public.IsPublic(), "the JWKS would show the private key")
		thumbprint, err := record.Public.Thumbprint(crypto.SHA256)
		require.NoError(t, err)
		require.Equal(t, base64.RawURLEncoding.EncodeToString(thumbprint), record.ID)
		require.NoError(t, record.Check())
	})
}

func FuzzDecodeRevocation(f *testing.F) {
	for _, v := range []revocation{
		{
			By: "a", Turn: 3, Created: instant(0), Appears: instant(time.Hour), Replaces: []string{"b", "c"},
			ReplacesFrom: instant(time.Minute),
		},
		{By: "a", Turn: 12, Created: instant(0), Replaces: []string{keys.ReplacesAll}},
	} {
		object, err := encodeRevocation(v)
		require.NoError(f, err)
		f.Add("a", object)
		f.Add("b", object)
		f.Add("a", object[:len(object)/2])
	}
	f.Fuzz(func(t *testing.T, kid string, object []byte) {
		v, err := decodeRevocation(kid, reseal(object))
		if err != nil {
			return
		}
		require.Equal(t, kid, v.By)
		require.Positive(t, v.Turn+1)
		require.NotEmpty(t, v.Replaces)
		require.False(t, keyset.Replaces(v.record(), v.record()), "it revokes itself")
	})
}

// ofVersion is a stored object as another release would write it.
func ofVersion(object []byte, version int) []byte {
	return reseal(bytes.Replace(object, fmt.Appendf(nil, `"version": %d`, storedVersion),
		fmt.Appendf(nil, `"version": %d`, version), 1))
}

// reseal gives a stored object the checksum of what it says, if it is one at all.
func reseal(object []byte) []byte {
	var members map[string]json.RawMessage
	sum, err := checksum(object)
	if err != nil || json.Unmarshal(object, &members) != nil || members == nil {
		return object
	}
	members["sha256"] = json.RawMessage(strconv.Quote(sum))
	resealed, err := json.Marshal(members)
	if err != nil {
		return object
	}
	return resealed
}
