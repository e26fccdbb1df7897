package esjwt

import (
	"time"
)

// keyPlan is a key that a set lacks.
type keyPlan struct {
	turn      int
	signsFrom time.Time // zero: when promoted
	appears   time.Time // zero: at once

	replaces     []string  // kids: see [KeyRecord]
	replacesFrom time.Time // zero: when it appears
}

// plan says which key to make next, if one is missing: the first key of a set, or the
// successor of the one that signs. It is asked again after each key.
//
// every is how long a key signs (zero: until a rotation by hand), lead how long a key must be
// published before it signs.
func (s *schedule) plan(now time.Time, every, lead time.Duration) (keyPlan, bool) {
	current := s.signing(now)
	if current == nil {
		// No token of this set can be in use and no cache can know its keys: begin at once.
		return keyPlan{turn: s.lastTurn() + 1, signsFrom: now}, true
	}
	for i := range s.records {
		r := &s.records[i]
		// Where keys are to rotate, one that waits for a person to promote it is not enough.
		if r.Turn > current.Turn && !r.RevokedAt(now) && (every == 0 || !r.Begins().IsZero()) {
			return keyPlan{}, false
		}
	}
	next := keyPlan{turn: s.lastTurn() + 1}
	if every > 0 {
		next.signsFrom = current.Begins().Add(every)
		if earliest := now.Add(lead); next.signsFrom.Before(earliest) {
			next.signsFrom = earliest // the storage was out of reach, or the clock was
		}
	}
	return next, true
}
