package esjwt

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

// keySet is a named group of keys, of which exactly one signs at any instant.
type keySet struct {
	name       string
	source     keys.Source
	sourceName string
	state      *keyState
	logger     *zap.Logger
	emit       func(event string, data map[string]any) // nil: nobody listens
	now        func() time.Time
	needs      keyNeeds
	asking     chan struct{} // has one element while the source is being asked

	signs, shown atomic.Bool // a handler signs with it; a JWKS shows it
}

// keyNeeds are the needs of all handlers of a configuration together.
type keyNeeds struct {
	mu               sync.Mutex
	lifetime, maxAge time.Duration
}

func (n *keyNeeds) add(lifetime, maxAge time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lifetime, n.maxAge = max(n.lifetime, lifetime), max(n.maxAge, maxAge)
}

func (n *keyNeeds) at(now time.Time) keys.Needs {
	n.mu.Lock()
	defer n.mu.Unlock()
	// Where no JWKS of this configuration has the set, another server's has.
	return keys.Needs{Now: now, Lifetime: n.lifetime, MaxAge: cmp.Or(n.maxAge, timing.DefaultMaxAge)}
}

// needsAt are the needs of those who use the set at an instant.
func (ks *keySet) needsAt(now time.Time) keys.Needs {
	needs := ks.needs.at(now)
	if current := ks.state.current.Load(); current != nil && !current.fixed {
		needs.Known = current.records
	}
	return needs
}

// checkNeeds checks that the source can do what its users need.
func (ks *keySet) checkNeeds() error {
	if source, ok := ks.source.(keys.Checker); ok {
		return source.CheckNeeds(ks.needs.at(ks.now()))
	}
	return nil
}

// keyState is what outlives a configuration: a reload takes the keys with it, which their storage may not
// be able to give just then.
type keyState struct {
	current atomic.Pointer[schedule]
	failure atomic.Pointer[error] // why the keys are not there or not up to date; nil if they are
	seen    keysSeen
	counts  keyCounts
	first   chan struct{} // closed once there are keys, or a failure
	update  sync.Mutex
	once    sync.Once
}

func newKeyState() *keyState { return &keyState{first: make(chan struct{})} }

// get is the keys as they are now, or nil.
func (s *keyState) get() *schedule { return s.current.Load() }

// signatureFailed counts a signature that failed.
func (s *keyState) signatureFailed() { s.counts.failed(keys.SignatureFailed) }

// wait returns the keys. It waits for the first ones, so that a request which arrives
// while they are being made is served.
func (s *keyState) wait(ctx context.Context) (*schedule, error) {
	if current := s.current.Load(); current != nil {
		return current, nil
	}
	timeout := time.NewTimer(timing.FirstKeysTimeout)
	defer timeout.Stop()
	select {
	case <-s.first:
	case <-timeout.C:
		return nil, fmt.Errorf("%w: the first keys are not there yet", errNoKey)
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the first keys: %w", context.Cause(ctx))
	}
	if current := s.current.Load(); current != nil {
		return current, nil
	}
	if failure := s.failure.Load(); failure != nil {
		return nil, fmt.Errorf("%w: %w", errNoKey, *failure)
	}
	return nil, errNoKey
}

// take takes up the keys that a source has just given.
func (s *keyState) take(answer keys.Answer, now time.Time) {
	s.update.Lock()
	defer s.update.Unlock()
	old := s.current.Load()
	var next *schedule
	if len(answer.Fixed) > 0 {
		next = takeFixed(old, answer.Fixed, now)
	} else {
		next = takeTimed(old, answer.Timed, now)
	}
	if old != nil && slices.Equal(old.records, next.records) {
		return
	}
	s.current.Store(next)
	s.once.Do(func() { close(s.first) })
}

// takeFixed is the schedule of fixed keys: one that signs in the place of another does so from now on.
func takeFixed(old *schedule, fixed []keys.Fixed, now time.Time) *schedule {
	if old == nil {
		return newFixedSchedule(fixed, time.Time{})
	}
	next := newFixedSchedule(fixed, old.replaced)
	if was, is := old.signing(now), next.signing(now); is != nil && (was == nil || !was.Is(is.Key)) {
		next.replaced = now
	}
	return next
}

// takeTimed is the schedule of keys with a life, among them those that are known and still in use.
func takeTimed(old *schedule, timed []keys.Timed, now time.Time) *schedule {
	if old == nil {
		return newSchedule(timed)
	}
	return newSchedule(merge(old, timed, now))
}

func (s *keyState) fail(err error) {
	s.failure.Store(&err)
	s.once.Do(func() { close(s.first) })
}

