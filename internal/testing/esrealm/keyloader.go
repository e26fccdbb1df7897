package esrealm

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/singleflight"
)

// keyLoader has a realm's JWK set. It does not reload the set by itself.
type keyLoader struct {
	fetch   func(context.Context) ([]byte, error)
	parse   func([]byte) (*keySet, error)
	changed func() // called after a new document has replaced the set

	// sticks means that no reload ends after one has failed, and that requests
	// which need it get no answer. This is what nodes do if the set is a file.
	sticks bool
	stuck  atomic.Bool

	set     atomic.Pointer[keySet]
	reloads singleflight.Group
}

func (l *keyLoader) current() *keySet { return l.set.Load() }

// reload fetches the set, or waits for a fetch that is already running. If that
// fails, the old set stays.
func (l *keyLoader) reload(ctx context.Context) error {
	if l.stuck.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	reload := l.reloads.DoChan("", func() (any, error) {
		err := l.load(context.WithoutCancel(ctx)) // others may wait for it too
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
