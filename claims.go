package esjwt

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
)

// claimSet is what a token says about a client apart from time, as the members of a JSON
// object. Equal claims are equal bytes, whichever replica and whichever certificate they come
// from.
type claimSet struct {
	members []byte
	jti     bool // each token has an identifier of its own
}

// claim is one member of a claimSet.
type claim struct {
	name  string
	value any // string, []string, or what JSON configuration gives: bool, number, a list of them
}

// encodeClaims renders claims in the order given. A nil value leaves its claim out.
func encodeClaims(claims []claim, jti bool) (claimSet, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // shorter, and what a person reads in a log
	for _, c := range claims {
		if c.value == nil {
			continue
		}
		if err := enc.Encode(c.name); err != nil {
			return claimSet{}, fmt.Errorf("claim name %q: %w", c.name, err)
		}
		b.Truncate(b.Len() - 1) // Encode ends with a newline
		b.WriteByte(':')
		if err := enc.Encode(c.value); err != nil {
			return claimSet{}, fmt.Errorf("claim %s: %w", c.name, err)
		}
		b.Truncate(b.Len() - 1)
		b.WriteByte(',')
	}
	return claimSet{members: slices.Clip(b.Bytes()), jti: jti}, nil
}

// timeClaimsSize is how much the three time claims and the braces add to a claimSet.
const timeClaimsSize = len(`{"iat":1234567890,"nbf":1234567890,"exp":1234567890}`)

// size is how many bytes a payload has at most.
func (c claimSet) size() int {
	size := len(c.members) + timeClaimsSize
	if c.jti {
		size += len(`"jti":"",`) + base64.RawURLEncoding.EncodedLen(jtiSize)
	}
	return size
}

// payload adds the claims that differ from token to token (RFC 7519 section 4.1).
func (c claimSet) payload(w window, kid string) []byte {
	b := make([]byte, 0, c.size())
	b = append(b, '{')
	b = append(b, c.members...)
	if c.jti {
		b = append(b, `"jti":"`...)
		b = base64.RawURLEncoding.AppendEncode(b, c.tokenID(w, kid))
		b = append(b, `",`...)
	}
	b = append(b, `"iat":`...)
	b = strconv.AppendInt(b, w.notBefore(), 10)
	b = append(b, `,"nbf":`...)
	b = strconv.AppendInt(b, w.notBefore(), 10)
	b = append(b, `,"exp":`...)
	b = strconv.AppendInt(b, w.expires, 10)
	return append(b, '}')
}

// jtiSize is the size of a token's identifier in bytes.
const jtiSize = 16

// tokenID is the jti of a token: a hash of what makes it this token, so that every replica
// gives it the same one.
func (c claimSet) tokenID(w window, kid string) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %s %s", w.start, w.expires, kid, c.members)
	return h.Sum(nil)[:jtiSize]
}

// digest identifies tokens that differ only by their window and key.
type digest [sha256.Size]byte

// digest covers everything that shapes a token apart from its window and its key. notAfter is
// zero unless it cuts the token's life short.
func (c claimSet) digest(lifetime time.Duration, notAfter int64) digest {
	h := sha256.New()
	var n [16]byte
	binary.BigEndian.PutUint64(n[:8], uint64(lifetime/time.Second)) //nolint:gosec // validated to be positive
	binary.BigEndian.PutUint64(n[8:], uint64(notAfter))             //nolint:gosec // only its bits matter
	h.Write(n[:])
	if c.jti {
		h.Write([]byte("jti"))
	}
	h.Write(c.members)
	return digest(h.Sum(nil))
}

// window is the stretch of time that one token of a client serves, in Unix seconds. It lasts
// half a lifetime, so that a token always has the other half left when the next window begins.
type window struct {
	start, end int64
	expires    int64 // when the token expires (exp)
}

// windowAt returns the window that an instant falls into. Windows are shifted by a hash of the
// claims, so that the tokens of many clients do not all end at once. It is a pure function:
// every replica cuts time in the same way.
func windowAt(now int64, lifetime time.Duration, claims claimSet, notAfter int64) window {
	life := int64(lifetime / time.Second)
	half := life / 2
	sum := sha256.Sum256(claims.members)
	phase := int64(binary.BigEndian.Uint64(sum[:8]) >> 1 % uint64(half)) //nolint:gosec // below half

	start := (now-phase)/half*half + phase
	return window{start: start, end: start + half, expires: min(start+life, notAfter)}
}

func (w window) notBefore() int64 { return w.start - int64(clockSkew/time.Second) }
