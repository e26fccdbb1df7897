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

	"github.com/caddyserver/caddy/v2"
	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// KeySource is what a module in the namespace elasticsearch_jwt.keys is: the place that the
// keys of a set come from. It is asked one thing at a time.
type KeySource interface {
	// Keys returns every key of the set that there is, having made those that are missing if
	// the source makes keys. It is called when the configuration starts, and again and again
	// while it runs. After an error the keys of the last call go on.
	Keys(context.Context, KeyNeeds) ([]KeyRecord, error)

	// Public reports whether the keys have a public half that a JWKS can show.
	Public() bool
}

// KeyNeeds is what those who use a key set need of it.
type KeyNeeds struct {
	// Now is the time by which to decide.
	Now time.Time

	// Lifetime is the longest life of a token that the set signs.
	Lifetime time.Duration

	// MaxAge is how long an HTTP cache may keep a JWKS that has the set in it.
	MaxAge time.Duration

	// Known are the keys that are in use. The place that they come from can have lost some of them, or
	// what revoked them.
	Known []KeyRecord

	// asksAgain is set by who goes on with what was read while a lock is waited for: see lockAwaited.
	asksAgain bool
}

// keySet is a named group of keys, of which exactly one signs at any instant.
type keySet struct {
	name       string
	source     KeySource
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

func (n *keyNeeds) at(now time.Time) KeyNeeds {
	n.mu.Lock()
	defer n.mu.Unlock()
	// Where no JWKS of this configuration has the set, another server's has.
	return KeyNeeds{Now: now, Lifetime: n.lifetime, MaxAge: cmp.Or(n.maxAge, defaultJWKSMaxAge), asksAgain: true}
}

// needsAt are the needs of those who use the set at an instant.
func (ks *keySet) needsAt(now time.Time) KeyNeeds {
	needs := ks.needs.at(now)
	if current := ks.state.current.Load(); current != nil {
		needs.Known = current.records
	}
	return needs
}

// checkNeeds checks that the source can do what its users need.
func (ks *keySet) checkNeeds() error {
	if source, ok := ks.source.(interface{ checkNeeds(KeyNeeds) error }); ok {
		return source.checkNeeds(ks.needs.at(ks.now()))
	}
	return nil
}

// keyState is what outlives a configuration: a reload takes the keys, which its storage may
// not be able to give just now, and the tokens with it.
type keyState struct {
	signer  *signer
	current atomic.Pointer[schedule]
	failure atomic.Pointer[error] // why the keys are not there or not up to date; nil if they are
	seen    keysSeen
	counts  keyCounts
	first   chan struct{} // closed once there are keys, or a failure
	update  sync.Mutex
	once    sync.Once
}

// keyStates are the states of all configurations that run, by what makes them the same.
var keyStates = caddy.NewUsagePool()

func newKeyState(cacheSize int, observe func(jose.SignatureAlgorithm, time.Duration, error)) *keyState {
	s := &keyState{first: make(chan struct{})}
	s.signer = newSigner(cacheSize, s.schedule, func(alg jose.SignatureAlgorithm, took time.Duration, err error) {
		if err != nil {
			s.counts.failed(signatureFailed)
		}
		observe(alg, took, err)
	})
	return s
}

// schedule returns the keys. It waits for the first ones, so that a request which arrives
// while they are being made is served.
func (s *keyState) schedule(ctx context.Context) (*schedule, error) {
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

// replace puts new keys in the place of the old ones.
func (s *keyState) replace(records []KeyRecord, now time.Time) {
	s.update.Lock()
	defer s.update.Unlock()
	old := s.current.Load()
	var replaced time.Time
	if old != nil {
		replaced = old.replaced
	}
	if old != nil {
		records = merge(old, records, now)
	}
	next := newSchedule(records, replaced)
	if old != nil {
		if slices.Equal(old.records, next.records) {
			return
		}
		was, is := old.signing(now), next.signing(now)
		if is != nil && is.Created.IsZero() && (was == nil || !was.is(is.Key)) {
			next.replaced = now // a source without instants: the new key signs from now on
		}
	}
	s.current.Store(next)
	s.once.Do(func() { close(s.first) })
}

func (s *keyState) fail(err error) {
	s.failure.Store(&err)
	s.once.Do(func() { close(s.first) })
}

// merge adds what was known before to what a source has just said. A storage can return stale
// data, and a key or a revocation that was read once is true: it stays until the key retires.
func merge(old *schedule, fresh []KeyRecord, now time.Time) []KeyRecord {
	merged := slices.Clone(fresh)
	for i := range old.records {
		known := &old.records[i]
		j := slices.IndexFunc(merged, func(r KeyRecord) bool { return r.is(known.Key) })
		switch {
		case known.Created.IsZero(): // a source without instants says everything, every time
		case j < 0:
			if !reached(old.retires(known), now) {
				merged = append(merged, *known)
			}
		default:
			r := &merged[j]
			r.UsedUntil = known.UsedUntil
			if known.Grace > r.Grace { // the tokens of an earlier configuration live longer: those that it has signed
				r.UsedUntil = later(r.UsedUntil, now.Add(known.Grace))
			}
			r.Promoted = earliestAfter(time.Time{}, r.Promoted, known.Promoted)
			r.Revoked = earliestAfter(time.Time{}, r.Revoked, known.Revoked)
			r.Withdrawn = earliestAfter(time.Time{}, r.Withdrawn, known.Withdrawn)
		}
	}
	return merged
}

// watchingSource is a source that notices by itself when its keys have changed, or cannot be read.
type watchingSource interface {
	watch(ctx context.Context, noticed func())
}

// run keeps the keys up to date until the context ends.
func (ks *keySet) run(ctx context.Context) {
	if source, ok := ks.source.(interface{ end() }); ok {
		defer source.end()
	}
	noticed := make(chan struct{}, 1)
	if source, ok := ks.source.(watchingSource); ok {
		var watching sync.WaitGroup
		defer watching.Wait()
		watching.Go(func() {
			source.watch(ctx, func() {
				select {
				case noticed <- struct{}{}:
				default:
				}
			})
		})
	}
	retry := time.Second
	for {
		err := ks.refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		var lock <-chan struct{} // closed when it has come
		awaited, ok := errors.AsType[*lockAwaited](err)
		if ok {
			lock = awaited.over
		}
		wait := timing.PollInterval*9/10 + rand.N(timing.PollInterval/5) //nolint:gosec // jitter
		switch {
		case err == nil:
		case ok && !awaited.overdue:
			wait = min(lockPoll, wait)
		default:
			ks.report(err)
			if ks.state.current.Load() == nil {
				wait = min(retry, wait)
				retry = min(2*retry, timing.PollInterval)
			}
		}
		select {
		case <-lock:
		case <-time.After(wait):
		case <-noticed:
		case <-ctx.Done():
			return
		}
	}
}

// refresh asks the source for its keys. What it returns counts, also where it has to wait for a
// lock to make more: the error is a [lockAwaited] then.
func (ks *keySet) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timing.PollTimeout)
	defer cancel()
	now := ks.now()
	records, err := ask(ctx, ks, func(ctx context.Context) ([]KeyRecord, error) {
		return ks.source.Keys(ctx, ks.needsAt(ks.now()))
	})
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // this configuration was stopped: the next one knows better
	}
	if len(records) == 0 && err == nil {
		err = errors.New("the source has no keys")
	}
	if len(records) > 0 {
		ks.state.replace(records, now)
	}
	if awaited, ok := errors.AsType[*lockAwaited](err); ok && !awaited.overdue {
		ks.tell(now, nil)
		return err // whether something is wrong is known once the lock is there
	}
	problem := err
	if err == nil {
		problem = ks.lacking()
	}
	if problem != nil {
		ks.state.counts.failed(failureOf(ks.source, problem))
		ks.state.fail(problem)
	} else {
		ks.state.failure.Store(nil)
	}
	ks.tell(now, problem)
	return err
}

