// Package turns limits how many goroutines work at the same time: to one for each key, and to a few in all.
package turns

import (
	"context"
	"sync"
)

// Turns hands out turns. A goroutine waits for the turn of its key first, and only then takes one of the
// places. So with two places, three goroutines for alice leave one place free for bob.
type Turns[K comparable] struct {
	places chan struct{}

	mu   sync.Mutex
	keys map[K]*line
}

// line is the queue for the turn of one key.
type line struct {
	turn  chan struct{} // full while a goroutine has the turn
	count int           // of goroutines that wait or have the turn
}

// New returns Turns with as many places as the channel has room for. Several Turns can share a channel.
func New[K comparable](places chan struct{}) *Turns[K] {
	return &Turns[K]{places: places, keys: make(map[K]*line)}
}

// Take waits for a turn. The turn ends when the returned function is called. If the context ends first,
// Take returns its cause as an error.
func (t *Turns[K]) Take(ctx context.Context, key K) (done func(), err error) {
	line := t.join(key)
	if err := put(ctx, line.turn); err != nil {
		t.leave(key, line)
		return nil, err
	}
	if err := put(ctx, t.places); err != nil {
		<-line.turn
		t.leave(key, line)
		return nil, err
	}
	return func() {
		<-t.places
		<-line.turn
		t.leave(key, line)
	}, nil
}

func put(ctx context.Context, c chan<- struct{}) error {
	select {
	case c <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t *Turns[K]) join(key K) *line {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.keys[key]
	if l == nil {
		l = &line{turn: make(chan struct{}, 1)}
		t.keys[key] = l
	}
	l.count++
	return l
}

func (t *Turns[K]) leave(key K, l *line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.count--; l.count == 0 {
		delete(t.keys, key)
	}
}
