package keys

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Source is what a module in the namespace elasticsearch_jwt.keys is: the place that the keys of a set
// come from. What else it can do it says by implementing [Named], [Checker], [Watcher],
// [Rotator] or [Stopper].
type Source interface {
	// Public reports whether the keys have a public half that a JWKS can show.
	Public() bool

	// Origin tells where the keys come from. When the configuration is loaded anew, a set goes on with the
	// keys and tokens that it has if its name, its kind of source, Caddy's storage and the origin are the
	// same as before. The settings as JSON serve well. Only a hash of it is kept, so it can have a secret in it.
	Origin() string

	// Keys returns every key of the set that there is, having made those that are missing if the source
	// makes keys. It is called when the configuration starts, and then twice a minute, never twice at
	// once. After an error the keys of the last call go on.
	Keys(context.Context, Needs) (Answer, error)
}

// Needs is what those who use a key set need of it.
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

// Stopper is a source that has something to end when the configuration does.
type Stopper interface {
	// Stop is called when nothing will be asked any more. It does not wait for what may hang.
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

// Check finds an answer that no set can use. That is a fault of the source.
func (a Answer) Check() error {
	signs := len(a.Timed) > 0
	for _, key := range a.Timed {
		if !key.CanSign() {
			return fmt.Errorf("the key %s has no private half, and a key with turns of its own must sign", key.ID)
		}
	}
	for _, key := range a.Fixed {
		if key.Signs && !key.CanSign() {
			return fmt.Errorf("the key %s has no private half, and cannot be the one that signs", key.ID)
		}
		signs = signs || key.Signs
	}
	switch {
	case len(a.Timed) > 0 && len(a.Fixed) > 0:
		return errors.New("the source has keys with turns and keys without, which no set can have")
	case !signs:
		return errors.New("the source has no key to sign with")
	}
	return nil
}

// Named is a source that wants to know what its set is called, for instance to keep the keys under that
// name.
type Named interface {
	// SetName is called once, before anything else is asked.
	SetName(string)
}

// Checker is a source that cannot do whatever is needed of it.
type Checker interface {
	// CheckNeeds says what about the needs the source cannot do. It is asked while the configuration is
	// loaded, and an error refuses that.
	CheckNeeds(Needs) error
}

// Watcher is a source that notices by itself when its keys have changed, or cannot be read any more.
type Watcher interface {
	// Watch looks at the keys until the context ends, and calls noticed when they should be asked for.
	Watch(ctx context.Context, noticed func())
}

// Fixed is a key without turns of its own, such as one in a file: it signs, or is published, from when
// the source gives it until the source does not.
type Fixed struct {
	*Key
	Signs bool // of several that sign, the first one does
}

// Rotator is a source that can be told to change the key that signs. Unlike Keys, its methods can be called
// while the source is asked something else: they wait for their turn.
type Rotator interface {
	// Rotate makes the successor sign, as soon as every cache can know it.
	Rotate(context.Context, Needs) (Rotation, error)

	// Revoke stops a key from signing, and its tokens from being used. Once no replica needs it
	// any more (or at once) it leaves the JWKS, and a key that no cluster has seen takes its
	// place: its first token makes every cluster read the JWKS again.
	Revoke(ctx context.Context, kid string, atOnce bool, needs Needs) (Rotation, error)

	// RevokeAll gives all keys up and signs with a new one at once, before caches can know it.
	RevokeAll(context.Context, Needs) (Rotation, error)
}

// Rotation is what an emergency does.
type Rotation struct {
	// Revoked are the keys that no longer sign, and whose tokens are no longer used, from At.
	Revoked []string `json:"revoked,omitempty"`

	// Signing is the key that signs from At.
	Signing string    `json:"signing"`
	At      time.Time `json:"at"`

	// Fresh is, after a revocation, the key that no cluster has seen yet: it enters the JWKS when
	// the revoked keys leave it, and signs from FreshFrom.
	Fresh     string    `json:"fresh,omitempty"`
	FreshFrom time.Time `json:"fresh_from,omitzero"`

	// Withdrawn is when the revoked keys leave the JWKS.
	Withdrawn time.Time `json:"withdrawn,omitzero"`
}

// ErrKeyState says that there is no such key to act upon.
var ErrKeyState = errors.New("nothing was changed")

// MayBeStored says that it is not known what became of a command.
func MayBeStored(err error) error {
	return fmt.Errorf("it may be stored all the same: look with `caddy elasticsearch-jwt keys` before you ask again: %w", err)
}

var (
	// ErrNoAnswer says that a source hangs.
	ErrNoAnswer = errors.New("the source of the keys gave no answer: is its storage, or what else the keys are kept in, reachable?")

	// ErrBusy says that it hangs since it was asked something before.
	ErrBusy = fmt.Errorf("it was asked before and is still busy: %w", ErrNoAnswer)
)
