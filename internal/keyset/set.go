// Package keyset decides which key of a set signs at an instant, and which ones a JWKS shows. A [Schedule] is
// what follows from the keys and the clock; a [Set] asks its source for the keys and keeps the schedule up to
// date. It knows nothing of Caddy, and a source by its contract alone.
package keyset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// Set is a named group of keys, of which exactly one signs at any instant.
type Set struct {
	Config
	State *State

	needs  needs
	asking chan struct{} // has one element while the source is being asked

	signs, shown atomic.Bool
}

// Config is what a set is made of.
type Config struct {
	Name       string
	Source     keys.Source
	SourceName string // that of its module
	Logger     *zap.Logger

	// Emit tells whoever listens that something has happened to the keys.
	Emit func(event string, data map[string]any)

	// Now is the clock.
	Now func() time.Time
}

// New returns a set that is yet to be run.
func New(c Config, state *State) *Set {
	return &Set{Config: c, State: state, asking: make(chan struct{}, 1)}
}

// SignFor says that the set signs tokens that live so long.
func (ks *Set) SignFor(lifetime time.Duration) {
	ks.needs.add(lifetime, 0)
	ks.signs.Store(true)
}

// ShowFor says that a JWKS shows the set, which caches may keep for so long. The error is why the source
// cannot do that.
func (ks *Set) ShowFor(maxAge time.Duration) error {
	ks.needs.add(0, maxAge)
	ks.shown.Store(true)
	if source, ok := ks.Source.(keys.Checker); ok {
		return source.CheckNeeds(ks.needs.at(ks.Now()))
	}
	return nil
}

// Signs reports whether anybody signs with the set.
func (ks *Set) Signs() bool { return ks.signs.Load() }

// Shown reports whether a JWKS shows the set.
func (ks *Set) Shown() bool { return ks.shown.Load() }

// needs are the needs of all handlers of a configuration together.
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
	// Where no JWKS of this configuration has the set, another server's has.
	return keys.Needs{Now: now, Lifetime: n.lifetime, MaxAge: cmp.Or(n.maxAge, timing.DefaultMaxAge)}
}

// needsAt are the needs of those who use the set at an instant.
func (ks *Set) needsAt(now time.Time) keys.Needs {
	needs := ks.needs.at(now)
	if current := ks.State.Current(); current != nil && !current.fixed {
		needs.Known = current.Records
	}
	return needs
}

// State is what outlives a configuration: a reload takes the keys with it, which their storage may not
// be able to give just then.
type State struct {
	current atomic.Pointer[Schedule]
	failure atomic.Pointer[error] // why the keys are not there or not up to date; nil if they are
	seen    keysSeen
	counts  keyCounts
	first   chan struct{} // closed once there are keys, or a failure
	update  sync.Mutex
	once    sync.Once
}

// NewState returns a state without keys.
func NewState() *State { return &State{first: make(chan struct{})} }

// Current is the schedule of the keys as they are now, or nil.
func (s *State) Current() *Schedule { return s.current.Load() }

// SignatureFailed counts a signature that failed.
func (s *State) SignatureFailed() { s.counts.failed(keys.SignatureFailed) }

// Wait returns the schedule of the keys. It waits for the first ones, so that a request which arrives
// while they are being made is served.
func (s *State) Wait(ctx context.Context) (*Schedule, error) {
	if current := s.Current(); current != nil {
		return current, nil
	}
	timeout := time.NewTimer(timing.FirstKeysTimeout)
	defer timeout.Stop()
	select {
	case <-s.first:
	case <-timeout.C:
		return nil, fmt.Errorf("%w: the first keys are not there yet", ErrNoKey)
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the first keys: %w", context.Cause(ctx))
	}
	if current := s.Current(); current != nil {
		return current, nil
	}
	if failure := s.failure.Load(); failure != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, *failure)
	}
	return nil, ErrNoKey
}

// Take takes up the keys that a source has just given.
func (s *State) Take(answer keys.Answer, now time.Time) {
	s.update.Lock()
	defer s.update.Unlock()
	old := s.Current()
	var next *Schedule
	if len(answer.Fixed) > 0 {
		next = takeFixed(old, answer.Fixed, now)
	} else {
		next = takeTimed(old, answer.Timed, now)
	}
	if old != nil && slices.Equal(old.Records, next.Records) {
		return
	}
	s.current.Store(next)
	s.once.Do(func() { close(s.first) })
}

// takeFixed is the schedule of fixed keys: one that signs in the place of another does so from now on.
func takeFixed(old *Schedule, fixed []keys.Fixed, now time.Time) *Schedule {
	if old == nil {
		return newFixedSchedule(fixed, time.Time{})
	}
	next := newFixedSchedule(fixed, old.replaced)
	if was, is := old.Signing(now), next.Signing(now); is != nil && (was == nil || !was.Is(is.Key)) {
		next.replaced = now
	}
	return next
}

// takeTimed is the schedule of keys with a life, among them those that are known and still in use.
func takeTimed(old *Schedule, timed []keys.Timed, now time.Time) *Schedule {
	if old == nil {
		return NewSchedule(timed)
	}
	return NewSchedule(merge(old, timed, now))
}

func (s *State) fail(err error) {
	s.failure.Store(&err)
	s.once.Do(func() { close(s.first) })
}

