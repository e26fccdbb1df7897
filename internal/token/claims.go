// Package token has what a JWT says and when: its claims, the window of time that it serves, and its
// payload. The same claims, key and window always make the same payload, so that every replica gives a
// client the same token. It also reads tokens that somebody else brings, without verifying them.
package token

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// Claims is what a token says about a client apart from time, as the members of a JSON
// object. Equal claims are equal bytes, whichever replica and whichever certificate they come
// from.
type Claims struct {
	Members []byte
	Jti     bool // each token has an identifier of its own
}

// Claim is one member of the claims.
type Claim struct {
	Name  string
	Value any // string, []string, or what JSON configuration gives: bool, number, a list of them
}

// Encode renders claims in the order given. A nil value leaves its claim out.
func Encode(claims []Claim, jti bool) (Claims, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // shorter, and what a person reads in a log
	for _, c := range claims {
		if c.Value == nil {
			continue
		}
		if err := enc.Encode(c.Name); err != nil {
			return Claims{}, fmt.Errorf("claim name %q: %w", c.Name, err)
		}
		b.Truncate(b.Len() - 1) // Encode ends with a newline
		b.WriteByte(':')
		if err := enc.Encode(c.Value); err != nil {
			return Claims{}, fmt.Errorf("claim %s: %w", c.Name, err)
		}
		b.Truncate(b.Len() - 1)
		b.WriteByte(',')
	}
	return Claims{Members: slices.Clip(b.Bytes()), Jti: jti}, nil
}

// timeClaimsSize is how much the three time claims and the braces add.
const timeClaimsSize = len(`{"iat":1234567890,"nbf":1234567890,"exp":1234567890}`)

// Size is how many bytes a payload has at most.
func (c Claims) Size() int {
	size := len(c.Members) + timeClaimsSize
	if c.Jti {
		size += len(`"jti":"",`) + base64.RawURLEncoding.EncodedLen(jtiSize)
	}
	return size
}

// Payload adds the claims that differ from token to token (RFC 7519 section 4.1).
func (c Claims) Payload(w Window, kid string) []byte {
	b := make([]byte, 0, c.Size())
	b = append(b, '{')
	b = append(b, c.Members...)
	if c.Jti {
		b = append(b, `"jti":"`...)
		b = base64.RawURLEncoding.AppendEncode(b, c.tokenID(w, kid))
		b = append(b, `",`...)
	}
	b = append(b, `"iat":`...)
	b = strconv.AppendInt(b, w.NotBefore(), 10)
	b = append(b, `,"nbf":`...)
	b = strconv.AppendInt(b, w.NotBefore(), 10)
	b = append(b, `,"exp":`...)
	b = strconv.AppendInt(b, w.Expires, 10)
	return append(b, '}')
}

// jtiSize is the size of a token's identifier in bytes.
const jtiSize = 16

// tokenID is the jti of a token: a hash of what makes it this token, so that every replica
// gives it the same one.
func (c Claims) tokenID(w Window, kid string) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %s %s", w.Start, w.Expires, kid, c.Members)
	return h.Sum(nil)[:jtiSize]
}

// Digest identifies tokens that differ only by their window and key.
type Digest [sha256.Size]byte

// Digest covers everything that shapes a token apart from its window and its key. notAfter is
// zero unless it cuts the token's life short.
func (c Claims) Digest(lifetime time.Duration, notAfter int64) Digest {
	h := sha256.New()
	var n [16]byte
	binary.BigEndian.PutUint64(n[:8], uint64(lifetime/time.Second)) //nolint:gosec // validated to be positive
	binary.BigEndian.PutUint64(n[8:], uint64(notAfter))             //nolint:gosec // only its bits matter
	h.Write(n[:])
	if c.Jti {
		h.Write([]byte("jti"))
	}
	h.Write(c.Members)
	return Digest(h.Sum(nil))
}

// Window is the stretch of time that one token of a client serves, in Unix seconds. It lasts
// half a lifetime, so that a token always has the other half left when the next window begins.
type Window struct {
	Start, End int64
	Expires    int64 // when the token expires (exp)
}

// WindowAt returns the window that an instant falls into. Windows are shifted by a hash of the
// claims, so that the tokens of many clients do not all end at once. It is a pure function:
// every replica cuts time in the same way.
func WindowAt(now int64, lifetime time.Duration, claims Claims, notAfter int64) Window {
	life := int64(lifetime / time.Second)
	half := life / 2
	sum := sha256.Sum256(claims.Members)
	phase := int64(binary.BigEndian.Uint64(sum[:8]) >> 1 % uint64(half)) //nolint:gosec // below half

	start := (now-phase)/half*half + phase
	return Window{Start: start, End: start + half, Expires: min(start+life, notAfter)}
}

// NotBefore is when the token begins to count (nbf), in Unix seconds: before the window, for nodes whose
// clocks are behind.
func (w Window) NotBefore() int64 { return w.Start - int64(timing.ClockSkew/time.Second) }
