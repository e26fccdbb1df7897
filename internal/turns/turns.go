// Package turns limits how many goroutines work at the same time: one for each key, and a few in all.
package turns

import (
	"context"
	"sync"
)

// Turns hands out turns. A goroutine takes up one of the places only once no other works for its key:
// with two places, three goroutines for alice leave one place free for bob.
type Turns[K comparable] struct {
	places chan struct{}

	mu   sync.Mutex
	keys map[K]*line
}

// line is the queue for the turn of one key, with the goroutine that has it.
type line struct {
	turn  chan struct{}
	count int
}

// New returns Turns with some places, as many as the channel has room for. Several Turns can share
// a channel.
func New[K comparable](places chan struct{}) *Turns[K] {
	return &Turns[K]{places: places, keys: make(map[K]*line)}
}

// Take waits for a turn, which ends with the function that it returns. The error is the context's.
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
