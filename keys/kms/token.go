package kms

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
)

// token is what a PIN opens. Most tokens lock themselves after a few wrong PINs. So of all the key
// sets and configurations in this process, one at a time tries a PIN, and none tries a PIN again that
// the token refused.
type token struct {
	asking hanging.Lease // held while a PIN is tried

	mu      sync.Mutex
	refused map[[sha256.Size]byte]bool // the hashes of the PINs that it refused
	locked  time.Time                  // when it last said that it is locked
}

// tokens has each token that this process has used, by what tells it from other tokens.
var tokens sync.Map

// keyAttributes are the attributes of a URI that name a key of the token, or say where its PIN is. All
// other attributes tell the token from other tokens (RFC 7512 section 2.3 for PKCS#11).
var keyAttributes = append([]string{"object", "id", "type", "pin-source"}, secretAttributes...)

func tokenOf(kind string, attributes url.Values) *token {
	var name strings.Builder
	name.WriteString(kind)
	for _, attribute := range slices.Sorted(maps.Keys(attributes)) {
		if !slices.Contains(keyAttributes, attribute) {
			fmt.Fprintf(&name, ";%s=%q", attribute, attributes[attribute])
		}
	}
	t, _ := tokens.LoadOrStore(name.String(), &token{refused: make(map[[sha256.Size]byte]bool)})
	return t.(*token)
}

// note remembers that the token refused the PIN of the URI, or that it is locked, if that is what the
// error of the KMS says. It returns an error that says what to do about it, or nil.
func (u *location) note(err error) error {
	if u.token == nil {
		return nil
	}
	says := func(signs []string) bool {
		return slices.ContainsFunc(signs, func(sign string) bool { return strings.Contains(err.Error(), sign) })
	}
	u.token.mu.Lock()
	defer u.token.mu.Unlock()
	switch {
	case says(pinLocked):
		u.token.locked = time.Now()
		return errPINLocked
	case says(pinRefusals):
		u.token.refused[u.pin] = true
		return errPINRefused
	default:
		return nil
	}
}

// failed makes the error that says what the KMS did not do, and what to do about it.
func (u *location) failed(what string, err error) error {
	failure := u.clean(what, err)
	if advice := u.note(err); advice != nil {
		return fmt.Errorf("%w: %w", failure, advice)
	}
	return failure
}

// pinRefusals are parts of the errors by which the kinds of KMS say that a PIN is wrong, and pinLocked
// of those by which they say that the token is locked.
var (
	pinRefusals = []string{
		"CKR_PIN_INCORRECT", "CKR_PIN_INVALID", "CKR_PIN_LEN_RANGE", "retries remaining", "retry remaining",
	}
	pinLocked = []string{"CKR_PIN_LOCKED", "(0 retries remaining)"}
)

// lockedPause is how long no PIN is tried after a token said that it is locked. One more wrong PIN
// does no harm to a locked token.
const lockedPause = time.Minute

var (
	errPINRefused = errors.New("the KMS refused the PIN, and is not asked again until there is another, " +
		"so that the token does not lock itself: " +
		"put the right one in its place, or restart Caddy if it is the token that was wrong")
	errPINLocked = errors.New("the token has locked the PIN after too many wrong ones: " +
		"unlock it with the SO PIN, for one with `pkcs11-tool --init-pin`; it is asked again once a minute")
)

// refuses returns why the PIN must not be tried, or nil.
func (t *token) refuses(pin [sha256.Size]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.refused[pin]:
		return errPINRefused
	case time.Since(t.locked) < lockedPause:
		return errPINLocked
	default:
		return nil
	}
}