// lacking is why a source that has given keys could not give all of them.
func (ks *keySet) lacking() error {
	if source, ok := ks.source.(interface{ lacking() error }); ok {
		return source.lacking()
	}
	return nil
}

// ask asks the source something, and waits no longer than the context lasts: a storage that hangs
// may not heed it. There is never more than one question open.
func ask[T any](ctx context.Context, ks *keySet, question func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	select {
	case ks.asking <- struct{}{}:
	case <-ctx.Done():
		var none T
		return none, errBusy
	}
	answers := make(chan answer, 1)
	go func() {
		defer func() { <-ks.asking }()
		defer func() {
			if r := recover(); r != nil {
				answers <- answer{err: fmt.Errorf("the source of the keys panicked: %v", r)}
			}
		}()
		value, err := question(ctx)
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
		return none, errNoAnswer
	}
}

var (
	// errNoAnswer says that a source hangs.
	errNoAnswer = errors.New("the source of the keys gave no answer: is its storage, or what else the keys are kept in, reachable?")

	// errBusy says that it hangs since it was asked something before.
	errBusy = fmt.Errorf("it was asked before and is still busy: %w", errNoAnswer)
)

// rotate makes the successor sign.
func (ks *keySet) rotate(ctx context.Context) (Rotation, error) {
	return ks.emergency(ctx, func(ctx context.Context, r Rotator, needs KeyNeeds) (Rotation, error) { return r.Rotate(ctx, needs) })
}

