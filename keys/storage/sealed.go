package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/strictjson"
)

// storedVersion is the version of all stored objects. It is raised with each new member, since a
// reader refuses every other: what it cannot understand could revoke a key.
const storedVersion = 3

// sealed is what every stored object has.
type sealed struct {
	Version int    `json:"version"`
	Sum     string `json:"sha256"` // of all other members: see checksum
}

// seal makes a stored object of a value that embeds sealed, which head points to.
func seal(value any, head *sealed) ([]byte, error) {
	*head = sealed{Version: storedVersion}
	object, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	if head.Sum, err = checksum(object); err != nil {
		return nil, err
	}
	return json.MarshalIndent(value, "", "\t")
}

// unseal reads a stored object into a value. Its errors have nothing of the object in them but the version.
func unseal(object []byte, value any) error {
	var head sealed
	if err := json.Unmarshal(object, &head); err != nil {
		return errors.New("it is not whole JSON")
	}
	switch {
	case head.Version > storedVersion:
		return fmt.Errorf("its version is %d and this release reads version %d: was it written by a newer one?", head.Version, storedVersion)
	case head.Version < storedVersion:
		return fmt.Errorf("its version is %d and this release reads version %d: was it written by an older one?", head.Version, storedVersion)
	}
	sum, err := checksum(object)
	if err != nil {
		return errors.New("it is not whole JSON")
	}
	if sum != head.Sum {
		return errors.New("its checksum does not fit: it is damaged, or somebody has edited it")
	}
	if err := strictjson.Unmarshal(object, value); err != nil {
		return errors.New("its members are not those of such an object")
	}
	return nil
}

// checksum is the SHA-256 of an object without its checksum: of compact JSON, whose members are in
// the order of their names.
func checksum(object []byte) (string, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return "", err
	}
	delete(members, "sha256")
	canonical, err := json.Marshal(members)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]), nil
}
