package apikey

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// sealIterations is how often PBKDF2 repeats itself, as OWASP recommends for SHA-256. It is done once for a password.
var sealIterations = 600_000

// maxSealers is how many keys are remembered: of each store, and of the passwords that it had.
const maxSealers = 16

// sealer seals what is stored with a key that is derived from the password of the proxy's user. Who can read the
// storage, or a backup of it, cannot use what is in there.
type sealer struct {
	id   [sha256.Size]byte // of the salt and the password
	salt string
	aead cipher.AEAD
}

// sealers has the keys that this process has derived, the last one used at the end. They outlive a configuration, so
// that what was sealed with a password before it changed can be read as long as the process lives.
var sealers struct {
	mu   sync.Mutex
	list []sealer
}

// sealerOf returns the sealer of a password and a salt. It takes a while for a new one.
func sealerOf(password string, salt []byte) (cipher.AEAD, error) {
	id := sha256.Sum256(fmt.Appendf(nil, "%x %s", salt, password))
	sealers.mu.Lock()
	defer sealers.mu.Unlock()
	if i := slices.IndexFunc(sealers.list, func(s sealer) bool { return s.id == id }); i >= 0 {
		known := sealers.list[i]
		sealers.list = append(slices.Delete(sealers.list, i, i+1), known)
		return known.aead, nil
	}
	key, err := pbkdf2.Key(sha256.New, password, salt, sealIterations, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	if len(sealers.list) == maxSealers {
		sealers.list = slices.Delete(sealers.list, 0, 1)
	}
	sealers.list = append(sealers.list, sealer{id, string(salt), aead})
	return aead, nil
}

var errSealed = errors.New("it is sealed with another password, or damaged")

// unseal opens what was sealed under a name, with the current key or one that the store had before.
func unseal(current cipher.AEAD, salt []byte, name string, sealed []byte) (content []byte, old bool, err error) {
	if content, err = current.Open(nil, nil, sealed, []byte(name)); err == nil {
		return content, false, nil
	}
	sealers.mu.Lock()
	known := slices.Clone(sealers.list)
	sealers.mu.Unlock()
	for _, s := range known {
		if s.salt != string(salt) {
			continue
		}
		if content, err = s.aead.Open(nil, nil, sealed, []byte(name)); err == nil {
			return content, true, nil
		}
	}
	return nil, false, errSealed
}