// merge adds what was known before to what a source has just said. A storage can return stale
// data, and a key or a revocation that was read once is true: it stays until the key retires.
func merge(old *Schedule, fresh []keys.Timed, now time.Time) []keys.Timed {
	merged := slices.Clone(fresh)
	for i := range old.Records {
		known := &old.Records[i]
		j := slices.IndexFunc(merged, func(r keys.Timed) bool { return r.Is(known.Key) })
		switch {
		case j < 0:
			if !timing.Reached(old.Retires(known), now) {
				merged = append(merged, *known)
			}
		default:
			r := &merged[j]
			r.UsedUntil = known.UsedUntil
			if known.Grace > r.Grace { // the tokens of an earlier configuration live longer: those that it has signed
				r.UsedUntil = timing.Later(r.UsedUntil, now.Add(known.Grace))
			}
			r.Promoted = timing.EarliestAfter(time.Time{}, r.Promoted, known.Promoted)
			r.Revoked = timing.EarliestAfter(time.Time{}, r.Revoked, known.Revoked)
			r.Withdrawn = timing.EarliestAfter(time.Time{}, r.Withdrawn, known.Withdrawn)
		}
	}
	return merged
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
			ks.report(err)
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

// refresh asks the source for its keys, and takes up what it gives. The error is why that is not all.
func (ks *Set) refresh(ctx context.Context) (*keys.Waiting, error) {
	ctx, cancel := context.WithTimeout(ctx, timing.PollTimeout)
	defer cancel()
	now := ks.Now()
	answer, err := ks.ask(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err() // this configuration was stopped: the next one knows better
	}
	if some := len(answer.Timed)+len(answer.Fixed) > 0; some || err == nil && answer.Waiting == nil {
		if wrong := answer.Check(); wrong != nil {
			err = errors.Join(err, wrong)
		} else {
			ks.State.Take(answer, now)
		}
	}
	if answer.Waiting != nil && err == nil {
		ks.tell(now, nil)
		return answer.Waiting, nil // whether something is wrong is known once it has what it waits for
	}
	problem := cmp.Or(err, answer.Problem)
	if problem != nil {
		ks.State.counts.failed(keys.FailureOf(problem))
		ks.State.fail(problem)
	} else {
		ks.State.failure.Store(nil)
	}
	ks.tell(now, problem)
	return answer.Waiting, err
}

// ask asks the source for its keys. There is never more than one such question open.
func (ks *Set) ask(ctx context.Context) (keys.Answer, error) {
	select {
	case ks.asking <- struct{}{}:
	case <-ctx.Done():
		return keys.Answer{}, keys.Failed(keys.NoAnswer, keys.ErrBusy)
	}
	return bounded(ctx, func() (keys.Answer, error) {
		defer func() { <-ks.asking }()
		return ks.Source.Keys(ctx, ks.needsAt(ks.Now()))
	})
}

// bounded waits for an answer no longer than the context lasts: a storage that hangs may not heed it.
func bounded[T any](ctx context.Context, question func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				answers <- answer{err: fmt.Errorf("the source of the keys panicked: %v", r)}
			}
		}()
		value, err := question()
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
	}
	select { // a source that heeds its context knows better what went wrong
	case a := <-answers:
		return a.value, a.err
	case <-time.After(time.Second):
		var none T
		return none, keys.Failed(keys.NoAnswer, keys.ErrNoAnswer)
	}
}

// ErrNotRotator says why a set cannot be rotated by a command.
var ErrNotRotator = errors.New("its keys are not Caddy's to make: change the file, the secret or the key in the KMS instead")

// Rotate makes the successor sign.
func (ks *Set) Rotate(ctx context.Context) (keys.Rotation, error) {
	return ks.emergency(ctx, func(r keys.Rotator, needs keys.Needs) (keys.Rotation, error) { return r.Rotate(ctx, needs) })
}

// Revoke gives a key up.
func (ks *Set) Revoke(ctx context.Context, kid string, atOnce bool) (keys.Rotation, error) {
	return ks.emergency(ctx, func(r keys.Rotator, needs keys.Needs) (keys.Rotation, error) {
		return r.Revoke(ctx, kid, atOnce, needs)
	})
}

// RevokeAll gives all keys up.
func (ks *Set) RevokeAll(ctx context.Context) (keys.Rotation, error) {
	return ks.emergency(ctx, func(r keys.Rotator, needs keys.Needs) (keys.Rotation, error) { return r.RevokeAll(ctx, needs) })
}

// emergency has the source do something about the keys, and follows at once. The other replicas
// follow when they poll.
func (ks *Set) emergency(ctx context.Context, do func(keys.Rotator, keys.Needs) (keys.Rotation, error)) (keys.Rotation, error) {
	rotator, ok := ks.Source.(keys.Rotator)
	if !ok {
		return keys.Rotation{}, fmt.Errorf("the key set %s is of the source %s: %w", ks.Name, ks.SourceName, ErrNotRotator)
	}
	rotation, err := bounded(ctx, func() (keys.Rotation, error) { return do(rotator, ks.needsAt(ks.Now())) })
	if errors.Is(err, keys.ErrNoAnswer) && !errors.Is(err, keys.ErrBusy) {
		err = keys.Failed(keys.NoAnswer, keys.MayBeStored(err))
	}
	if err != nil {
		if keys.IsFailure(err) { // and not what one asked for that cannot be done
			ks.State.counts.failed(keys.FailureOf(err))
		}
		return keys.Rotation{}, err
	}
	if _, err := ks.refresh(ctx); err != nil {
		return keys.Rotation{}, fmt.Errorf("it is stored, and this replica follows when it can read its keys again: %w", err)
	}
	return rotation, nil
}

// ErrNoKey says that there is no key to sign with.
var ErrNoKey = errors.New("no signing key")

// report logs why the keys could not be brought up to date, as loud as it matters.
func (ks *Set) report(err error) {
	if ks.State.Current() == nil {
		ks.Logger.Error("no signing key: every request of an authenticated client gets 503 until there is one", zap.Error(err))
		return
	}
	ks.Logger.Warn("the signing keys could not be brought up to date; those at hand go on", zap.Error(err))
}
