package esjwt

import (
	"sync"
	"time"
)

// lapsing is a mutex whose holder loses it after signatureTimeout: it hangs, and others go on.
type lapsing struct {
	mu    sync.Mutex
	held  chan struct{} // closed when it is given back; nil: nobody has it
	until time.Time
}

// take waits for it, and returns what gives it back.
func (l *lapsing) take() (giveBack func()) {
	for {
		l.mu.Lock()
		held, left := l.held, time.Until(l.until)
		if held == nil || left <= 0 {
			mine := make(chan struct{})
			l.held, l.until = mine, time.Now().Add(signatureTimeout)
			l.mu.Unlock()
			return func() { l.giveBack(mine) }
		}
		l.mu.Unlock()
		select {
		case <-held:
		case <-time.After(left):
		}
	}
}

func (l *lapsing) giveBack(mine chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == mine {
		l.held = nil
	}
	close(mine)
}
