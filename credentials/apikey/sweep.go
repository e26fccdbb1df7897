package apikey

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

const (
	// sweepInterval is the time between two sweeps. Each wait is up to a tenth longer or shorter.
	sweepInterval = 2 * time.Minute / timing.TimeScale
	sweepTimeout  = 10 * time.Minute

	// suspicion is how long something must be suspect until it is deleted. A key that was made just now is stored a
	// moment later, and found by the cluster's search a second later. The clocks of the machines do not matter this
	// way.
	suspicion = 100 * time.Second / timing.TimeScale

	// forgetAfter is how long an object is kept after its key has ended.
	forgetAfter = 5 * time.Minute

	// maxInvalidated is how many keys are invalidated with one question.
	maxInvalidated = 200
)

// handlers has the makers of this process that are in use. Several handlers can share the keys of a store: a client
// that one of them denies may be let in by another.
var handlers struct {
	mu   sync.Mutex
	used []*APIKey
}

// Run implements [credential.Runner]. It checks what the cluster must have, and sweeps, until the context ends.
func (a *APIKey) Run(ctx context.Context, denied credential.Denied) {
	a.denied.Store(&denied)
	handlers.mu.Lock()
	handlers.used = append(handlers.used, a)
	handlers.mu.Unlock()
	defer func() {
		handlers.mu.Lock()
		defer handlers.mu.Unlock()
		handlers.used = slices.DeleteFunc(handlers.used, func(other *APIKey) bool { return other == a })
	}()
	var checking sync.WaitGroup
	defer checking.Wait()
	checking.Go(func() { a.keepChecking(ctx) })
	for sleep(ctx, sweepInterval) {
		limited, cancel := context.WithTimeout(ctx, sweepTimeout)
		if err := a.sweep(limited); err != nil && ctx.Err() == nil {
			a.logger.Warn("API keys that nobody needs could not be deleted: it is tried again in a few minutes",
				zap.Error(cause(err)))
		}
		cancel()
	}
}

// cause returns what a cluster has said, without what a client would be told.
func cause(err error) error {
	if refusal, ok := errors.AsType[*credential.Refusal](err); ok && refusal.Cause != nil {
		return refusal.Cause
	}
	return err
}

// sleep waits, a bit longer or shorter than it is told, and reports whether the context has not ended.
func sleep(ctx context.Context, d time.Duration) bool {
	d += time.Duration((rand.Float64() - 0.5) / 5 * float64(d)) //nolint:gosec // nothing secret
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// sweep deletes the keys that nobody needs, and the objects whose keys are gone. The lock keeps replicas from sweeping
// at the same time, which only spares work.
func (a *APIKey) sweep(ctx context.Context) error {
	asked, err := a.apiOf(a.user.Get())
	if err != nil {
		return err
	}
	s := a.stores.of(a.storage, asked.user, asked.cluster)
	head, err := s.open(ctx)
	if err != nil {
		return err
	}
	users := usersOf(ctx, head.ID)
	if len(users) > 0 && users[0] != a {
		return nil // another handler sweeps
	}
	release, err := s.tryLock(ctx, "sweep")
	switch {
	case errors.Is(err, errTaken):
		return nil // another replica sweeps
	case err != nil:
		a.warn("Caddy's storage gives no lock, so that replicas may delete API keys at the same time, which does no harm", err)
	default:
		defer release()
	}
	if err := s.check(ctx, head); err != nil {
		return err
	}
	w := sweeping{
		APIKey: a, api: asked, store: s, id: head.ID, users: users,
		objects: make(map[string]*stored), known: make(map[string]string),
	}
	s.storeLate(ctx)
	// The cluster comes first: what is made meanwhile is in an object, and not in the list.
	if w.living, err = asked.list(ctx, head.ID); err != nil {
		return err
	}
	if err := w.read(ctx); err != nil {
		return err
	}
	w.refresh(ctx)
	return w.clean(ctx)
}

// refresh gives all keys the privileges that the proxy's user has now, if they were others before. What fails is done by
// the next sweep.
func (w *sweeping) refresh(ctx context.Context) {
	outdated := false
	for _, a := range w.users {
		outdated = a.outdated.Swap(false) || outdated
	}
	if !outdated {
		return
	}
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(w.living)), maxUpdated) {
		if err := w.api.refresh(ctx, ids); err != nil {
			w.outdated.Store(true)
			if ctx.Err() == nil {
				w.warn("API keys still have the privileges that the proxy's user had before: it is tried again in a few minutes",
					cause(err))
			}
			return
		}
	}
}

// usersOf returns the makers in use that share a store.
func usersOf(ctx context.Context, id string) []*APIKey {
	handlers.mu.Lock()
	used := slices.Clone(handlers.used)
	handlers.mu.Unlock()
	return slices.DeleteFunc(used, func(a *APIKey) bool {
		c := a.cluster.Load()
		if c == nil {
			return true
		}
		theirs, err := a.stores.of(a.storage, a.user.Get(), c).open(ctx)
		return err != nil || theirs.ID != id
	})
}

