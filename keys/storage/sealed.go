package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/strictjson"
)

// storedVersion is the version of all stored objects. It is raised with each new member. A release reads no other
// version, since a member that it does not know could revoke a key.
const storedVersion = 3

// sealed has the members of every stored object.
type sealed struct {
	Version int    `json:"version"`
	Sum     string `json:"sha256"` // of all other members, as checksum makes it
}

// seal encodes a value as a stored object. The value embeds a sealed, and head points to it.
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

// unseal decodes a stored object. Its errors have nothing of the object in them but the version.
func unseal(object []byte, value any) error {
	var head sealed
	if err := json.Unmarshal(object, &head); err != nil {
		return errors.New("it is not whole JSON")
	}
	switch {
	case head.Version > storedVersion:
		return fmt.Errorf("its version is %d and this release reads version %d: was it written by a newer one?",
			head.Version, storedVersion)
	case head.Version < storedVersion:
		return fmt.Errorf("its version is %d and this release reads version %d: was it written by an older one?",
			head.Version, storedVersion)
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

// checksum returns the SHA-256 of an object without its member sha256. The object is compact JSON for that, with the
// members in the order of their names.
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
