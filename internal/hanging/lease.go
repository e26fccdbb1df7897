package hanging

import (
	"sync"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// Lapse is a mutex whose holder loses it after signatureTimeout: it hangs, and others go on.
type Lapse struct {
	mu    sync.Mutex
	held  chan struct{} // closed when it is given back; nil: nobody has it
	until time.Time
}

// Take waits for it, and returns what gives it back.
func (l *Lapse) Take() (giveBack func()) {
	for {
		l.mu.Lock()
		held, left := l.held, time.Until(l.until)
		if held == nil || left <= 0 {
			mine := make(chan struct{})
			l.held, l.until = mine, time.Now().Add(timing.SignatureTimeout)
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

func (l *Lapse) giveBack(mine chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == mine {
		l.held = nil
	}
	close(mine)
}
