package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

const (
	// lockPoll is how often a replica that waits for the lock reads what is stored: what it wants
	// the lock for may have come from another.
	lockPoll = time.Second / timing.TimeScale

	// lockPatience is how often in a row a storage may refuse the lock before that is a failure. Some
	// storages do so, at once, while others have it.
	lockPatience = 3

	// unclaimedTimeout is how long a lock is kept that nobody comes for.
	unclaimedTimeout = 5 * time.Second

	// unlockTimeout bounds what is left to do once the time for the rest may be over.
	unlockTimeout = 5 * time.Second
)

// storageLock is a storage's lock for the keys of a set. In some storages it takes seconds to change
// hands, and some do not heed a context meanwhile. So it is waited for on the side, by one goroutine
// at a time: who wants it goes on reading what is stored, and asks for it again.
//
// A lock that breaks does no harm: objects are only ever added, and of two keys for one turn every
// replica signs with the same one.
type storageLock struct {
	stored *storedKeys

	mu      sync.Mutex
	wait    *lockWait // nil: nobody wants it
	refused int       // how often in a row it was
	ended   bool

	busy sync.WaitGroup // what is said to the storage on the side
}

// lockWait is one wait for the lock. Its state belongs to the mutex of the storageLock.
type lockWait struct {
	over     chan struct{} // closed once the storage has answered
	deadline time.Time
	cancel   context.CancelFunc

	answered  bool
	err       error
	abandoned bool
	canceled  bool // it was abandoned once, and the storage may have heard of it
}

// lockAwaited says that the lock is being waited for. It should be asked for again once over is closed.
type lockAwaited struct {
	error
	over    <-chan struct{} // nil: the storage has refused the lock, and is asked again after lockPoll
	overdue bool            // the time of the one who asked first is over, and the storage does not heed that
	giveUp  func()
}

func (l *lockAwaited) Unwrap() error { return l.error }

// wait waits until the lock should be asked for again. When the context ends before, the wait for
// the lock ends too.
func (l *lockAwaited) wait(ctx context.Context) bool {
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

// errEnded says that the configuration has ended, whose keys these are.
var errEnded = errors.New("this configuration has ended")

var errLockAwaited = errors.New("another replica has it, or had it when it ended and the storage has not noticed yet")

// waiting is what the set needs to know of it. What the lock is wanted for may come from another replica:
// the keys are read meanwhile.
func (l *lockAwaited) waiting() *keys.Waiting {
	if l.overdue {
		return &keys.Waiting{Over: l.over, Again: timing.PollInterval}
	}
	return &keys.Waiting{Over: l.over, Again: lockPoll}
}

// try takes the lock if it has come, and has it waited for if not, for no longer than the context
// lasts. Its error is a [lockAwaited], or why the lock cannot be had.
func (l *storageLock) try(ctx context.Context) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.wait
	switch {
	case l.ended:
		return nil, errEnded
	case w == nil || w.answered && w.err != nil && w.canceled:
		w = l.begin(ctx)
	case !w.answered && w.abandoned:
		w.abandoned = false // it is wanted again
		w.deadline = deadlineOf(ctx)
	case !w.answered:
	case w.err != nil:
		l.wait = nil
		if l.refused++; l.refused < lockPatience && time.Now().Before(w.deadline) {
			return nil, &lockAwaited{error: l.failed(w.err), giveUp: func() {}}
		}
		l.refused = 0
		return nil, l.failed(w.err)
	default:
		l.wait, l.refused = nil, 0
		return func() { l.release(w) }, nil
	}
	return nil, &lockAwaited{
		error:   l.failed(errLockAwaited),
		over:    w.over,
		overdue: !time.Now().Before(w.deadline),
		giveUp:  func() { l.abandon(w) },
	}
}

func (l *storageLock) failed(err error) error {
	return keys.Failed(keys.LockFailed, fmt.Errorf("locking %s to make a key: make it reachable and writable for Caddy: %w", l.stored.where(), err))
}

func (l *storageLock) name() string { return "elasticsearch_jwt_" + l.stored.set }

// begin begins to wait.
func (l *storageLock) begin(ctx context.Context) *lockWait {
	w := &lockWait{over: make(chan struct{}), deadline: deadlineOf(ctx)}
	ctx, w.cancel = context.WithDeadline(context.WithoutCancel(ctx), w.deadline)
	l.wait = w
	l.busy.Go(func() {
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
	return l.stored.storage.Lock(ctx, l.name())
}

// end abandons the wait that there is, lets no other begin, and waits until the storage has heard of
// it, or does not answer.
func (l *storageLock) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.rest()
	done := make(chan struct{})
	go func() {
		l.busy.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(timing.StopTimeout):
	}
}

// rest abandons the wait that there is, if any.
func (l *storageLock) rest() {
	l.mu.Lock()
	w := l.wait
	l.mu.Unlock()
	if w != nil {
		l.abandon(w)
	}
}

// abandon ends a wait whose lock nobody took. A lock that comes all the same is given back.
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
			l.busy.Go(func() { l.release(w) }) // under the mutex, so that end waits for it
		}
	}
}

func (l *storageLock) release(w *lockWait) {
	defer w.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), unlockTimeout)
	defer cancel()
	if err := l.stored.storage.Unlock(ctx, l.name()); err != nil {
		l.stored.logger.Warn("the lock for making keys could not be released", zap.Error(err))
	}
}
