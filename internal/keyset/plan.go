package keyset

import (
	"time"
)

// Plan is a key that a set lacks.
type Plan struct {
	Turn      int
	SignsFrom time.Time // zero: when promoted
	Appears   time.Time // zero: at once

	Replaces     []string  // kids: see [keys.Timed]
	ReplacesFrom time.Time // zero: when it appears
}

// Missing says which key to make next, if one is missing: the first key of a set, or the
// successor of the one that signs. It is asked again after each key.
//
// every is how long a key signs (zero: until a rotation by hand), lead how long a key must be
// published before it signs.
func (s *Schedule) Missing(now time.Time, every, lead time.Duration) (Plan, bool) {
	current := s.Signing(now)
	if current == nil {
		// No token of this set can be in use and no cache can know its keys: begin at once.
		return Plan{Turn: s.LastTurn() + 1, SignsFrom: now}, true
	}
	for i := range s.Records {
		r := &s.Records[i]
		// Where keys are to rotate, one that waits for a person to promote it is not enough.
		if r.Turn > current.Turn && !r.RevokedAt(now) && (every == 0 || !r.Begins().IsZero()) {
			return Plan{}, false
		}
	}
	next := Plan{Turn: s.LastTurn() + 1}
	if every > 0 {
		next.SignsFrom = current.Begins().Add(every)
		if earliest := now.Add(lead); next.SignsFrom.Before(earliest) {
			next.SignsFrom = earliest // the storage was out of reach, or the clock was
		}
	}
	return next, true
}
