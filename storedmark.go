package esjwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// storedMark is what an operator decided about a key: that its turn begins early, or that it is
// revoked. Like a key it is an object of its own, written once: <kid>.promoted.json or
// <kid>.revoked.json.
type storedMark struct {
	Version int       `json:"version"`
	KeyID   string    `json:"kid"`
	At      time.Time `json:"at"`

	// Withdrawn is when a revoked key leaves the JWKS.
	Withdrawn time.Time `json:"withdrawn,omitzero"`
}

const (
	promotedSuffix = ".promoted" + keySuffix
	revokedSuffix  = ".revoked" + keySuffix
)

func encodeStoredMark(m storedMark) ([]byte, error) {
	m.Version = storedVersion
	return json.MarshalIndent(m, "", "\t")
}

// decodeStoredMark reads a stored mark, and checks it against its name.
func decodeStoredMark(name string, object []byte) (storedMark, error) {
	var m storedMark
	dec := json.NewDecoder(bytes.NewReader(object))
	if err := dec.Decode(&m); err != nil {
		return storedMark{}, errors.New("it is not whole JSON of the right form")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return storedMark{}, errors.New("there is something after the record")
	}
	kid, kind := splitStoredName(name)
	switch {
	case m.Version != storedVersion:
		return storedMark{}, fmt.Errorf("its version is %d and this release reads version %d: was it written by a newer one?", m.Version, storedVersion)
	case m.KeyID != kid:
		return storedMark{}, fmt.Errorf("it is about the key %q", m.KeyID)
	case m.At.IsZero() || kind == revokedSuffix && m.Withdrawn.Before(m.At):
		return storedMark{}, errors.New("its instants are missing or impossible")
	}
	return m, nil
}

// splitStoredName splits the name of a stored object into a kid and what it is: keySuffix,
// promotedSuffix, revokedSuffix or "".
func splitStoredName(name string) (kid, kind string) {
	base := path.Base(name)
	for _, kind := range []string{promotedSuffix, revokedSuffix, keySuffix} {
		if kid, ok := strings.CutSuffix(base, kind); ok {
			return kid, kind
		}
	}
	return base, ""
}

// apply puts a mark on a key's record.
func (m storedMark) apply(kind string, r *KeyRecord) {
	switch kind {
	case promotedSuffix:
		r.Promoted = m.At
	case revokedSuffix:
		r.Revoked = m.At
		r.Withdrawn = earliestAfter(time.Time{}, r.Withdrawn, m.Withdrawn)
	}
}
