package esjwt

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// kmsToken is what a PIN opens. Most lock themselves after a few wrong ones, so of all the key sets
// and configurations of this process one asks at a time, and none with a PIN that was refused.
type kmsToken struct {
	asking sync.Mutex // held while a PIN is tried

	mu      sync.Mutex
	refused map[[sha256.Size]byte]bool // by the PIN's hash
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

// note remembers the PIN of a URI, if that is what was refused.
func (u *kmsURI) note(err error) {
	if u.token == nil || !slices.ContainsFunc(pinRefusals, func(sign string) bool { return strings.Contains(err.Error(), sign) }) {
		return
	}
	u.token.mu.Lock()
	defer u.token.mu.Unlock()
	u.token.refused[u.pin] = true
}

// pinRefusals are how the kinds of KMS say that a PIN is wrong.
var pinRefusals = []string{"CKR_PIN_INCORRECT", "CKR_PIN_INVALID", "CKR_PIN_LEN_RANGE", "retries remaining"}

func (t *kmsToken) hasRefused(pin [sha256.Size]byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refused[pin]
}
