package esrealm

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// keyLoader holds a realm's JWK set and replaces it when asked to. Nothing
// reloads it by itself.
type keyLoader struct {
	fetch   func(context.Context) ([]byte, error)
	parse   func([]byte) (*keySet, error)
	changed func() // called when another document has replaced the set

	// sticks makes a reload that fails the last one: whoever asks for another
	// waits for ever, as a node does whose JWK set is a file.
	sticks bool

	set atomic.Pointer[keySet]

	mu      sync.Mutex
	running *reload
}

// reload is one fetch, which any number of requests may wait for.
type reload struct {
	done chan struct{}
	err  error
}

func (l *keyLoader) current() *keySet { return l.set.Load() }

// reload fetches the set, or waits for the fetch that is under way. It fails
// without effect where the set cannot be had.
func (l *keyLoader) reload(ctx context.Context) error {
	l.mu.Lock()
	run := l.running
	started := run == nil
	if started {
		run = &reload{done: make(chan struct{})}
		l.running = run
		go l.run(context.WithoutCancel(ctx), run) // others wait for it too
	}
	l.mu.Unlock()
	select {
	case <-run.done:
		if run.err != nil && l.sticks && !started {
			<-ctx.Done()
		}
		return run.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *keyLoader) run(ctx context.Context, run *reload) {
	run.err = l.load(ctx)
	l.mu.Lock()
	if run.err == nil || !l.sticks {
		l.running = nil
	}
	l.mu.Unlock()
	close(run.done)
}

func (l *keyLoader) load(ctx context.Context) error {
	document, err := l.fetch(ctx)
	if err != nil {
		return fmt.Errorf("fetch the JWK set: %w", err)
	}
	fresh, err := l.parse(document)
	if err != nil {
		return err
	}
	if old := l.set.Load(); old == nil || !old.equal(fresh) {
		l.set.Store(fresh)
		l.changed()
	}
	return nil
}
