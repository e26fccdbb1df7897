package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// keySuffix ends the name of a stored key.
const keySuffix = ".json"

// What follows must not overflow.
const (
	maxTurn  = 1 << 30
	maxGrace = int64(math.MaxInt64 / time.Second)
)

// storedKey is a key as it is stored: with what its maker knew of the others.
type storedKey struct {
	keys.Timed
	promotion
	hindsight
}

// hindsight is what the maker of a key knew of the objects that were there before: it is how they,
// and what they revoke, outlive their loss.
type hindsight struct {
	// Knows are the kids of all keys that were known, or named by those.
	Knows []string `json:"knows,omitempty"`

	// Unread are the kids of objects that nobody could read, and the lowest turn that may sign in
	// spite of what they could say.
	Unread map[string]int `json:"unread,omitempty"`

	// Revocations are those of keys that are known, and of what is not older.
	Revocations []keyRevocation `json:"revocations,omitempty"`
}

// check checks what was read.
func (h *hindsight) check(r *keys.Timed) error {
	for _, kid := range r.Replaces {
		if kid == "" || kid != keys.ReplacesAll && !slices.Contains(h.Knows, kid) {
			return fmt.Errorf("it replaces %q, which is no key that it knows", kid)
		}
	}
	for i := range h.Revocations {
		if err := h.Revocations[i].check(); err != nil {
			return fmt.Errorf("a revocation in it: %w", err)
		}
	}
	for _, turn := range h.Unread {
		if turn < 1 || turn > maxTurn {
			return errors.New("its turns are impossible")
		}
	}
	return nil
}

// storedKeyJSON is the stored form of a key.
type storedKeyJSON struct {
	sealed
	KeyID        string    `json:"kid"`
	Turn         int       `json:"turn"`
	Created      time.Time `json:"created"`
	SignsFrom    time.Time `json:"signs_from,omitzero"`
	Appears      time.Time `json:"appears,omitzero"`
	Replaces     []string  `json:"replaces,omitempty"`
	ReplacesFrom time.Time `json:"replaces_from,omitzero"`
	Grace        int64     `json:"grace_seconds"`
	promotion
	hindsight
	Key json.RawMessage `json:"key"` // a private JWK (RFC 7517)
}

func encodeStoredKey(r storedKey, private any) ([]byte, error) {
	jwk, err := json.Marshal(jose.JSONWebKey{Key: private, KeyID: r.ID, Algorithm: string(r.Algorithm), Use: "sig"})
	if err != nil {
		return nil, fmt.Errorf("encoding the key %s: %w", r.ID, err)
	}
	stored := storedKeyJSON{
		KeyID:        r.ID,
		Turn:         r.Turn,
		Created:      r.Created,
		SignsFrom:    r.SignsFrom,
		Appears:      r.Appears,
		Replaces:     r.Replaces,
		ReplacesFrom: r.ReplacesFrom,
		Grace:        int64(r.Grace / time.Second),
		promotion:    r.promotion,
		hindsight:    r.hindsight,
		Key:          jwk,
	}
	return seal(&stored, &stored.sealed)
}

// decodeStoredKey reads a stored key. Nothing of the key is ever in an error.
func decodeStoredKey(object []byte) (storedKey, error) {
	var stored storedKeyJSON
	if err := unseal(object, &stored); err != nil {
		return storedKey{}, err
	}
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(stored.Key, &jwk); err != nil || jwk.IsPublic() || !jwk.Valid() {
		return storedKey{}, errors.New("its key is not a valid private JWK")
	}
	alg, err := keys.ParseAlgorithm(jwk.Algorithm, keys.AsymmetricAlgorithms)
	if err != nil {
		return storedKey{}, err
	}
	key, err := keys.NewKey(alg, jwk.Key)
	if err != nil {
		return storedKey{}, err
	}
	switch {
	case key.ID != stored.KeyID:
		return storedKey{}, fmt.Errorf("its kid is %q, but the thumbprint of its key is %q", stored.KeyID, key.ID)
	case stored.Created.IsZero() || stored.Turn < 1 || stored.Turn > maxTurn || stored.Grace < 0 || stored.Grace > maxGrace:
		return storedKey{}, errors.New("its instants are missing or impossible")
	case !stored.ReplacesFrom.IsZero() && stored.Appears.Before(stored.ReplacesFrom):
		return storedKey{}, errors.New("what it replaces would leave the JWKS while it signs")
	}
	if err := key.Check(); err != nil {
		return storedKey{}, err
	}
	record := keys.Timed{
		Key:          key,
		Turn:         stored.Turn,
		Created:      stored.Created,
		SignsFrom:    stored.SignsFrom,
		Appears:      stored.Appears,
		Replaces:     stored.Replaces,
		ReplacesFrom: stored.ReplacesFrom,
		Grace:        time.Duration(stored.Grace) * time.Second,
	}
	if err := stored.hindsight.check(&record); err != nil {
		return storedKey{}, err
	}
	if err := stored.promotion.check(stored.Knows); err != nil {
		return storedKey{}, err
	}
	return storedKey{record, stored.promotion, stored.hindsight}, nil
}
