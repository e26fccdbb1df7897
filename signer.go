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

	observe func(jose.SignatureAlgorithm, time.Duration, error)
}

// newSigner returns a signer that remembers the tokens of at most size different clients. It calls observe after
// each signature.
func newSigner(
	size int,
	keys func(context.Context) (*keyset.Schedule, error),
	observe func(jose.SignatureAlgorithm, time.Duration, error),
) *signer {
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

// freshToken returns the token that a holder got last, if that is certainly still the right one. Most requests
// need no more than this. Instants are in Unix seconds.
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

// token returns a holder's token at an instant. notAfter is when the client's certificate ends. signed is called
// if a token is signed.
//
// There are four cases, for example if a window begins at 12:00:
//
//	12:03  the last token is the right one
//	12:03  the keys have changed, but not the one for this window: the last token still counts
//	12:05  the next window has begun: the last token is served once more, while the next one is being signed
//	12:30  the last token is too old, or there is none: the request waits for a signature
func (s *signer) token(
	ctx context.Context, holder *token.Holder, now, notAfter time.Time, signed func(*signedToken),
) (*signedToken, error) {
	current, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	if t := freshToken(holder, current, now.Unix(), notAfter.Unix()); t != nil {
		return t, nil
	}
	want, err := s.want(holder, current, now, notAfter)
	if err != nil {
		return nil, err
	}
	last := want.slot.current.Load()
	switch {
	case want.isMetBy(last):
		return want.keep(last), nil
	case last.mayServe(current, now, notAfter):
		s.start(want, s.renew, signed)
		return last, nil
	default:
		return wait(ctx, s.start(want, s.first, signed))
	}
}

// wanted is the token that is the right one at an instant.
type wanted struct {
	slot     *slot
	window   token.Window
	record   *keys.Timed // the key to sign it with
	schedule *keyset.Schedule
	now      time.Time
}

// want finds out which token is the right one for a holder, and makes its slot the holder's.
func (s *signer) want(holder *token.Holder, current *keyset.Schedule, now, notAfter time.Time) (wanted, error) {
	w := token.WindowAt(now.Unix(), holder.Lifetime, holder.Claims, notAfter.Unix())
	record := current.SigningFor(time.Unix(w.Start, 0), now)
	if record == nil {
		return wanted{}, keyset.ErrNoKey
	}
	slot := s.slot(holder, w, notAfter.Unix())
	holder.Slot.Store(slot)
	return wanted{slot, w, record, current, now}, nil
}

// isMetBy reports whether a token, which can be nil, is the wanted one.
func (w wanted) isMetBy(t *signedToken) bool {
	return t != nil && t.window == w.window && t.key.Is(w.record.Key)
}

// id is the same for all who want the same token.
func (w wanted) id() string {
	return string(w.slot.digest[:]) + strconv.FormatInt(w.window.Start, 10) + w.record.Identity()
}

// keep returns the wanted token, which was signed already, and puts it into the slot as the right one by the
// current schedule.
func (w wanted) keep(last *signedToken) *signedToken {
	t := w.signed(last.authorization)
	w.slot.current.CompareAndSwap(last, t)
	return t
}

// signed is the wanted token, given the text of its header.
func (w wanted) signed(authorization string) *signedToken {
	t := &signedToken{
		authorization: authorization,
		kid:           w.record.ID,
		key:           w.record.Key,
		schedule:      w.schedule,
		window:        w.window,
		freshUntil:    w.window.End,
	}
	if e := w.schedule.NextEmergency(w.now); !e.IsZero() {
		t.freshUntil = min(t.freshUntil, e.Unix())
	}
	return t
}

// start signs the wanted token in the background, when its turn has come. All who want the same token share one
// signature.
func (s *signer) start(want wanted, turns chan struct{}, signed func(*signedToken)) <-chan singleflight.Result {
	return s.calls.DoChan(want.id(), func() (any, error) {
		if t := want.slot.current.Load(); want.isMetBy(t) {
			return t, nil // it was signed just before this call began
		}
		turns <- struct{}{}
		defer func() { <-turns }()
		began := time.Now()
		jws, err := s.sign(want.record.Key, want.slot.claims.Payload(want.window, want.record.ID))
		s.observe(want.record.Algorithm, time.Since(began), err)
		if err != nil {
			return nil, err
		}
		t := want.signed(token.Bearer + jws)
		want.slot.current.Store(t)
		signed(t)
		return t, nil
	})
}

// wait waits for a token to be signed, but no longer than its request lasts, and not for a key that hangs.
func wait(ctx context.Context, result <-chan singleflight.Result) (*signedToken, error) {
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

// slot finds the slot that all clients with these claims share. A token that the certificate's end (notAfter, in
// Unix seconds) cuts short has one of its own, since a renewed certificate has the same claims and a later end.
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

// mayServe reports whether a token, which can be nil, may be served while the right one is being signed: its
// window has ended, or there is a newer key.
func (t *signedToken) mayServe(current *keyset.Schedule, now, notAfter time.Time) bool {
	if t == nil || t.window.Expires > notAfter.Unix() || now.Unix() < t.window.Start {
		return false
	}
	least := int64(timing.MinRemaining / time.Second)
	if t.window.Expires == notAfter.Unix() {
		least = 0 // the next one would not live longer either
	}
	return t.window.Expires-now.Unix() > least && current.Trusts(t.key, now)
}
