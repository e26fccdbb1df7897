package esrealm

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/singleflight"
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
	stuck  atomic.Bool

	set     atomic.Pointer[keySet]
	reloads singleflight.Group
}

func (l *keyLoader) current() *keySet { return l.set.Load() }

// reload fetches the set, or waits for the fetch that is under way. It fails
// without effect where the set cannot be had.
func (l *keyLoader) reload(ctx context.Context) error {
	if l.stuck.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	reload := l.reloads.DoChan("", func() (any, error) {
		err := l.load(context.WithoutCancel(ctx)) // others wait for it too
		l.stuck.Store(err != nil && l.sticks)
		return nil, err
	})
	select {
	case done := <-reload:
		return done.Err
	case <-ctx.Done():
		return ctx.Err()
	}
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
	if old := l.set.Load(); old == nil || old.hash != fresh.hash {
		l.set.Store(fresh)
		l.changed()
	}
	return nil
}