// revoke gives a key up, or all of them.
func (ks *keySet) revoke(ctx context.Context, request revokeRequest) (Rotation, error) {
	return ks.emergency(ctx, func(ctx context.Context, r Rotator, needs KeyNeeds) (Rotation, error) {
		if request.All {
			return r.RevokeAll(ctx, needs)
		}
		return r.Revoke(ctx, request.KeyID, request.Now, needs)
	})
}

// emergency has the source do something about the keys, and follows at once. The other replicas
// follow when they poll.
func (ks *keySet) emergency(ctx context.Context, do func(context.Context, Rotator, KeyNeeds) (Rotation, error)) (Rotation, error) {
	rotator, ok := ks.source.(Rotator)
	if !ok {
		return Rotation{}, fmt.Errorf("the key set %s is of the source %s: %w", ks.name, ks.sourceName, errNotRotator)
	}
	rotation, err := ks.command(ctx, func(ctx context.Context) (Rotation, error) {
		return do(ctx, rotator, ks.needsAt(ks.now()))
	})
	switch f, ok := errors.AsType[*failedWith](err); {
	case ok: // and not what one asked for that cannot be done
		ks.state.counts.failed(f.kind)
	case errors.Is(err, errBusy):
		ks.state.counts.failed(noAnswer)
		err = fmt.Errorf("nothing was changed: %w", err)
	case errors.Is(err, errNoAnswer):
		ks.state.counts.failed(noAnswer)
		err = mayBeStored(err)
	}
	if err != nil {
		return Rotation{}, err
	}
	err = ks.refresh(ctx)
	if _, ok := errors.AsType[*lockAwaited](err); err != nil && !ok {
		return Rotation{}, fmt.Errorf("it is stored, and this replica follows when it can read its keys again: %w", err)
	}
	return rotation, nil
}

// command has the source do something for which it needs a lock. While that is waited for, the
// source can be asked for its keys.
func (ks *keySet) command(ctx context.Context, do func(context.Context) (Rotation, error)) (Rotation, error) {
	for {
		rotation, err := ask(ctx, ks, do)
		awaited, ok := errors.AsType[*lockAwaited](err)
		if !ok {
			return rotation, err
		}
		if !awaited.wait(ctx) {
			return rotation, err
		}
	}
}

// report logs why the keys could not be brought up to date, as loud as it matters.
func (ks *keySet) report(err error) {
	if ks.state.current.Load() == nil {
		ks.logger.Error("no signing key: every request of an authenticated client gets 503 until there is one", zap.Error(err))
		return
	}
	ks.logger.Warn("the signing keys could not be brought up to date; those at hand go on", zap.Error(err))
}
