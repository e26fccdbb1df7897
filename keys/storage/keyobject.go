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

// keySuffix ends the name of the object of a key.
const keySuffix = ".json"

// The highest values that are read, so that no sum of them overflows.
const (
	maxTurn  = 1 << 30
	maxGrace = int64(math.MaxInt64 / time.Second)
)

// keyObject is a key as it is stored: with the key that it promotes, and what its maker knew of earlier objects.
type keyObject struct {
	keys.Timed
	promotion
	history
}

// promotion is a rotation by hand: the turn of a key begins early. The key that is made at the same time, the next
// successor, says so.
type promotion struct {
	Promotes     string    `json:"promotes,omitempty"` // a kid; "" if the key promotes none
	PromotesFrom time.Time `json:"promotes_from,omitzero"`
}

// check checks a promotion that was read. It must be of a key that its maker knew.
func (p *promotion) check(knows []string) error {
	switch {
	case (p.Promotes == "") != p.PromotesFrom.IsZero():
		return errors.New("it promotes a key at no time, or none at some time")
	case p.Promotes != "" && !slices.Contains(knows, p.Promotes):
		return fmt.Errorf("it promotes %q, which is no key that it knows", p.Promotes)
	default:
		return nil
	}
}

// history is what the maker of a key knew of earlier objects. Because every new key has it, a revocation holds even if
// the object that decided it gets lost or damaged.
//
// For example, B replaces A, and C is made after B. C knows A and B, and has the revocation of A by B. If the object
// of B is lost, C still revokes A. And a replica that has read C knows that B revokes nothing but A, whatever has
// become of B's object.
type history struct {
	// Knows are the kids of the keys that the maker had read, and of those that their revocations name.
	Knows []string `json:"knows,omitempty"`

	// Unread are the kids of the objects that the maker could not read, each with the lowest turn that may sign in
	// spite of what the object could say.
	Unread map[string]int `json:"unread,omitempty"`

	// Revocations are all that the maker knew, except for those by keys that are older than every key it had read.
	Revocations []revocation `json:"revocations,omitempty"`
}

// check checks a history that was read, and that a key replaces no others than those that its maker knew.
func (h *history) check(replaces []string) error {
	for _, kid := range replaces {
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

// keyJSON is the stored form of a key.
type keyJSON struct {
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
	history
	Key json.RawMessage `json:"key"` // a private JWK (RFC 7517)
}

func encodeKey(key keyObject, private any) ([]byte, error) {
	jwk, err := json.Marshal(jose.JSONWebKey{
		Key: private, KeyID: key.ID, Algorithm: string(key.Algorithm), Use: "sig",
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the key %s: %w", key.ID, err)
	}
	stored := keyJSON{
		KeyID:        key.ID,
		Turn:         key.Turn,
		Created:      key.Created,
		SignsFrom:    key.SignsFrom,
		Appears:      key.Appears,
		Replaces:     key.Replaces,
		ReplacesFrom: key.ReplacesFrom,
		Grace:        int64(key.Grace / time.Second),
		promotion:    key.promotion,
		history:      key.history,
		Key:          jwk,
	}
	return seal(&stored, &stored.sealed)
}

// decodeKey decodes a stored key. No error has anything of the private key in it.
func decodeKey(object []byte) (keyObject, error) {
	var stored keyJSON
	if err := unseal(object, &stored); err != nil {
		return keyObject{}, err
	}
	key, err := decodeJWK(stored.Key)
	if err != nil {
		return keyObject{}, err
	}
	switch {
	case key.ID != stored.KeyID:
		return keyObject{}, fmt.Errorf("its kid is %q, but the thumbprint of its key is %q", stored.KeyID, key.ID)
	case stored.Created.IsZero() || stored.Turn < 1 || stored.Turn > maxTurn || stored.Grace < 0 ||
		stored.Grace > maxGrace:
		return keyObject{}, errors.New("its instants are missing or impossible")
	case !stored.ReplacesFrom.IsZero() && stored.Appears.Before(stored.ReplacesFrom):
		return keyObject{}, errors.New("what it replaces would leave the JWKS while it signs")
	}
	if err := key.Check(); err != nil {
		return keyObject{}, err
	}
	if err := stored.history.check(stored.Replaces); err != nil {
		return keyObject{}, err
	}
	if err := stored.promotion.check(stored.Knows); err != nil {
		return keyObject{}, err
	}
	return keyObject{keys.Timed{
		Key:          key,
		Turn:         stored.Turn,
		Created:      stored.Created,
		SignsFrom:    stored.SignsFrom,
		Appears:      stored.Appears,
		Replaces:     stored.Replaces,
		ReplacesFrom: stored.ReplacesFrom,
		Grace:        time.Duration(stored.Grace) * time.Second,
	}, stored.promotion, stored.history}, nil
}

// decodeJWK decodes a private JWK.
func decodeJWK(data []byte) (*keys.Key, error) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(data, &jwk); err != nil || jwk.IsPublic() || !jwk.Valid() {
		return nil, errors.New("its key is not a valid private JWK")
	}
	alg, err := keys.ParseAlgorithm(jwk.Algorithm, keys.AsymmetricAlgorithms)
	if err != nil {
		return nil, err
	}
	return keys.NewKey(alg, jwk.Key)
}
