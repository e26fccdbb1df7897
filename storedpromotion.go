package esjwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// storedPromotion is an operator's decision that the turn of a key begins early. Like a key it is
// an object of its own, written once: <kid>.promoted.json.
type storedPromotion struct {
	Version int       `json:"version"`
	KeyID   string    `json:"kid"`
	At      time.Time `json:"at"`
}

const promotedSuffix = ".promoted" + keySuffix

func encodePromotion(p storedPromotion) ([]byte, error) {
	p.Version = storedVersion
	return json.MarshalIndent(p, "", "\t")
}

// decodePromotion reads a stored promotion of a key.
func decodePromotion(kid string, object []byte) (storedPromotion, error) {
	var p storedPromotion
	dec := json.NewDecoder(bytes.NewReader(object))
	if err := dec.Decode(&p); err != nil {
		return storedPromotion{}, errors.New("it is not whole JSON of the right form")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return storedPromotion{}, errors.New("there is something after the record")
	}
	switch {
	case p.Version != storedVersion:
		return storedPromotion{}, fmt.Errorf("its version is %d and this release reads version %d: was it written by a newer one?", p.Version, storedVersion)
	case p.KeyID != kid:
		return storedPromotion{}, fmt.Errorf("it is about the key %q", p.KeyID)
	case p.At.IsZero():
		return storedPromotion{}, errors.New("its instant is missing")
	}
	return p, nil
}