// merge adds what was known before to what a source has just said. A storage can return stale
// data, and a key or a revocation that was read once is true: it stays until the key retires.
func merge(old *schedule, fresh []keys.Timed, now time.Time) []keys.Timed {
	merged := slices.Clone(fresh)
	for i := range old.records {
		known := &old.records[i]
		j := slices.IndexFunc(merged, func(r keys.Timed) bool { return r.Is(known.Key) })
		switch {
		case j < 0:
			if !timing.Reached(old.retires(known), now) {
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

// run keeps the keys up to date until the context ends.
func (ks *keySet) run(ctx context.Context) {
	if source, ok := ks.source.(keys.Stopper); ok {
		defer source.Stop()
	}
	noticed := make(chan struct{}, 1)
	if source, ok := ks.source.(keys.Watcher); ok {
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
			if ks.state.current.Load() == nil {
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
func (ks *keySet) refresh(ctx context.Context) (*keys.Waiting, error) {
	ctx, cancel := context.WithTimeout(ctx, timing.PollTimeout)
	defer cancel()
	now := ks.now()
	answer, err := ks.ask(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err() // this configuration was stopped: the next one knows better
	}
	if some := len(answer.Timed)+len(answer.Fixed) > 0; some || err == nil && answer.Waiting == nil {
		if wrong := answer.Check(); wrong != nil {
			err = errors.Join(err, wrong)
		} else {
			ks.state.take(answer, now)
		}
	}
	if answer.Waiting != nil && err == nil {
		ks.tell(now, nil)
		return answer.Waiting, nil // whether something is wrong is known once it has what it waits for
	}
	problem := cmp.Or(err, answer.Problem)
	if problem != nil {
		ks.state.counts.failed(keys.FailureOf(problem))
		ks.state.fail(problem)
	} else {
		ks.state.failure.Store(nil)
	}
	ks.tell(now, problem)
	return answer.Waiting, err
}

// ask asks the source for its keys. There is never more than one such question open.
func (ks *keySet) ask(ctx context.Context) (keys.Answer, error) {
	select {
	case ks.asking <- struct{}{}:
	case <-ctx.Done():
		return keys.Answer{}, keys.Failed(keys.NoAnswer, keys.ErrBusy)
	}
	return bounded(ctx, func() (keys.Answer, error) {
		defer func() { <-ks.asking }()
		return ks.source.Keys(ctx, ks.needsAt(ks.now()))
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

// errNotRotator says why a set cannot be rotated by a command.
var errNotRotator = errors.New("its keys are not Caddy's to make: change the file, the secret or the key in the KMS instead")

// rotate makes the successor sign.
func (ks *keySet) rotate(ctx context.Context) (keys.Rotation, error) {
	return ks.emergency(ctx, func(r keys.Rotator, needs keys.Needs) (keys.Rotation, error) { return r.Rotate(ctx, needs) })
}

// revoke gives a key up.
func (ks *keySet) revoke(ctx context.Context, kid string, atOnce bool) (keys.Rotation, error) {
	return ks.emergency(ctx, func(r keys.Rotator, needs keys.Needs) (keys.Rotation, error) {
		return r.Revoke(ctx, kid, atOnce, needs)
	})
}

// revokeAll gives all keys up.
func (ks *keySet) revokeAll(ctx context.Context) (keys.Rotation, error) {
	return ks.emergency(ctx, func(r keys.Rotator, needs keys.Needs) (keys.Rotation, error) { return r.RevokeAll(ctx, needs) })
}

// emergency has the source do something about the keys, and follows at once. The other replicas
// follow when they poll.
func (ks *keySet) emergency(ctx context.Context, do func(keys.Rotator, keys.Needs) (keys.Rotation, error)) (keys.Rotation, error) {
	rotator, ok := ks.source.(keys.Rotator)
	if !ok {
		return keys.Rotation{}, fmt.Errorf("the key set %s is of the source %s: %w", ks.name, ks.sourceName, errNotRotator)
	}
	rotation, err := bounded(ctx, func() (keys.Rotation, error) { return do(rotator, ks.needsAt(ks.now())) })
	if errors.Is(err, keys.ErrNoAnswer) && !errors.Is(err, keys.ErrBusy) {
		err = keys.Failed(keys.NoAnswer, keys.MayBeStored(err))
	}
	if err != nil {
		if keys.IsFailure(err) { // and not what one asked for that cannot be done
			ks.state.counts.failed(keys.FailureOf(err))
		}
		return keys.Rotation{}, err
	}
	if _, err := ks.refresh(ctx); err != nil {
		return keys.Rotation{}, fmt.Errorf("it is stored, and this replica follows when it can read its keys again: %w", err)
	}
	return rotation, nil
}

// errNoKey says that there is no key to sign with.
var errNoKey = errors.New("no signing key")

// report logs why the keys could not be brought up to date, as loud as it matters.
func (ks *keySet) report(err error) {
	if ks.state.current.Load() == nil {
		ks.logger.Error("no signing key: every request of an authenticated client gets 503 until there is one", zap.Error(err))
		return
	}
	ks.logger.Warn("the signing keys could not be brought up to date; those at hand go on", zap.Error(err))
}
