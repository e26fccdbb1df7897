// Package hanging is for calls that may never return, such as those to the driver of an HSM. It limits how many of
// them hang at the same time, and lets other calls go on.
package hanging

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// maxInRow is how many calls in a row may hang until there is a pause before each further call. The pause
	// doubles with every maxInRow calls that hang, from shortestPause to longestPause:
	//
	//	calls that hang    pause
	//	16                 10 s
	//	32                 20 s
	//	48                 40 s
	//
	// A call that never returns costs a goroutine, and in a driver written in C a thread. Go allows ten
	// thousand threads, which last for a month this way.
	maxInRow      = 16
	shortestPause = 10 * time.Second
	longestPause  = 5 * time.Minute

	// maxHanging is how many calls may hang, even if others return in between, until there is a pause.
	maxHanging = 1000
)

// Calls limits the calls of one driver that hang. A call hangs if its caller has stopped waiting for it. It may
// return later, or never. The zero value is ready to use.
type Calls struct {
	mu      sync.Mutex
	hanging int
	inRow   int       // how many calls hang that were made after the last one that returned
	next    time.Time // if too many hang, the next call is made no earlier
}

// ErrTooMany is the error of a call that was not made, because too many others hang.
var ErrTooMany = errors.New("it has not answered for a while, and is asked again from time to time")

// begin returns an error if a call cannot be made now.
func (h *Calls) begin(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.inRow < maxInRow && (h.inRow == 0 || h.hanging < maxHanging):
		return nil
	case now.Before(h.next):
		return ErrTooMany
	default:
		h.next = now.Add(h.pause())
		return nil
	}
}

// pause returns how long to wait before the next call.
func (h *Calls) pause() time.Duration {
	pause := shortestPause
	for range h.hanging/maxInRow - 1 {
		pause = min(2*pause, longestPause)
	}
	return pause
}

// hang counts a call that its caller has stopped waiting for.
func (h *Calls) hang(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hanging++
	h.inRow++
	h.next = now.Add(h.pause())
}

// end counts a call that has returned. late says that it had hung before.
func (h *Calls) end(late bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inRow = 0
	if late {
		h.hanging--
	}
}

// Call makes a call that may hang or panic. If the context ends first, Call returns the context's cause, and leaves
// the call behind. It returns a panic as an error.
func Call[T any](ctx context.Context, h *Calls, do func() (T, error)) (T, error) {
	var none T
	if err := h.begin(time.Now()); err != nil {
		return none, err
	}
	answers := Go("the key's driver", do)
	select {
	case a := <-answers:
		h.end(false)
		return a.Value, a.Err
	case <-ctx.Done():
		h.hang(time.Now())
		go func() {
			<-answers
			h.end(true)
		}()
		return none, context.Cause(ctx)
	}
}
