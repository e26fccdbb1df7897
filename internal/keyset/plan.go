package keyset

import (
	"time"
)

// Plan says what a key must be like that is yet to be made. The fields have the meaning that they have in
// [keys.Timed].
type Plan struct {
	Turn      int
	SignsFrom time.Time // zero: once it is promoted
	Appears   time.Time // zero: at once

	Replaces     []string  // kids
	ReplacesFrom time.Time // zero: when it appears
}

// Missing returns the plan of the key to make next; ok is false if no key is missing. A set needs a key that
// signs, and a successor that is published in time. Ask again when that key is made:
//
//	the set has       missing
//	no key            A, which signs at once
//	A                 B, which signs when A has signed for as long as every says
//	A and B           nothing
//
// every is how long a key signs; zero means until somebody rotates the set by hand. lead is how long a key must
// be published before it signs.
func (s *Schedule) Missing(now time.Time, every, lead time.Duration) (plan Plan, ok bool) {
	current := s.Signing(now)
	if current == nil {
		// There was no key before, so no token is in use, and no cache holds a JWKS of this set: sign at once.
		return Plan{Turn: s.LastTurn() + 1, SignsFrom: now}, true
	}
	for i := range s.Records {
		r := &s.Records[i]
		// If the set rotates by itself, a successor that waits for a promotion by hand is not enough.
		if r.Turn > current.Turn && !r.RevokedAt(now) && (every == 0 || !r.Begins().IsZero()) {
			return Plan{}, false
		}
	}
	next := Plan{Turn: s.LastTurn() + 1}
	if every > 0 {
		next.SignsFrom = current.Begins().Add(every)
		if earliest := now.Add(lead); next.SignsFrom.Before(earliest) {
			next.SignsFrom = earliest // it is late: the storage was out of reach, or the clock was wrong
		}
	}
	return next, true
}
