package esjwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keySuffix ends the name of a stored key.
const keySuffix = ".json"

// storedVersion is the version of the stored form of a key. A reader refuses every other.
const storedVersion = 1

// What follows must not overflow.
const (
	maxTurn  = 1 << 30
	maxGrace = int64(math.MaxInt64 / time.Second)
)

// storedKeyJSON is the stored form of a key.
type storedKeyJSON struct {
	Version      int             `json:"version"`
	KeyID        string          `json:"kid"`
	Turn         int             `json:"turn"`
	Created      time.Time       `json:"created"`
	SignsFrom    time.Time       `json:"signs_from,omitzero"`
	Appears      time.Time       `json:"appears,omitzero"`
	Replaces     []string        `json:"replaces,omitempty"`
	ReplacesFrom time.Time       `json:"replaces_from,omitzero"`
	Grace        int64           `json:"grace_seconds"`
	Key          json.RawMessage `json:"key"` // a private JWK (RFC 7517)
}

func encodeStoredKey(r KeyRecord, private any) ([]byte, error) {
	jwk, err := json.Marshal(jose.JSONWebKey{Key: private, KeyID: r.ID, Algorithm: string(r.Algorithm), Use: "sig"})
	if err != nil {
		return nil, fmt.Errorf("encoding the key %s: %w", r.ID, err)
	}
	return json.MarshalIndent(storedKeyJSON{
		Version:      storedVersion,
		KeyID:        r.ID,
		Turn:         r.Turn,
		Created:      r.Created,
		SignsFrom:    r.SignsFrom,
		Appears:      r.Appears,
		Replaces:     strings.Fields(r.Replaces),
		ReplacesFrom: r.ReplacesFrom,
		Grace:        int64(r.Grace / time.Second),
		Key:          jwk,
	}, "", "\t")
}

// decodeStoredKey reads a stored key. Nothing of the key is ever in an error.
func decodeStoredKey(object []byte) (KeyRecord, error) {
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(object, &version); err != nil {
		return KeyRecord{}, errors.New("it is not whole JSON")
	}
	if version.Version != storedVersion {
		return KeyRecord{}, fmt.Errorf("its version is %d and this release reads version %d: was it written by a newer one?", version.Version, storedVersion)
	}
	var stored storedKeyJSON
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&stored); err != nil {
		return KeyRecord{}, errors.New("its members are not those of a stored key")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return KeyRecord{}, errors.New("there is something after the key")
	}
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(stored.Key, &jwk); err != nil || jwk.IsPublic() || !jwk.Valid() {
		return KeyRecord{}, errors.New("its key is not a valid private JWK")
	}
	alg, err := parseAlgorithm(jwk.Algorithm, asymmetricAlgorithms)
	if err != nil {
		return KeyRecord{}, err
	}
	key, err := NewKey(alg, jwk.Key)
	if err != nil {
		return KeyRecord{}, err
	}
	switch {
	case key.ID != stored.KeyID:
		return KeyRecord{}, fmt.Errorf("its kid is %q, but the thumbprint of its key is %q", stored.KeyID, key.ID)
	case stored.Created.IsZero() || stored.Turn < 1 || stored.Turn > maxTurn || stored.Grace < 0 || stored.Grace > maxGrace:
		return KeyRecord{}, errors.New("its instants are missing or impossible")
	case !stored.ReplacesFrom.IsZero() && stored.Appears.Before(stored.ReplacesFrom):
		return KeyRecord{}, errors.New("what it replaces would leave the JWKS while it signs")
	}
	if err := key.selfTest(); err != nil {
		return KeyRecord{}, err
	}
	return KeyRecord{
		Key:          key,
		Turn:         stored.Turn,
		Created:      stored.Created,
		SignsFrom:    stored.SignsFrom,
		Appears:      stored.Appears,
		Replaces:     strings.Join(stored.Replaces, " "),
		ReplacesFrom: stored.ReplacesFrom,
		Grace:        time.Duration(stored.Grace) * time.Second,
	}, nil
}
