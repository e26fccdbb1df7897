package esjwt_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

const keysLock = "elasticsearch_jwt_default"

// slowLock is a storage whose lock takes a while even when it is free, as those of databases do in
// which it is asked for every few seconds.
type slowLock struct {
	*view
	takes time.Duration
	deaf  bool // it does not heed its context

	granted       atomic.Int64
	waiting, most atomic.Int64 // how many wait, and how many did at once
}

func newSlowLock(t testing.TB, shared *memory, takes time.Duration) *slowLock {
	t.Helper()
	s := &slowLock{view: shared.view(t), takes: takes}
	views.Store(s.Name, s)
	return s
}

func (s *slowLock) Lock(ctx context.Context, name string) error {
	if s.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	s.most.Store(max(s.most.Load(), s.waiting.Add(1)))
	defer s.waiting.Add(-1)
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	err := s.view.Lock(ctx, name)
	if err == nil {
		s.granted.Add(1)
	}
	return err
}

func (m *memory) setLocked(name string, locked bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locks[name] = locked
}

func (m *memory) isLocked(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.locks[name]
}

// TestReplicasThatStartTogetherDoNotWaitForEachOthersLock: behind a PostgreSQL storage whose lock took
// seconds to change hands, two of three answered 503 though the first had made the keys.
func TestReplicasThatStartTogetherDoNotWaitForEachOthersLock(t *testing.T) {
	for name, deaf := range map[string]bool{"a lock that heeds its context": false, "one that does not": true} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				shared := newMemory()
				began := time.Now()
				first := startReplica(t, replicaConfig{storage: newSlowLock(t, shared, 3*time.Second).config()})
				var others []*replica
				var locks []*slowLock
				for range 2 {
					lock := newSlowLock(t, shared, 20*time.Second)
					lock.deaf = deaf
					locks = append(locks, lock)
					others = append(others, startReplica(t, replicaConfig{storage: lock.config()}))
				}
				kid := first.signs()
				require.Equal(t, 3*time.Second, time.Since(began))
				for _, r := range others {
					require.Equal(t, kid, r.signs(first), "those who wait for the first keys get them")
					require.Equal(t, first.document(), r.document())
				}
				require.LessOrEqual(t, time.Since(began), 4*time.Second)

				time.Sleep(time.Minute)
				require.Equal(t, 2, shared.stored)
				require.False(t, shared.isLocked(keysLock), "a lock that comes too late is given back")
				for _, lock := range locks {
					require.Zero(t, lock.waiting.Load(), "nobody waits for it any more")
					if !deaf {
						require.Zero(t, lock.granted.Load(), "nobody took it for what had come")
					}
				}
			})
		})
	}
}

// TestWhatWasReadCountsBeforeALockIsWaitedFor: after `revoke --all` replicas signed on with another
// key for as long as they waited for the lock.
func TestWhatWasReadCountsBeforeALockIsWaitedFor(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		a := startOperated(t, replicaConfig{storage: shared.view(t).config()})
		synctest.Wait()
		time.Sleep(time.Hour)
		b := startReplica(t, replicaConfig{storage: shared.view(t).config()}) // which polls half a minute later
		require.Equal(t, a.signs(), b.signs())

		before := shared.keys()
		all := a.change("revoke", `{"all":true}`)
		shared.setLocked(keysLock, true) // by a third one, for longer than anybody waits
		for _, name := range shared.keys() {
			if !slices.Contains(before, name) && !strings.Contains(name, all.Fresh) {
				shared.remove(name) // the successor is not there yet
			}
		}
		require.NotContains(t, b.kids(), all.Fresh)
		time.Sleep(followed)
		require.Equal(t, all.Fresh, b.signs(), "within the polling time")
		require.Equal(t, []string{all.Fresh}, b.kids())
		shared.setLocked(keysLock, false)
		time.Sleep(time.Minute)
		require.Len(t, b.kids(), 2)
		require.Equal(t, all.Fresh, a.signs(b))
	})
}

// TestAReplicaReadsOnWhileAnEmergencyWaitsForTheLock, and the emergency is done once the lock is there.
func TestAReplicaReadsOnWhileAnEmergencyWaitsForTheLock(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		other := shared.view(t)
		other.set(func(v *view) { v.brokenLock = true })
		a := startOperated(t, replicaConfig{storage: newSlowLock(t, shared, 0).config()})
		synctest.Wait()
		b := startOperated(t, replicaConfig{storage: other.config()})
		time.Sleep(time.Hour)

		shared.setLocked(keysLock, true)
		asked, old, status := time.Now(), a.signs(), make(chan int)
		go func() {
			code, _ := a.request(http.MethodPost, "/default/revoke", `{"kid":"`+old+`"}`)
			status <- code
		}()
		synctest.Wait()
		rotation := b.rotate()
		shared.setLocked(keysLock, true) // b has given it back, which it did not have
		require.NotEqual(t, old, rotation.Signing)
		time.Sleep(followed)
		require.Equal(t, [2]string{rotation.Signing, rotation.Signing}, a.both(b), "it hears of what another has done")

		time.Sleep(10 * time.Second)
		shared.setLocked(keysLock, false)
		require.Equal(t, http.StatusOK, <-status)
		require.Less(t, time.Since(asked), time.Minute)
		require.Equal(t, "revoked", a.state(old))
		require.Zero(t, a.counted("lock")+a.counted("no_answer"), "and nothing failed")
	})
}

