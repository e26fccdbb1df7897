package keys

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Source is the interface of the modules in the namespace elasticsearch_jwt.keys: the place that the keys
// of a set come from. A source that can do more implements [Named], [Checker], [Watcher], [Rotator] or
// [Stopper] too.
type Source interface {
	// Public reports whether the keys have a public half that a JWKS can show.
	Public() bool

	// Origin is equal for two sources that have the same keys. The settings of the source as JSON serve
	// well. After a reload a set keeps its keys and tokens if its name, its kind of source, Caddy's
	// storage and the origin are as before. The origin may have a secret in it: only a hash is kept.
	Origin() string

	// Keys returns all keys of the set. A source that makes keys makes the missing ones first. Keys is
	// called when the configuration starts and then twice a minute, one call at a time. After an error
	// the set keeps the keys of the last call.
	Keys(context.Context, Needs) (Answer, error)
}

// Needs are what the handlers that use a key set need of it.
type Needs struct {
	// Now is the time by which to decide.
	Now time.Time

	// Lifetime is the longest life of a token that the set signs.
	Lifetime time.Duration

	// MaxAge is how long an HTTP cache may keep a JWKS that has the set in it.
	MaxAge time.Duration

	// Known are the timed keys that are in use. The place that they come from can have lost some of them,
	// or what revoked them.
	Known []Timed
}

// Stopper is a source that has something to end when the configuration ends.
type Stopper interface {
	// Stop is called once, after the last call of the other methods. It must not wait for anything that
	// may hang.
	Stop()
}

// Answer is what a source has to say of its keys. They are all timed or all fixed.
type Answer struct {
	Timed []Timed
	Fixed []Fixed

	// Problem is what is wrong with some of the keys, while the others go on: it is counted, logged, and
	// shown to whoever asks how the set is.
	Problem error

	// Waiting says that there may be more keys soon, for which the source has to wait; nil if not.
	Waiting *Waiting
}

// Waiting says when to ask a source again that waits for something, such as a lock. Whether anything is
// wrong is known only then.
type Waiting struct {
	Over  <-chan struct{} // closed when it has what it waited for; nil if it cannot tell
	Again time.Duration   // when to ask at the latest
}

// errNoKeyInIt says that a source has filled in a [Timed] or [Fixed] without its [Key].
var errNoKeyInIt = errors.New("the source has given a key that is nil")

// Check returns an error if no set can use the answer, which is a fault of the source: a key is nil, or there
// are timed keys beside fixed ones, or none can sign.
func (a Answer) Check() error {
	signs := len(a.Timed) > 0
	for _, key := range a.Timed {
		if key.Key == nil {
			return errNoKeyInIt
		}
		if !key.CanSign() {
			return fmt.Errorf("the key %s has no private half, and a timed key must sign", key.ID)
		}
	}
	for _, key := range a.Fixed {
		if key.Key == nil {
			return errNoKeyInIt
		}
		if key.Signs && !key.CanSign() {
			return fmt.Errorf("the key %s has no private half, and cannot be the one that signs", key.ID)
		}
		signs = signs || key.Signs
	}
	switch {
	case len(a.Timed) > 0 && len(a.Fixed) > 0:
		return errors.New("the source has timed keys and fixed ones, which no set can have")
	case !signs:
		return errors.New("the source has no key to sign with")
	}
	return nil
}

// Named is a source that needs the name of its set, for instance to store keys under it.
type Named interface {
	// SetName is called once, before all other methods.
	SetName(string)
}

// Checker is a source that cannot meet all needs.
type Checker interface {
	// CheckNeeds returns an error if the source cannot meet the needs. It is called while the
	// configuration is loaded, which then fails.
	CheckNeeds(Needs) error
}

// Watcher is a source that notices when its keys change, or can no longer be read.
type Watcher interface {
	// Watch watches the keys until the context ends. It calls noticed when Keys should be called again.
	Watch(ctx context.Context, noticed func())
}

// Fixed is a key without turns of its own, such as one in a file: it signs, or is published, from when
// the source gives it until the source does not.
type Fixed struct {
	*Key
	Signs bool // of several that sign, the first one does
}

// Rotator is a source that an operator can tell to change the key that signs. Unlike Keys, its methods may
// be called during a call of another method: they wait for their turn.
type Rotator interface {
	// Rotate makes the next key sign as soon as every cache of the JWKS can have it.
	Rotate(context.Context, Needs) (Rotation, error)

	// Revoke stops a key from signing, and its tokens from being used. The key leaves the JWKS once no
	// replica uses it any more, or now if atOnce is set. A fresh key takes its place there: no cluster
	// has seen it, so that its first token makes every cluster read the JWKS again.
	Revoke(ctx context.Context, kid string, atOnce bool, needs Needs) (Rotation, error)

	// RevokeAll revokes all keys at once. A fresh key signs at once, before every cache can have it.
	RevokeAll(context.Context, Needs) (Rotation, error)
}

// Rotation is what a command of [Rotator] did, or has planned.
type Rotation struct {
	// Revoked are the kids of the keys that do not sign after At, and whose tokens are not used after it.
	Revoked []string `json:"revoked,omitempty"`

	// Signing is the kid of the key that signs from At.
	Signing string    `json:"signing"`
	At      time.Time `json:"at"`

	// Fresh is, after a revocation, the kid of the key that takes the place of the revoked ones. It
	// enters the JWKS when they leave it, and signs from FreshFrom.
	Fresh     string    `json:"fresh,omitempty"`
	FreshFrom time.Time `json:"fresh_from,omitzero"`

	// Withdrawn is when the revoked keys leave the JWKS.
	Withdrawn time.Time `json:"withdrawn,omitzero"`
}

// ErrKeyState is the error of a [Rotator] that changed nothing, because the key is not in the state that the
// command needs: there is no such key, for instance, or it is revoked already.
var ErrKeyState = errors.New("nothing was changed")

// MayBeStored wraps the error of a command of [Rotator] of which nobody knows whether it took effect.
func MayBeStored(err error) error {
	return fmt.Errorf("it may be stored all the same: "+
		"look with `caddy elasticsearch-jwt keys` before you ask again: %w", err)
}

var (
	// ErrNoAnswer is the error of a call to a source that took too long.
	ErrNoAnswer = errors.New("the source of the keys gave no answer: " +
		"is its storage, or what else the keys are kept in, reachable?")

	// ErrBusy is the error of a call that was not made, because an earlier call has no answer yet.
	ErrBusy = fmt.Errorf("it was asked before and is still busy: %w", ErrNoAnswer)
)
