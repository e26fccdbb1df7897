package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

const (
	// lockPoll is how often a replica that waits for the lock reads what is stored. Another replica may have made
	// the key meanwhile that it wants the lock for.
	lockPoll = time.Second / timing.TimeScale

	// lockPatience is how often in a row a storage may refuse the lock before that is a failure. Some storages refuse
	// it at once while another replica has it.
	lockPatience = 3

	// unclaimedTimeout is how long a lock is kept if nobody asks for it again.
	unclaimedTimeout = 5 * time.Second

	// unlockTimeout bounds how long a storage may take to release the lock. The time of the question for which the
	// lock was taken may be over by then.
	unlockTimeout = 5 * time.Second
)

// storageLock is the lock that a storage has for the keys of a set. Some storages take seconds to pass a lock on, and
// some do not return when the context ends. So a goroutine of its own waits for the lock, one at a time. Who wants the
// lock calls try, goes on reading what is stored, and calls try again:
//
//	try   the storage is asked for the lock: lockPending
//	try   it has not answered yet: lockPending
//	try   it has: the lock is taken
//
// If two replicas have the lock at once, that does no harm. Objects are only added, and if there are two keys for one
// turn, every replica signs with the same one.
type storageLock struct {
	folder *folder

	mu      sync.Mutex
	wait    *lockWait // nil if nobody wants the lock
	refused int       // how often in a row the storage has refused it
	stopped bool

	calls sync.WaitGroup // calls of the storage that are not over
}

// lockWait is one wait for the lock. The mutex of the storageLock guards its state.
type lockWait struct {
	over     chan struct{} // closed when the storage has answered
	deadline time.Time
	cancel   context.CancelFunc

	answered  bool
	err       error
	abandoned bool // nobody wants the lock any more
	canceled  bool // it was abandoned once, so the storage may have given up, even if it is wanted again
}

// lockPending says that the storage has not given the lock yet. Ask for it again when over is closed.
type lockPending struct {
	error
	over    <-chan struct{} // nil if the storage has refused the lock: ask again after lockPoll
	overdue bool            // the context of the one who asked first has ended, and the storage did not return
	giveUp  func()
}

func (l *lockPending) Unwrap() error { return l.error }

// wait waits until the lock should be asked for again, and reports whether it should. If the context ends first, it
// gives the lock up.
func (l *lockPending) wait(ctx context.Context) bool {
	var again <-chan time.Time
	if l.over == nil {
		again = time.After(lockPoll)
	}
	select {
	case <-l.over:
	case <-again:
	case <-ctx.Done():
		l.giveUp()
		return false
	}
	return true
}

// errStopped says that the keys are those of a configuration that has ended.
var errStopped = errors.New("this configuration has ended")

var errLockPending = errors.New("another replica has it, or had it when it ended and the storage has not noticed yet")

// waiting returns what the set needs to know. It asks for the keys again meanwhile, because another replica may make
// those that the lock is wanted for.
func (l *lockPending) waiting() *keys.Waiting {
	if l.overdue {
		return &keys.Waiting{Over: l.over, Again: timing.PollInterval}
	}
	return &keys.Waiting{Over: l.over, Again: lockPoll}
}

// try takes the lock if the storage has given it. If not, it asks the storage for the lock, which may take as long as
// the context lasts. The error is a lockPending, or says why there is no lock.
func (l *storageLock) try(ctx context.Context) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.wait
	switch {
	case l.stopped:
		return nil, errStopped
	case w == nil || w.answered && w.err != nil && w.canceled:
		w = l.startWait(ctx)
	case !w.answered && w.abandoned:
		w.abandoned = false // it is wanted again
		w.deadline = deadlineOf(ctx)
	case !w.answered:
	case w.err != nil:
		l.wait = nil
		if l.refused++; l.refused < lockPatience && time.Now().Before(w.deadline) {
			return nil, &lockPending{error: l.failed(w.err), giveUp: func() {}}
		}
		l.refused = 0
		return nil, l.failed(w.err)
	default:
		l.wait, l.refused = nil, 0
		return func() { l.release(w) }, nil
	}
	return nil, &lockPending{
		error:   l.failed(errLockPending),
		over:    w.over,
		overdue: !time.Now().Before(w.deadline),
		giveUp:  func() { l.abandon(w) },
	}
}

func (l *storageLock) failed(err error) error {
	return keys.Failed(keys.LockFailed,
		fmt.Errorf("locking %s to make a key: make it reachable and writable for Caddy: %w", l.folder.where(), err))
}

func (l *storageLock) name() string { return "elasticsearch_jwt_" + l.folder.set }

// startWait starts a goroutine that waits for the lock.
func (l *storageLock) startWait(ctx context.Context) *lockWait {
	w := &lockWait{over: make(chan struct{}), deadline: deadlineOf(ctx)}
	ctx, w.cancel = context.WithDeadline(context.WithoutCancel(ctx), w.deadline)
	l.wait = w
	l.calls.Go(func() {
		err := l.lock(ctx)
		l.mu.Lock()
		w.answered, w.err = true, err
		unwanted := w.abandoned
		if unwanted {
			l.wait = nil
		}
		close(w.over)
		l.mu.Unlock()
		switch {
		case err != nil:
			w.cancel()
		case unwanted:
			l.release(w)
		default:
			time.AfterFunc(unclaimedTimeout, func() { l.abandon(w) })
		}
	})
	return w
}

func deadlineOf(ctx context.Context) time.Time {
	if deadline, ok := ctx.Deadline(); ok {
		return deadline
	}
	return time.Now().Add(timing.PollTimeout)
}

func (l *storageLock) lock(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the storage panicked: %v", r)
		}
	}()
	return l.folder.storage.Lock(ctx, l.name())
}

// stop gives the lock up and lets nobody ask for it again. It waits until no call of the storage is left, but not for
// ever.
func (l *storageLock) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.giveUp()
	hanging.Within(timing.StopTimeout, l.calls.Wait)
}

// giveUp gives the lock up, whether the storage has given it or not.
func (l *storageLock) giveUp() {
	l.mu.Lock()
	w := l.wait
	l.mu.Unlock()
	if w != nil {
		l.abandon(w)
	}
}

// abandon ends a wait for the lock, if nobody has taken the lock. If the storage gives it nevertheless, it is
// released.
func (l *storageLock) abandon(w *lockWait) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wait != w {
		return
	}
	w.abandoned, w.canceled = true, true
	w.cancel()
	if w.answered {
		l.wait = nil
		if w.err == nil {
			l.calls.Go(func() { l.release(w) }) // it begins under the mutex, so that stop waits for it
		}
	}
}

func (l *storageLock) release(w *lockWait) {
	defer w.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), unlockTimeout)
	defer cancel()
	if err := l.folder.storage.Unlock(ctx, l.name()); err != nil {
		l.folder.logger.Warn("the lock for making keys could not be released", zap.Error(err))
	}
}
