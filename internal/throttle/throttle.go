// Package throttle keeps what happens again and again from flooding a log.
package throttle

import (
	"sync"
	"time"
)

// Interval is how often the same thing is logged at most.
const Interval = time.Minute

// maxKnown is how many different things a [Throttle] tells apart within an Interval.
const maxKnown = 200

// Throttle says when to log a thing that happens again, and how often it happened since. The zero value is ready
// to use.
//
//	12:00:00  refused  due: 1 time
//	12:00:10  refused
//	12:00:20  refused
//	12:01:05  refused  due: 3 times
type Throttle struct {
	mu    sync.Mutex
	known map[string]*record
}

// record is what a Throttle knows of one thing.
type record struct {
	logged time.Time
	times  int // since then
}

// Due reports whether to log a thing that happens now, and how often it has happened since it was logged last.
func (t *Throttle) Due(what string, now time.Time) (times int, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.record(what, now)
	r.times++
	if !r.logged.IsZero() && now.Sub(r.logged) < Interval {
		return 0, false
	}
	times, r.times, r.logged = r.times, 0, now
	return times, true
}

// record returns the record of a thing. If there are too many, those that were logged long ago make room. What still
// has no room shares one record.
func (t *Throttle) record(what string, now time.Time) *record {
	if r, ok := t.known[what]; ok {
		return r
	}
	if len(t.known) >= maxKnown {
		for name, r := range t.known {
			if now.Sub(r.logged) >= Interval {
				delete(t.known, name)
			}
		}
	}
	if len(t.known) >= maxKnown {
		what = ""
		if r, ok := t.known[what]; ok {
			return r
		}
	}
	if t.known == nil {
		t.known = make(map[string]*record)
	}
	r := new(record)
	t.known[what] = r
	return r
}