// TestALockThatNeverComesIsAskedForOnce, by a storage that does not heed its context, and used when
// it comes.
func TestALockThatNeverComesIsAskedForOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		lock := newSlowLock(t, newMemory(), time.Hour)
		lock.deaf = true
		r := startReplica(t, replicaConfig{storage: lock.config()})
		time.Sleep(59 * time.Minute)
		r.noKeys(0)
		require.Contains(t, r.logs.String(), "to make a key")
		require.Less(t, strings.Count(r.logs.String(), "no signing key"), 150, "not all the time")
		require.EqualValues(t, 1, lock.most.Load())
		time.Sleep(2 * time.Minute)
		require.NotEmpty(t, r.signs())
		require.False(t, lock.memory.isLocked(keysLock))
	})
}

// TestALockThatNobodyComesForIsGivenBack: the replica was stopped while it waited.
func TestALockThatNobodyComesForIsGivenBack(t *testing.T) {
	for name, c := range map[string]struct {
		deaf    bool
		stops   time.Duration
		granted int64
	}{
		"a lock that heeds its context": {stops: 0, granted: 0},
		"one that does not":             {deaf: true, stops: 5 * time.Second, granted: 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				lock := newSlowLock(t, newMemory(), 20*time.Second)
				lock.deaf = c.deaf
				r := startReplica(t, replicaConfig{storage: lock.config()})
				time.Sleep(5 * time.Second)
				asked := time.Now()
				r.stop()
				require.Equal(t, c.stops, time.Since(asked), "it waits for the storage, and not for long")
				time.Sleep(time.Minute)
				require.Equal(t, c.granted, lock.granted.Load())
				require.EqualValues(t, 1, lock.most.Load(), "what has ended asks for no other")
				require.False(t, lock.memory.isLocked(keysLock))
				require.Zero(t, lock.memory.stored)
				require.NotEmpty(t, startReplica(t, replicaConfig{storage: lock.memory.view(t).config()}).signs())
			})
		})
	}
}

// TestWhatHasEndedAsksForNoLock, be it that somebody asks it to do something just then: the lock would
// be taken from the configuration that runs, and nobody would wait until it is given back.
func TestWhatHasEndedAsksForNoLock(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		lock := newSlowLock(t, newMemory(), time.Second)
		r := startOperated(t, replicaConfig{storage: lock.config()})
		kid := r.signs()
		r.stop()
		granted := lock.granted.Load()
		code, answer := r.request(http.MethodPost, "/default/revoke", `{"kid":"`+kid+`"}`)
		require.NotEqual(t, http.StatusOK, code)
		require.Contains(t, answer, "nothing was changed: this configuration has ended")
		require.Equal(t, granted, lock.granted.Load())
	})
}

// TestALockThatIsRefusedIsAskedForAgain: some storages do not wait for a lock that others have.
func TestALockThatIsRefusedIsAskedForAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		first := startReplica(t, replicaConfig{storage: newSlowLock(t, shared, time.Second).config()})
		refusing := &refusingLock{shared.view(t)}
		views.Store(refusing.Name, refusing)
		shared.setLocked(keysLock, true)
		second := startReplica(t, replicaConfig{storage: refusing.config()})
		time.Sleep(time.Millisecond)
		shared.setLocked(keysLock, false)
		require.Equal(t, second.signs(first), first.signs(second))
		require.NotContains(t, second.logs.String(), "no signing key")
	})
}

type refusingLock struct{ *view }

func (r *refusingLock) Lock(ctx context.Context, name string) error {
	if r.memory.isLocked(name) {
		return errors.New("key is locked")
	}
	return r.view.Lock(ctx, name)
}

// TestAStorageThatPanicsWhenItLocksIsNamed: it does not end Caddy, though the lock is waited for on the side.
func TestAStorageThatPanicsWhenItLocksIsNamed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		panicking := &panickingLock{newMemory().view(t)}
		views.Store(panicking.Name, panicking)
		r := startReplica(t, replicaConfig{storage: panicking.config()})
		time.Sleep(5 * time.Second)
		r.noKeys(0)
		require.Contains(t, r.logs.String(), "the storage panicked: no connection")
	})
}

type panickingLock struct{ *view }

func (*panickingLock) Lock(context.Context, string) error { panic("no connection") }
