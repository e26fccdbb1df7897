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

// kmsToken is what a PIN opens. Most lock themselves after a few wrong ones, so of all the key sets
// and configurations of this process one asks at a time, and none with a PIN that was refused.
type kmsToken struct {
	asking hanging.Lapse // held while a PIN is tried

	mu      sync.Mutex
	refused map[[sha256.Size]byte]bool // by the PIN's hash
	locked  time.Time                  // when it said last that it takes no PIN
}

// kmsTokens are the tokens that this process has met, by what tells them apart.
var kmsTokens sync.Map

// kmsKeyAttributes say which key of a token is meant, or how its PIN is come by. All others tell the
// token from others: RFC 7512 section 2.3 for PKCS#11.
var kmsKeyAttributes = append([]string{"object", "id", "type", "pin-source"}, kmsSecrets...)

func tokenOf(kind string, attributes url.Values) *kmsToken {
	var name strings.Builder
	name.WriteString(kind)
	for _, attribute := range slices.Sorted(maps.Keys(attributes)) {
		if !slices.Contains(kmsKeyAttributes, attribute) {
			fmt.Fprintf(&name, ";%s=%q", attribute, attributes[attribute])
		}
	}
	token, _ := kmsTokens.LoadOrStore(name.String(), &kmsToken{refused: make(map[[sha256.Size]byte]bool)})
	return token.(*kmsToken)
}

// note remembers the PIN of a URI, if that is what was refused, or that the token takes none. It
// returns what to do about it.
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

// failed says that the KMS did not do what it was asked for.
func (u *location) failed(what string, err error) error {
	failure := u.clean(what, err)
	if advice := u.note(err); advice != nil {
		return fmt.Errorf("%w: %w", failure, advice)
	}
	return failure
}

// pinRefusals are how the kinds of KMS say that a PIN is wrong, and pinLocked that they take none any
// more.
var (
	pinRefusals = []string{"CKR_PIN_INCORRECT", "CKR_PIN_INVALID", "CKR_PIN_LEN_RANGE", "retries remaining", "retry remaining"}
	pinLocked   = []string{"CKR_PIN_LOCKED", "(0 retries remaining)"}
)

// lockedPause is how long a token is left alone that has locked itself. A try more does it no harm.
const lockedPause = time.Minute

var (
	errPINRefused = errors.New("the KMS refused the PIN, and is not asked again until there is another, " +
		"so that the token does not lock itself: put the right one in its place, or restart Caddy if it is the token that was wrong")
	errPINLocked = errors.New("the token has locked the PIN after too many wrong ones: " +
		"unlock it with the SO PIN, for one with `pkcs11-tool --init-pin`; it is asked again once a minute")
)

// takes reports why the token is not asked with a PIN.
func (t *kmsToken) takes(pin [sha256.Size]byte) error {
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