// storeLate stores the keys that could not be stored before, unless another replica has stored one meanwhile.
func (s *store) storeLate(ctx context.Context) {
	for _, key := range s.unstored.list(time.Now().Unix()) {
		found, _, err := s.load(ctx, key.name)
		if err != nil || found != nil && found.Until > time.Now().Unix() {
			continue
		}
		if s.save(ctx, key) == nil {
			s.unstored.remove(key.ID)
		}
	}
}

// sweeping is one sweep.
type sweeping struct {
	*APIKey
	api   *api
	store *store
	id    string    // of the store
	users []*APIKey // of this process that share the store

	living  map[string]bool    // the IDs of the keys that the cluster has of this store
	objects map[string]*stored // by their names
	known   map[string]string  // the names of the objects by the IDs of their keys, also of those that cannot be opened
}

// read reads all objects. Those that have ended are deleted, and those that are sealed with an old password are sealed
// again.
func (w *sweeping) read(ctx context.Context) error {
	names, err := w.store.list(ctx)
	if err != nil {
		return err
	}
	ended := time.Now().Add(-forgetAfter).Unix()
	for _, name := range names {
		found, known, err := w.store.load(ctx, name)
		switch {
		case err != nil:
			return err // to take its key for one in no object would be wrong
		case known == nil:
			continue
		case known.Until < ended:
			if err := w.store.remove(ctx, name, known.ID); err != nil {
				return err
			}
			continue
		}
		w.known[known.ID] = name
		if found == nil {
			continue
		}
		w.objects[name] = found
		if found.old {
			if err := w.store.save(ctx, found); err != nil {
				return err
			}
		}
	}
	for _, key := range w.store.unstored.list(time.Now().Unix()) {
		w.known[key.ID] = ""
	}
	return nil
}

// clean deletes what nobody needs.
func (w *sweeping) clean(ctx context.Context) error {
	var gone, suspect []string
	for name, found := range w.objects {
		if w.isDenied(name, found) {
			gone = append(gone, found.ID)
		}
	}
	for id := range w.living {
		if _, ok := w.known[id]; !ok {
			suspect = append(suspect, id)
		}
	}
	for id, name := range w.known {
		if found := w.objects[name]; found != nil && found.Store != w.id {
			continue // the cluster was not asked for those
		}
		if name != "" && !w.living[id] {
			suspect = append(suspect, id)
		}
	}
	for _, id := range w.suspects.confirmed(suspect, time.Now()) {
		if w.living[id] {
			gone = append(gone, id) // its maker was killed before it has stored it, or another key took its place
			continue
		}
		if err := w.store.remove(ctx, w.known[id], id); err != nil {
			return err
		}
	}
	return w.invalidate(ctx, gone)
}

// invalidate invalidates keys, and deletes the objects of those that are invalid.
func (w *sweeping) invalidate(ctx context.Context, gone []string) error {
	for ids := range slices.Chunk(gone, maxInvalidated) {
		left, err := w.api.invalidate(ctx, ids)
		if err != nil {
			return err
		}
		invalid := 0
		for _, id := range ids {
			if slices.Contains(left, id) {
				continue
			}
			invalid++
			if name := w.known[id]; name != "" {
				if err := w.store.remove(ctx, name, id); err != nil {
					return err
				}
			}
		}
		w.logger.Info("API keys that nobody may use any more were invalidated",
			zap.Int("invalidated", invalid), zap.Int("left", len(left)))
	}
	return nil
}

// isDenied reports whether the client of a key is not let in any more by any handler that could send it. A key that no
// handler of this process could send is not judged: its handler is in another process.
func (w *sweeping) isDenied(name string, found *stored) bool {
	client, err := found.client()
	if err != nil {
		return false
	}
	judged := false
	for _, a := range w.users {
		plan, err := a.Plan(client)
		plan.Apart = found.Apart
		denied := a.denied.Load()
		if err != nil || denied == nil || *denied == nil || w.store.objectName(plan.ID()) != name {
			continue
		}
		if !(*denied)(client.Chain) {
			return false
		}
		judged = true
	}
	return judged
}

// suspects remembers since when something is suspect.
type suspects struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// confirmed returns those that have been suspect for long enough, and forgets those that are suspect no more.
func (s *suspects) confirmed(suspect []string, now time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.since
	s.since = make(map[string]time.Time, len(suspect))
	var long []string
	for _, id := range suspect {
		since, ok := before[id]
		if !ok {
			since = now
		}
		s.since[id] = since
		if now.Sub(since) >= suspicion {
			long = append(long, id)
		}
	}
	return long
}
