package esjwt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// errSlowKey says that a key has not signed within signatureTimeout.
var errSlowKey = errors.New("the key did not sign in time")

// signedToken is a signed JWT. It is immutable.
type signedToken struct {
	authorization string // "Bearer " and the compact JWS
	kid           string
	key           *keys.Key
	schedule      *keyset.Schedule // as of which the key was right
	window        token.Window
	freshUntil    int64 // Unix seconds: until then, and with the same schedule, it is the right one
}

func (t *signedToken) jwt() string { return t.authorization[len(token.Bearer):] }

// slot holds the current token of equal claims.
type slot struct {
	claims  token.Claims
	digest  token.Digest
	current atomic.Pointer[signedToken]
}

// slotOf is the slot that a holder's last token came from, or nil.
func slotOf(holder *token.Holder) *slot {
	slot, _ := holder.Slot.Load().(*slot)
	return slot
}

// signer makes the tokens of a key set, each of them once. A token is a pure function of
// (claims, key, window): whoever asks again, on whichever replica, gets the same one.
type signer struct {
	keys  func(context.Context) (*keyset.Schedule, error) // waits for the first keys
	slots *lru.Cache[token.Digest, *slot]
	calls singleflight.Group

	// Signatures for new clients and those for clients that hold a token already have their
	// own turns, so that a flood of the former cannot starve the latter.
	first, renew chan struct{}

	hanging hanging.Calls // signatures that nobody waits for any more

	observe func(jose.SignatureAlgorithm, time.Duration, error) // called for each signature
}

// newSigner returns a signer that remembers the tokens of at most size different clients.
func newSigner(size int, keys func(context.Context) (*keyset.Schedule, error), observe func(jose.SignatureAlgorithm, time.Duration, error)) *signer {
	slots, err := lru.New[token.Digest, *slot](size)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	cpus := runtime.GOMAXPROCS(0)
	return &signer{
		keys:  keys,
		slots: slots,
		first: make(chan struct{}, cpus),
		renew: make(chan struct{}, max(1, cpus/2)),

		observe: observe,
	}
}

// freshToken returns a holder's token if it is the right one without any doubt. It is the hot
// path: a few loads and comparisons.
func freshToken(holder *token.Holder, current *keyset.Schedule, now, notAfter int64) *signedToken {
	slot := slotOf(holder)
	if slot == nil {
		return nil
	}
	t := slot.current.Load()
	if t == nil || t.schedule != current || now >= t.freshUntil || now < t.window.Start || t.window.Expires > notAfter {
		return nil
	}
	return t
}

// token returns a holder's token at an instant. It signs one where there is none, at most
// once for all who wait for the same; where a window has just ended, the old token goes on
// while the next one is signed. notAfter is when the client's certificate ends. signed is
// called for each signature.
func (s *signer) token(ctx context.Context, holder *token.Holder, now time.Time, notAfter int64, signed func(*signedToken)) (*signedToken, error) {
	current, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	if t := freshToken(holder, current, now.Unix(), notAfter); t != nil {
		return t, nil
	}

	w := token.WindowAt(now.Unix(), holder.Lifetime, holder.Claims, notAfter)
	record := current.SigningFor(time.Unix(w.Start, 0), now)
	if record == nil {
		return nil, keyset.ErrNoKey
	}
	slot := s.slot(holder, w, notAfter)
	holder.Slot.Store(slot)

	old := slot.current.Load()
	if old != nil && old.window == w && old.key.Is(record.Key) {
		// The keys changed, but not this client's: the token is still the right one.
		t := newSignedToken(old.authorization, record.Key, current, w, now)
		slot.current.CompareAndSwap(old, t)
		return t, nil
	}

	usable := old != nil && old.mayServe(current, now, notAfter)
	turns := s.first
	if usable {
		turns = s.renew
	}
	result := s.calls.DoChan(string(slot.digest[:])+strconv.FormatInt(w.Start, 10)+record.Identity(), func() (any, error) {
		if t := slot.current.Load(); t != nil && t.window == w && t.key.Is(record.Key) {
			return t, nil // signed between our look and our turn
		}
		turns <- struct{}{}
		defer func() { <-turns }()
		began := time.Now()
		jws, err := s.sign(record.Key, slot.claims.Payload(w, record.ID))
		s.observe(record.Algorithm, time.Since(began), err)
		if err != nil {
			return nil, err
		}
		t := newSignedToken(token.Bearer+jws, record.Key, current, w, now)
		slot.current.Store(t)
		signed(t)
		return t, nil
	})
	if usable {
		return old, nil
	}
	timeout := time.NewTimer(timing.SignatureTimeout)
	defer timeout.Stop()
	select {
	case r := <-result:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*signedToken), nil
	case <-timeout.C:
		return nil, errSlowKey
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a signature: %w", context.Cause(ctx))
	}
}

// sign has a key sign. A key in a KMS may hang.
func (s *signer) sign(key *keys.Key, payload []byte) (string, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), timing.SignatureTimeout, errSlowKey)
	defer cancel()
	return hanging.Call(ctx, &s.hanging, func() (string, error) { return key.Sign(payload) })
}

// slot finds the slot that all clients with these claims share. A token that the
// certificate's end cuts short has one of its own, since a renewed certificate has the same
// claims and a later end.
func (s *signer) slot(holder *token.Holder, w token.Window, notAfter int64) *slot {
	cut := int64(0)
	if w.Expires == notAfter {
		cut = notAfter
	}
	d := holder.Claims.Digest(holder.Lifetime, cut)
	mine := slotOf(holder)
	if mine == nil || mine.digest != d {
		mine = &slot{claims: holder.Claims, digest: d}
	}
	if shared, ok, _ := s.slots.PeekOrAdd(d, mine); ok {
		s.slots.Get(d) // it is in use: evict others first
		return shared
	}
	return mine
}

// mayServe reports whether a token that is no longer the right one (its window has ended, or
// there is a newer key) can go on while the right one is being signed.
func (t *signedToken) mayServe(current *keyset.Schedule, now time.Time, notAfter int64) bool {
	if t.window.Expires > notAfter || now.Unix() < t.window.Start {
		return false
	}
	if left := t.window.Expires - now.Unix(); left <= int64(timing.MinRemaining/time.Second) && (t.window.Expires != notAfter || left <= 0) {
		return false
	}
	return current.Trusts(t.key, now)
}

func newSignedToken(authorization string, key *keys.Key, current *keyset.Schedule, w token.Window, now time.Time) *signedToken {
	t := &signedToken{
		authorization: authorization,
		kid:           key.ID,
		key:           key,
		schedule:      current,
		window:        w,
		freshUntil:    w.End,
	}
	if e := current.NextEmergency(now); !e.IsZero() {
		t.freshUntil = min(t.freshUntil, e.Unix())
	}
	return t
}
