// Package hanging is for calls that may never return, such as those of a driver for an HSM: it bounds how many
// hang, and lets others go on.
package hanging

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// maxHanging is how many calls in a row may hang before the next ones are made one at a time, with
	// a pause in between that is doubled with as many calls more. A call that never returns costs a
	// goroutine, and in a driver in C a thread, of which Go has ten thousand: they last for a month.
	maxHanging    = 16
	shortestPause = 10 * time.Second
	longestPause  = 5 * time.Minute

	// manyHanging is how many calls may hang before there is a pause after each.
	manyHanging = 1000
)

// Calls bounds the calls of a driver, of a KMS for one, that hang: nobody waits for them any more,
// and they may never return. Whoever calls it again finds out whether it has recovered.
type Calls struct {
	mu    sync.Mutex
	calls int
	inRow int       // how many hung since the last one that returned
	next  time.Time // where they are too many, no call is made before that
}

// Err says that no call is made for now, since too many hang.
var Err = errors.New("it has not answered for a while, and is asked again from time to time")

// begin says whether a call can be made.
func (h *Calls) begin(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.inRow < maxHanging && (h.inRow == 0 || h.calls < manyHanging):
		return nil
	case now.Before(h.next):
		return Err
	default:
		h.next = now.Add(h.pause())
		return nil
	}
}

// pause is how long it takes until the next call is made.
func (h *Calls) pause() time.Duration {
	pause := shortestPause
	for range h.calls/maxHanging - 1 {
		pause = min(2*pause, longestPause)
	}
	return pause
}

// hangs says that a call is not waited for any more.
func (h *Calls) hangs(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	h.inRow++
	h.next = now.Add(h.pause())
}

// returned says that a call has returned, and whether it was one that hung.
func (h *Calls) returned(late bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inRow = 0
	if late {
		h.calls--
	}
}

// Call makes a call that may hang, or panic: neither may cost others their turn, or the process. The
// error is the context's cause if that ends first.
func Call[T any](ctx context.Context, h *Calls, do func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	if err := h.begin(time.Now()); err != nil {
		return none, err
	}
	answers := make(chan answer, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				answers <- answer{err: fmt.Errorf("the key's driver panicked: %v", r)}
			}
		}()
		value, err := do()
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		h.returned(false)
		return a.value, a.err
	case <-ctx.Done():
		h.hangs(time.Now())
		go func() {
			<-answers
			h.returned(true)
		}()
		return none, context.Cause(ctx)
	}
}
