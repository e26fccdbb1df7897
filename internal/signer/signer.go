// Package signer makes the credential that is a JWT: one token for equal claims and window.
package signer

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

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// errSlowKey says that a key has not signed in time.
var errSlowKey = errors.New("the key did not sign in time")

// signed is a signed JWT. It is immutable.
type signed struct {
	credential.Credential // whose RenewAt is when it is the right one no more, with the same schedule

	key      *keys.Key
	schedule *keyset.Schedule // as of which the key was right
	window   token.Window
}

// NotBefore returns when a token of a Signer begins to count (nbf), in Unix seconds.
func NotBefore(c *credential.Credential) int64 {
	t, ok := c.Detail.(*signed)
	if !ok {
		return 0
	}
	return t.window.NotBefore()
}

// slot holds the current token of equal claims.
type slot struct {
	claims  token.Claims
	digest  token.Digest
	current atomic.Pointer[signed]
}

// slotOf is the slot that a holder's last token came from, or nil.
func slotOf(holder *token.Holder) *slot {
	slot, _ := holder.Slot.Load().(*slot)
	return slot
}

// Signer makes the tokens of a key set, each of them once. A token is a pure function of
// (claims, key, window): whoever asks again, on whichever replica, gets the same one.
type Signer struct {
	keys  *keyset.State
	slots *lru.Cache[token.Digest, *slot]
	calls singleflight.Group

	// Signatures for new clients and those for clients that hold a token already have their
	// own turns, so that a flood of the former cannot starve the latter.
	first, renew chan struct{}

	hanging hanging.Calls // signatures that nobody waits for any more

	observe func(jose.SignatureAlgorithm, time.Duration, error)
}

// New returns a Signer that remembers the tokens of at most size different clients. It calls observe after
// each signature.
func New(
	size int,
	keys *keyset.State,
	observe func(jose.SignatureAlgorithm, time.Duration, error),
) *Signer {
	slots, err := lru.New[token.Digest, *slot](size)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	cpus := runtime.GOMAXPROCS(0)
	return &Signer{
		keys:  keys,
		slots: slots,
		first: make(chan struct{}, cpus),
		renew: make(chan struct{}, max(1, cpus/2)),

		observe: observe,
	}
}

// Fresh implements [credential.Kind]. Most requests need no more than this.
func (s *Signer) Fresh(holder *token.Holder, now, notAfter int64) *credential.Credential {
	if t := fresh(holder, s.keys.Current(), now, notAfter); t != nil {
		return &t.Credential
	}
	return nil
}

// fresh returns the token that a holder got last, if that is certainly still the right one. Instants are in Unix
// seconds.
func fresh(holder *token.Holder, current *keyset.Schedule, now, notAfter int64) *signed {
	slot := slotOf(holder)
	if slot == nil {
		return nil
	}
	t := slot.current.Load()
	if t == nil || t.schedule != current || now >= t.RenewAt || now < t.window.Start || t.window.Expires > notAfter {
		return nil
	}
	return t
}

// Get implements [credential.Kind]: it returns a client's token at an instant.
//
// There are four cases, for example if a window begins at 12:00:
//
//	12:03  the last token is the right one
//	12:03  the keys have changed, but not the one for this window: the last token still counts
//	12:05  the next window has begun: the last token is served once more, while the next one is being signed
//	12:30  the last token is too old, or there is none: the request waits for a signature
func (s *Signer) Get(
	ctx context.Context, client *credential.Client, now time.Time, made func(*credential.Credential),
) (*credential.Credential, error) {
	current, err := s.keys.Wait(ctx)
	if err != nil {
		return nil, err
	}
	holder, notAfter := client.Holder, time.Unix(client.NotAfter, 0)
	if t := fresh(holder, current, now.Unix(), client.NotAfter); t != nil {
		return &t.Credential, nil
	}
	want, err := s.want(holder, current, now, notAfter)
	if err != nil {
		return nil, err
	}
	last := want.slot.current.Load()
	switch {
	case want.isMetBy(last):
		return &want.keep(last).Credential, nil
	case last.mayServe(current, now, notAfter):
		s.start(want, s.renew, made)
		return &last.Credential, nil
	default:
		return wait(ctx, s.start(want, s.first, made))
	}
}

