package storage

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// revocation is what a key that replaces others says of them. The key says it, a copy in an object of its own says
// it, <kid>.revokes.json, and so does every younger key. The copy is never deleted, so that an old key which comes
// back with a backup years later is still revoked.
type revocation struct {
	By           string    `json:"by"` // the kid of the key that replaces the others
	Turn         int       `json:"turn"`
	Created      time.Time `json:"created"`
	Appears      time.Time `json:"appears,omitzero"`
	Replaces     []string  `json:"replaces"`
	ReplacesFrom time.Time `json:"replaces_from,omitzero"`
}

// revocationBy returns what a key says of others; ok is false if it replaces none.
func revocationBy(r *keys.Timed) (v revocation, ok bool) {
	return revocation{
		By: r.ID, Turn: r.Turn, Created: r.Created, Appears: r.Appears,
		Replaces: r.Replaces, ReplacesFrom: r.ReplacesFrom,
	}, len(r.Replaces) > 0
}

// record returns the key that replaces the others, as far as the revocation knows it.
func (v *revocation) record() *keys.Timed {
	return &keys.Timed{
		Key: &keys.Key{ID: v.By}, Turn: v.Turn, Created: v.Created, Appears: v.Appears,
		Replaces: v.Replaces, ReplacesFrom: v.ReplacesFrom,
	}
}

// check checks a revocation that was read.
func (v *revocation) check() error {
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

func (v *revocation) equal(other *revocation) bool {
	return v.By == other.By && v.Turn == other.Turn && v.Created.Equal(other.Created) && v.Appears.Equal(other.Appears) &&
		v.ReplacesFrom.Equal(other.ReplacesFrom) && slices.Equal(v.Replaces, other.Replaces)
}

// revocationJSON is the stored form of the copy.
type revocationJSON struct {
	sealed
	revocation
}

// revokesSuffix ends the name of the copy.
const revokesSuffix = ".revokes" + keySuffix

func encodeRevocation(v revocation) ([]byte, error) {
	stored := revocationJSON{revocation: v}
	return seal(&stored, &stored.sealed)
}

// decodeRevocation decodes the copy of what a key says of others.
func decodeRevocation(kid string, object []byte) (revocation, error) {
	var stored revocationJSON
	if err := unseal(object, &stored); err != nil {
		return revocation{}, err
	}
	if stored.By != kid {
		return revocation{}, fmt.Errorf("it is about the key %q", stored.By)
	}
	return stored.revocation, stored.check()
}
