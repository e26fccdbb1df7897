package hanging

import (
	"sync"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// Lease is a mutex whose holder loses it after [timing.SignatureTimeout]. If the holder hangs, the others go on
// without it. The zero value is ready to use.
type Lease struct {
	mu      sync.Mutex
	holder  chan struct{} // closed when the holder gives the lease back; nil if nobody has it
	expires time.Time     // when the holder loses it
}

// Acquire waits for the lease, and returns a function that gives it back. The function may also be called after the
// lease has expired.
func (l *Lease) Acquire() (release func()) {
	for {
		l.mu.Lock()
		holder, left := l.holder, time.Until(l.expires)
		if holder == nil || left <= 0 {
			mine := make(chan struct{})
			l.holder, l.expires = mine, time.Now().Add(timing.SignatureTimeout)
			l.mu.Unlock()
			return func() { l.release(mine) }
		}
		l.mu.Unlock()
		select {
		case <-holder:
		case <-time.After(left):
		}
	}
}

func (l *Lease) release(mine chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder == mine {
		l.holder = nil
	}
	close(mine)
}
