package keyset

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// State is the part of a set that outlives a configuration. The set of the next configuration goes on with it,
// so that a reload needs no answer from a storage that is out of reach at that moment.
type State struct {
	current  atomic.Pointer[Schedule]
	failure  atomic.Pointer[error] // why the keys are not there or not up to date; nil if they are
	reported reportedKeys
	counts   keyCounts
	updating sync.Mutex

	answered chan struct{} // closed once there are keys, or a failure
	once     sync.Once     // closes answered
}

// NewState returns a state without keys.
func NewState() *State { return &State{answered: make(chan struct{})} }

// Current returns the schedule of the keys as they are now; nil if there are none yet.
func (s *State) Current() *Schedule { return s.current.Load() }

// SignatureFailed counts a signature that failed.
func (s *State) SignatureFailed() { s.counts.addFailure(keys.SignatureFailed) }

// Wait returns the schedule of the keys. It waits for the first keys, so that a request which arrives while
// they are being made is served.
func (s *State) Wait(ctx context.Context) (*Schedule, error) {
	if current := s.Current(); current != nil {
		return current, nil
	}
	timeout := time.NewTimer(timing.FirstKeysTimeout)
	defer timeout.Stop()
	select {
	case <-s.answered:
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

// Update takes over the keys that a source has just given.
func (s *State) Update(answer keys.Answer, now time.Time) {
	s.updating.Lock()
	defer s.updating.Unlock()
	old := s.Current()
	var next *Schedule
	if len(answer.Fixed) > 0 {
		next = updateFixed(old, answer.Fixed, now)
	} else {
		next = updateTimed(old, answer.Timed, now)
	}
	if old != nil && slices.EqualFunc(old.Records, next.Records, sameRecord) &&
		maps.Equal(old.usedUntil, next.usedUntil) {
		return
	}
	s.current.Store(next)
	s.once.Do(func() { close(s.answered) })
}

// updateFixed returns the schedule of fixed keys. If another key signs than before, the rotation is now.
func updateFixed(old *Schedule, fixed []keys.Fixed, now time.Time) *Schedule {
	if old == nil {
		return newFixedSchedule(fixed, time.Time{})
	}
	next := newFixedSchedule(fixed, old.rotated)
	if was, is := old.Signing(now), next.Signing(now); is != nil && (was == nil || !was.Is(is.Key)) {
		next.rotated = now
	}
	return next
}

// updateTimed returns the schedule of timed keys, with those that were known before and are still in use.
func updateTimed(old *Schedule, timed []keys.Timed, now time.Time) *Schedule {
	if old == nil {
		return NewSchedule(timed)
	}
	return merge(old, timed, now)
}

// merge returns the schedule of what a source has just said, with what was known before. A storage can return stale
// data, but a key or a revocation that was read once stays true. So it stays until the key retires:
//
//	known before        A, revoked at 9:00
//	the source says     A and B, and no revocation
//	merged              A, revoked at 9:00, and B
func merge(old *Schedule, fresh []keys.Timed, now time.Time) *Schedule {
	merged := slices.Clone(fresh)
	usedUntil := make(map[string]time.Time)
	for i := range old.Records {
		known := &old.Records[i]
		used := old.usedUntil[known.Identity()]
		j := slices.IndexFunc(merged, func(r keys.Timed) bool { return r.Is(known.Key) })
		switch {
		case j >= 0:
			r := &merged[j]
			if known.Grace > r.Grace { // an earlier configuration signed tokens that live longer
				used = timing.Later(used, now.Add(known.Grace))
			}
			r.Promoted = timing.EarliestAfter(time.Time{}, r.Promoted, known.Promoted)
			r.Revoked = timing.EarliestAfter(time.Time{}, r.Revoked, known.Revoked)
			r.Withdrawn = timing.EarliestAfter(time.Time{}, r.Withdrawn, known.Withdrawn)
		case !timing.Reached(old.retires[i], now):
			merged = append(merged, *known)
		default:
			continue
		}
		if !used.IsZero() {
			usedUntil[known.Identity()] = used
		}
	}
	return newSchedule(merged, usedUntil)
}

// sameRecord reports whether two records are of the same key, and say the same of it.
func sameRecord(a, b keys.Timed) bool {
	return a.Key == b.Key && a.Turn == b.Turn && a.Grace == b.Grace && a.Suspended == b.Suspended &&
		a.Created.Equal(b.Created) && a.Appears.Equal(b.Appears) && a.SignsFrom.Equal(b.SignsFrom) &&
		a.Promoted.Equal(b.Promoted) && a.Revoked.Equal(b.Revoked) && a.Withdrawn.Equal(b.Withdrawn) &&
		slices.Equal(a.Replaces, b.Replaces) && a.ReplacesFrom.Equal(b.ReplacesFrom)
}

func (s *State) setFailure(err error) {
	s.failure.Store(&err)
	s.once.Do(func() { close(s.answered) })
}