// Renewed implements [credential.Kind]. A token that a node refuses is as good as another one would be.
func (s *Signer) Renewed(
	context.Context, *credential.Client, *credential.Credential, func(*credential.Credential),
) (*credential.Credential, error) {
	return nil, nil //nolint:nilnil // there is none
}

// Remembered returns for how many clients there is a token.
func (s *Signer) Remembered() int { return s.slots.Len() }

// Resize sets for how many clients tokens are remembered.
func (s *Signer) Resize(size int) { s.slots.Resize(size) }

// wanted is the token that is the right one at an instant.
type wanted struct {
	slot     *slot
	window   token.Window
	record   *keys.Timed // the key to sign it with
	schedule *keyset.Schedule
	now      time.Time
}

// want finds out which token is the right one for a holder, and makes its slot the holder's.
func (s *Signer) want(holder *token.Holder, current *keyset.Schedule, now, notAfter time.Time) (wanted, error) {
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
func (w wanted) isMetBy(t *signed) bool {
	return t != nil && t.window == w.window && t.key.Is(w.record.Key)
}

// id is the same for all who want the same token.
func (w wanted) id() string {
	return string(w.slot.digest[:]) + strconv.FormatInt(w.window.Start, 10) + w.record.Identity()
}

// keep returns the wanted token, which was signed already, and puts it into the slot as the right one by the
// current schedule.
func (w wanted) keep(last *signed) *signed {
	t := w.signed(last.Authorization)
	w.slot.current.CompareAndSwap(last, t)
	return t
}

// signed is the wanted token, given the text of its header.
func (w wanted) signed(authorization string) *signed {
	t := &signed{
		Credential: credential.Credential{
			Authorization: authorization,
			KeyID:         w.record.ID,
			Until:         w.window.Expires,
			RenewAt:       w.window.End,
		},
		key:      w.record.Key,
		schedule: w.schedule,
		window:   w.window,
	}
	t.Detail = t
	if e := w.schedule.NextEmergency(w.now); !e.IsZero() {
		t.RenewAt = min(t.RenewAt, e.Unix())
	}
	return t
}

// start signs the wanted token in the background, when its turn has come. All who want the same token share one
// signature.
func (s *Signer) start(
	want wanted, turns chan struct{}, made func(*credential.Credential),
) <-chan singleflight.Result {
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
		made(&t.Credential)
		return t, nil
	})
}

// wait waits for a token to be signed, but no longer than its request lasts, and not for a key that hangs.
func wait(ctx context.Context, result <-chan singleflight.Result) (*credential.Credential, error) {
	made, err := hanging.Wait(ctx, result, timing.SignatureTimeout, errSlowKey)
	if err != nil {
		return nil, fmt.Errorf("waiting for a signature: %w", err)
	}
	return &made.(*signed).Credential, nil
}

// sign has a key sign. A key in a KMS may hang.
func (s *Signer) sign(key *keys.Key, payload []byte) (string, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), timing.SignatureTimeout, errSlowKey)
	defer cancel()
	return hanging.Call(ctx, &s.hanging, func() (string, error) { return key.Sign(payload) })
}

// slot finds the slot that all clients with these claims share. A token that the certificate's end (notAfter, in
// Unix seconds) cuts short has one of its own, since a renewed certificate has the same claims and a later end.
func (s *Signer) slot(holder *token.Holder, w token.Window, notAfter int64) *slot {
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
func (t *signed) mayServe(current *keyset.Schedule, now, notAfter time.Time) bool {
	if t == nil || t.window.Expires > notAfter.Unix() || now.Unix() < t.window.Start {
		return false
	}
	least := int64(timing.MinRemaining / time.Second)
	if t.window.Expires == notAfter.Unix() {
		least = 0 // the next one would not live longer either
	}
	return t.window.Expires-now.Unix() > least && current.Trusts(t.key, now)
}

// Interface guards
var _ credential.Kind = (*Signer)(nil)
