package keyset

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// Schedule is an immutable list of key records. Which of its keys signs and which are
// published follows from the clock alone.
type Schedule struct {
	Records []keys.Timed // by turn, age and kid: of one turn, the first one signs

	// fixed is whether the keys have no life of their own: what the source gave last is what there is.
	fixed bool

	// replaced is when a fixed key that signs took the place of another.
	replaced time.Time

	// What follows from the records, computed once.
	spells      []spell                   // in their order; see signingSpells
	firstSigns  map[*keys.Timed]time.Time // when a key's first spell begins; not of the one before all
	earliest    []time.Time               // earliest[i] is the first turn that begins of Records[i:]
	emergencies instants                  // at which tokens in use are given up
	changes     instants                  // at which the JWKS may change
}

// newFixedSchedule is that of keys without a life. The one that signs does so at any time.
func newFixedSchedule(fixed []keys.Fixed, replaced time.Time) *Schedule {
	s := &Schedule{fixed: true, replaced: replaced}
	for _, key := range fixed {
		if key.Signs {
			s.Records = append(s.Records, keys.Timed{Key: key.Key, Turn: fixedTurn})
		}
	}
	for _, key := range fixed {
		if !key.Signs {
			s.Records = append(s.Records, keys.Timed{Key: key.Key, Turn: fixedTurn + 1})
		}
	}
	s.compute()
	return s
}

// fixedTurn is the turn of a fixed key that signs; one that is only published has a later one.
const fixedTurn = 1

// NewSchedule orders the records. No two of them are of one key.
func NewSchedule(records []keys.Timed) *Schedule {
	sorted := slices.Clone(records)
	slices.SortStableFunc(sorted, func(a, b keys.Timed) int {
		return cmp.Or(cmp.Compare(a.Turn, b.Turn), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	s := &Schedule{Records: sorted}
	for i := range sorted {
		s.replace(&sorted[i])
	}
	s.compute()
	return s
}

// compute computes what follows from the records, so that every question about them is a look-up.
func (s *Schedule) compute() {
	s.spells = s.signingSpells()
	s.firstSigns = make(map[*keys.Timed]time.Time)
	for _, spell := range slices.Backward(s.spells[1:]) {
		s.firstSigns[spell.signing] = spell.from
	}
	s.earliest = s.earliestTurns()
	s.emergencies = s.instants(func(r *keys.Timed) []time.Time { return []time.Time{r.Promoted, r.Revoked} })
	s.changes = s.publicChanges()
}

// replace revokes what a key replaces.
func (s *Schedule) replace(by *keys.Timed) {
	if by.Replaces == "" {
		return
	}
	by.Promoted = timing.EarliestAfter(time.Time{}, by.Promoted, by.SignsFrom)
	for i := range s.Records {
		if r := &s.Records[i]; Replaces(by, r) {
			Revoke(by, r)
		}
	}
}

// Revoke revokes a key that another replaces. Clocks differ: where one that appears at once is known,
// what it replaces is over, whatever the time.
func Revoke(r, other *keys.Timed) {
	withdrawn := r.Created.Add(-timing.ClockSkew)
	if !r.Appears.IsZero() {
		withdrawn = r.Appears
	}
	other.Revoked = timing.EarliestAfter(time.Time{}, other.Revoked, withdrawn, r.ReplacesFrom)
	other.Withdrawn = timing.EarliestAfter(time.Time{}, other.Withdrawn, withdrawn)
}

// Replaces reports whether a key takes the place of another.
func Replaces(r, other *keys.Timed) bool {
	if r.Replaces == keys.ReplacesAll {
		return other.Turn < r.Turn || other.Turn == r.Turn && other.Replaces != keys.ReplacesAll
	}
	return slices.Contains(strings.Fields(r.Replaces), other.ID)
}

// LastTurn is the highest turn of all, begun or not; 0 without keys.
func (s *Schedule) LastTurn() int {
	if n := len(s.Records); n > 0 {
		return s.Records[n-1].Turn
	}
	return 0
}

// Successor returns the key whose turn comes after r's, or nil.
func (s *Schedule) Successor(r *keys.Timed, t time.Time) *keys.Timed {
	for i := range s.Records {
		if next := &s.Records[i]; next.Turn > r.Turn && !next.RevokedAt(t) {
			return next
		}
	}
	return nil
}

// earliestTurns are, for each record, when the first turn begins of its key and those after it. A key that
// was revoked before its turn has none.
func (s *Schedule) earliestTurns() []time.Time {
	earliest := make([]time.Time, len(s.Records)+1)
	for i := range slices.Backward(s.Records) {
		earliest[i] = earliest[i+1]
		if r := &s.Records[i]; !timing.Reached(r.Revoked, r.Begins()) {
			earliest[i] = timing.EarliestAfter(time.Time{}, r.Begins(), earliest[i])
		}
	}
	return earliest
}

// Retires is when a key leaves the JWKS; the zero time if that is not known yet.
func (s *Schedule) Retires(r *keys.Timed) time.Time {
	later := sort.Search(len(s.Records), func(i int) bool { return s.Records[i].Turn > r.Turn })
	retires := s.earliest[later] // zero while no later turn is known to begin
	if !retires.IsZero() {
		retires = timing.Later(retires.Add(r.Grace), r.UsedUntil)
	}
	return timing.EarliestAfter(time.Time{}, retires, r.Withdrawn)
}

// Published returns the keys that the JWKS shows at an instant. A key that was read is shown
// even if its clock says that it comes from the future, and one that signs or has signed even before
// it should appear.
func (s *Schedule) Published(t time.Time) []*keys.Timed {
	var shown []*keys.Timed
	signing := s.Signing(t)
	for i := range s.Records {
		r := &s.Records[i]
		appeared := !r.Appears.After(t) || r == signing || timing.Reached(s.firstSigns[r], t)
		if r.Public != nil && appeared && !timing.Reached(s.Retires(r), t) {
			shown = append(shown, r)
		}
	}
	// A fresh key that had to sign early, since no other was left, makes clusters read the JWKS early.
	early := slices.ContainsFunc(shown, func(r *keys.Timed) bool { return r.Replaces != "" && r.Appears.After(t) })
	return slices.DeleteFunc(slices.Clone(shown), func(r *keys.Timed) bool {
		return early && r.RevokedAt(t) || slices.ContainsFunc(shown, func(by *keys.Timed) bool { return Replaces(by, r) })
	})
}

// Trusts reports whether tokens that a key signed can still be used: it is published (or a
// shared secret) and not revoked.
func (s *Schedule) Trusts(key *keys.Key, t time.Time) bool {
	for i := range s.Records {
		if r := &s.Records[i]; r.Is(key) {
			return !r.RevokedAt(t) && !timing.Reached(s.Retires(r), t)
		}
	}
	return false
}

// publicChanges are the instants at which the JWKS may change: a key appears or retires. While one is yet
// to appear, also those at which another key begins to sign, for one that has to sign early is shown early.
func (s *Schedule) publicChanges() instants {
	changes := s.instants(func(r *keys.Timed) []time.Time { return []time.Time{s.Retires(r), r.Appears} })
	var lastAppears time.Time
	for i := range s.Records {
		lastAppears = timing.Later(lastAppears, s.Records[i].Appears)
	}
	for _, t := range s.switches() {
		if t.Before(lastAppears) {
			changes = append(changes, t)
		}
	}
	slices.SortStableFunc(changes, time.Time.Compare)
	return changes
}

// NextChange is the first instant after t at which Published may answer differently; the zero
// time if none is known.
func (s *Schedule) NextChange(t time.Time) time.Time { return s.changes.after(t) }
