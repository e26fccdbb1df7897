package storage

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// keyRevocation is what a key that replaces others says of them. The object of that key decides, and
// there is a copy of it in an object of its own, <kid>.revokes.json, and in every younger key: so
// it outlives each of these. Nobody deletes the copy; it is what an old key meets that comes back
// with a backup.
type keyRevocation struct {
	By           string    `json:"by"` // the kid of the key that replaces the others
	Turn         int       `json:"turn"`
	Created      time.Time `json:"created"`
	Appears      time.Time `json:"appears,omitzero"`
	Replaces     []string  `json:"replaces"`
	ReplacesFrom time.Time `json:"replaces_from,omitzero"`
}

// revocationBy is what a key says of others, if it replaces any.
func revocationBy(r *keys.Timed) (keyRevocation, bool) {
	return keyRevocation{
		By: r.ID, Turn: r.Turn, Created: r.Created, Appears: r.Appears,
		Replaces: r.Replaces, ReplacesFrom: r.ReplacesFrom,
	}, len(r.Replaces) > 0
}

// record is the key that replaces the others, as far as the revocation knows it.
func (v *keyRevocation) record() *keys.Timed {
	return &keys.Timed{
		Key: &keys.Key{ID: v.By}, Turn: v.Turn, Created: v.Created, Appears: v.Appears,
		Replaces: v.Replaces, ReplacesFrom: v.ReplacesFrom,
	}
}

// check checks the instants and names of a revocation that was read.
func (v *keyRevocation) check() error {
	switch {
	case v.By == "" || len(v.Replaces) == 0 || slices.Contains(v.Replaces, "") || slices.Contains(v.Replaces, v.By):
		return errors.New("it revokes nothing, or itself")
	case v.Created.IsZero() || v.Turn < 1 || v.Turn > maxTurn:
		return errors.New("its instants are missing or impossible")
	case !v.ReplacesFrom.IsZero() && v.Appears.Before(v.ReplacesFrom):
		return errors.New("what it replaces would leave the JWKS while it signs")
	}
	return nil
}

func (v *keyRevocation) equal(other *keyRevocation) bool {
	return v.By == other.By && v.Turn == other.Turn && v.Created.Equal(other.Created) && v.Appears.Equal(other.Appears) &&
		v.ReplacesFrom.Equal(other.ReplacesFrom) && slices.Equal(v.Replaces, other.Replaces)
}

// storedRevocation is the stored form of the copy.
type storedRevocation struct {
	sealed
	keyRevocation
}

const revokesSuffix = ".revokes" + keySuffix

func encodeRevocation(v keyRevocation) ([]byte, error) {
	stored := storedRevocation{keyRevocation: v}
	return seal(&stored, &stored.sealed)
}

// decodeRevocation reads the copy of what a key says of others.
func decodeRevocation(kid string, object []byte) (keyRevocation, error) {
	var stored storedRevocation
	if err := unseal(object, &stored); err != nil {
		return keyRevocation{}, err
	}
	if stored.By != kid {
		return keyRevocation{}, fmt.Errorf("it is about the key %q", stored.By)
	}
	return stored.keyRevocation, stored.check()
}
