// Package keyset decides which key of a set signs at a point in time, and which keys are published in a JWKS. A
// [Schedule] works this out from the keys. A [Set] asks its source for the keys and keeps the schedule up to
// date. The package knows nothing of Caddy, and knows a source only by the interface [keys.Source].
package keyset

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// Set is a named group of keys, of which exactly one signs at a time.
type Set struct {
	Config
	State *State

	needs  needs
	asking chan struct{} // has one element while the source is being asked

	signs, published atomic.Bool
}

// Config has what a set is made of.
type Config struct {
	Name       string
	Source     keys.Source
	SourceName string // the name of the source's module, such as storage
	Logger     *zap.Logger

	// Emit sends an event about the keys to those who subscribe to it. It may be nil.
	Emit func(event string, data map[string]any)

	// Now returns the current time.
	Now func() time.Time
}

// New returns a set. It asks its source for keys once [Set.Run] is called.
func New(c Config, state *State) *Set {
	return &Set{Config: c, State: state, asking: make(chan struct{}, 1)}
}

// SignFor says that a handler signs tokens of this lifetime with the set.
func (ks *Set) SignFor(lifetime time.Duration) {
	ks.needs.add(lifetime, 0)
	ks.signs.Store(true)
}

// PublishFor says that a handler publishes the set in a JWKS that caches may keep for maxAge. It returns an error
// if the source cannot support that.
func (ks *Set) PublishFor(maxAge time.Duration) error {
	ks.needs.add(0, maxAge)
	ks.published.Store(true)
	if source, ok := ks.Source.(keys.Checker); ok {
		return source.CheckNeeds(ks.needs.at(ks.Now()))
	}
	return nil
}

// Signs reports whether a handler of the configuration signs with the set.
func (ks *Set) Signs() bool { return ks.signs.Load() }

// Published reports whether a handler of the configuration publishes the set.
func (ks *Set) Published() bool { return ks.published.Load() }

// WarnOfUse logs a warning if no handler of the configuration uses the keys, or if none publishes keys that
// handlers sign with.
func (ks *Set) WarnOfUse(signs, published bool) {
	switch {
	case published:
	case !signs:
		ks.Logger.Warn("nothing uses these keys: " +
			"name the set in elasticsearch_jwt with `keys " + ks.Name + "`, or leave it out")
	case ks.Source.Public():
		ks.Logger.Warn("no elasticsearch_jwks of this configuration publishes these keys, " +
			"and unless another server does, no cluster can verify the tokens: " +
			"name the set in an elasticsearch_jwks with `keys " + ks.Name + "`, beside the others that it has")
	}
}

// needs has what all handlers of a configuration need of a set: the longest of their times.
type needs struct {
	mu               sync.Mutex
	lifetime, maxAge time.Duration
}

func (n *needs) add(lifetime, maxAge time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lifetime, n.maxAge = max(n.lifetime, lifetime), max(n.maxAge, maxAge)
}

func (n *needs) at(now time.Time) keys.Needs {
	n.mu.Lock()
	defer n.mu.Unlock()
	// If no handler of this configuration publishes the set, one of another server does.
	return keys.Needs{Now: now, Lifetime: n.lifetime, MaxAge: cmp.Or(n.maxAge, timing.DefaultMaxAge)}
}

// needsAt returns what the handlers need of the set, and the timed keys that it knows already.
func (ks *Set) needsAt(now time.Time) keys.Needs {
	needs := ks.needs.at(now)
	if current := ks.State.Current(); current != nil && !current.fixed {
		needs.Known = current.Records
	}
	return needs
}

// Run keeps the keys up to date until the context ends.
func (ks *Set) Run(ctx context.Context) {
	if source, ok := ks.Source.(keys.Stopper); ok {
		defer source.Stop()
	}
	noticed := make(chan struct{}, 1)
	if source, ok := ks.Source.(keys.Watcher); ok {
		var watching sync.WaitGroup
		defer watching.Wait()
		watching.Go(func() {
			source.Watch(ctx, func() {
				select {
				case noticed <- struct{}{}:
				default:
				}
			})
		})
	}
	retry := time.Second
	for {
		waiting, err := ks.refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := timing.PollInterval*9/10 + rand.N(timing.PollInterval/5) //nolint:gosec // jitter
		if err != nil {
			ks.logFailure(err)
			if ks.State.Current() == nil {
				wait = min(retry, wait)
				retry = min(2*retry, timing.PollInterval)
			}
		}
		var over <-chan struct{}
		if waiting != nil {
			over, wait = waiting.Over, min(waiting.Again, wait)
		}
		select {
		case <-over:
		case <-time.After(wait):
		case <-noticed:
		case <-ctx.Done():
			return
		}
	}
}

// refresh asks the source for its keys, and takes over what it gives. The source may give some keys and an error.
func (ks *Set) refresh(ctx context.Context) (*keys.Waiting, error) {
	ctx, cancel := context.WithTimeout(ctx, timing.PollTimeout)
	defer cancel()
	now := ks.Now()
	answer, err := ks.ask(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err() // this configuration has ended, and the failure is none of the source's
	}
	if some := len(answer.Timed)+len(answer.Fixed) > 0; some || err == nil && answer.Waiting == nil {
		if wrong := answer.Check(); wrong != nil {
			err = errors.Join(err, wrong)
		} else {
			ks.State.Update(answer, now)
		}
	}
	if answer.Waiting != nil && err == nil {
		ks.report(now, nil)
		return answer.Waiting, nil // whether something is wrong is only known when the source has waited
	}
	problem := cmp.Or(err, answer.Problem)
	if problem != nil {
		ks.State.counts.addFailure(keys.FailureOf(problem))
		ks.State.setFailure(problem)
	} else {
		ks.State.failure.Store(nil)
	}
	ks.report(now, problem)
	return answer.Waiting, err
}

// ask asks the source for its keys. If the source still has to answer an earlier call, ask waits for that.
func (ks *Set) ask(ctx context.Context) (keys.Answer, error) {
	select {
	case ks.asking <- struct{}{}:
	case <-ctx.Done():
		return keys.Answer{}, keys.Failed(keys.NoAnswer, keys.ErrBusy)
	}
	return waitFor(ctx, func() (keys.Answer, error) {
		defer func() { <-ks.asking }()
		return ks.Source.Keys(ctx, ks.needsAt(ks.Now()))
	})
}

// waitFor calls a function, and returns its result. If the context ends first, it returns an error and leaves the
// call behind, because a storage that hangs may ignore its context.
func waitFor[T any](ctx context.Context, call func() (T, error)) (T, error) {
	answers := hanging.Go("the source of the keys", call)
	select {
	case a := <-answers:
		return a.Value, a.Err
	case <-ctx.Done():
	}
	select { // a source that obeys its context returns now, and its error says more
	case a := <-answers:
		return a.Value, a.Err
	case <-time.After(time.Second):
		var none T
		return none, keys.Failed(keys.NoAnswer, keys.ErrNoAnswer)
	}
}

// ErrNoKey says that there is no key to sign with.
var ErrNoKey = errors.New("no signing key")

// logFailure logs why the keys could not be brought up to date: an error if there are none to sign with, and a
// warning if there are.
func (ks *Set) logFailure(err error) {
	if ks.State.Current() == nil {
		ks.Logger.Error("no signing key: every request of an authenticated client gets 503 until there is one",
			zap.Error(err))
		return
	}
	ks.Logger.Warn("the signing keys could not be brought up to date; those at hand go on", zap.Error(err))
}
