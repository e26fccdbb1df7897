package keys_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// TestAnswersThatNoSetCanUse: a fault of a source is an error, and never a panic of the process.
func TestAnswersThatNoSetCanUse(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	signs, err := keys.NewKey(jose.ES256, private)
	require.NoError(t, err)
	public, err := keys.NewPublicKey(jose.ES256, private.Public())
	require.NoError(t, err)

	fixed := []keys.Fixed{{Key: signs, Signs: true}}
	require.NoError(t, keys.Answer{Fixed: append(fixed, keys.Fixed{Key: public})}.Check())
	require.NoError(t, keys.Answer{Timed: []keys.Timed{{Key: signs}}}.Check())
	for _, c := range []struct {
		answer keys.Answer
		want   string
	}{
		{keys.Answer{}, "no key to sign with"},
		{keys.Answer{Fixed: []keys.Fixed{{Key: signs}}}, "no key to sign with"},
		{keys.Answer{Fixed: []keys.Fixed{{Signs: true}}}, "a key that is nil"},
		{keys.Answer{Timed: []keys.Timed{{}}}, "a key that is nil"},
		{keys.Answer{Fixed: []keys.Fixed{{Key: public, Signs: true}}}, "cannot be the one that signs"},
		{keys.Answer{Timed: []keys.Timed{{Key: public}}}, "a timed key must sign"},
		{keys.Answer{Fixed: fixed, Timed: []keys.Timed{{Key: signs}}}, "timed keys and fixed ones"},
	} {
		require.ErrorContains(t, c.answer.Check(), c.want)
	}
}

func TestASharedSecretHasNoHalvesToCheck(t *testing.T) {
	secret, err := keys.NewKey(jose.HS256, make([]byte, 32))
	require.NoError(t, err)
	require.ErrorContains(t, secret.Check(), "no public half")
}

func TestAnUnknownKindOfFailureIsOther(t *testing.T) {
	unknown := keys.Failure(keys.FailureKinds)
	require.Equal(t, "other", unknown.String())
	err := keys.Failed(-1, errors.New("broken"))
	require.Equal(t, keys.OtherFailure, keys.FailureOf(err))
	require.True(t, keys.IsFailure(err))
	require.EqualError(t, err, "broken")
	for kind := range keys.Failure(keys.FailureKinds) {
		require.NotEmpty(t, kind.String())
		require.Equal(t, kind, keys.FailureOf(keys.Failed(kind, err)))
	}
}
