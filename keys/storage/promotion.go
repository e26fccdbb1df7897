package storage

import (
	"errors"
	"fmt"
	"time"
)

// storedPromotion is an operator's decision that the turn of a key begins early. Like a key it is
// an object of its own, written once: <kid>.promoted.json.
type storedPromotion struct {
	sealed
	KeyID string    `json:"kid"`
	At    time.Time `json:"at"`
}

const promotedSuffix = ".promoted" + keySuffix

func encodePromotion(p storedPromotion) ([]byte, error) { return seal(&p, &p.sealed) }

// decodePromotion reads a stored promotion of a key.
func decodePromotion(kid string, object []byte) (storedPromotion, error) {
	var p storedPromotion
	if err := unseal(object, &p); err != nil {
		return storedPromotion{}, err
	}
	switch {
	case p.KeyID != kid:
		return storedPromotion{}, fmt.Errorf("it is about the key %q", p.KeyID)
	case p.At.IsZero():
		return storedPromotion{}, errors.New("its instant is missing")
	}
	return p, nil
}
