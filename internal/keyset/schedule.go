package keyset

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// Schedule is an immutable list of keys. It says for any point in time which of them signs, and which are
// published.
type Schedule struct {
	Records []keys.Timed // sorted by turn, age and kid

	// fixed says that the keys are [keys.Fixed]: which of them signs does not depend on the time.
	fixed bool

	// rotated is when another fixed key began to sign than before; the zero time if none did.
	rotated time.Time

	// usedUntil is until when tokens of a key can be used, by the key's [keys.Key.Identity], if an earlier
	// configuration signed tokens with it that live longer than those of this one.
	usedUntil map[string]time.Time

	// What follows from the records is computed once.
	spells      []spell                   // in the order of time
	firstSigns  map[*keys.Timed]time.Time // when a key first begins to sign, as far as that is known
	retires     []time.Time               // retires[i] is when Records[i] leaves the JWKS; zero if not known yet
	emergencies instants                  // when tokens in use are given up: promotions by hand, and revocations
	jwksChanges instants                  // when the JWKS may change
}

// newFixedSchedule returns the schedule of fixed keys. The key that signs does so at any time.
func newFixedSchedule(fixed []keys.Fixed, rotated time.Time) *Schedule {
	s := &Schedule{fixed: true, rotated: rotated}
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

// fixedTurn is the turn of the fixed keys that can sign. Those that are only published have a later one.
const fixedTurn = 1

// NewSchedule returns the schedule of timed keys. No key may be there twice.
func NewSchedule(records []keys.Timed) *Schedule { return newSchedule(records, nil) }

func newSchedule(records []keys.Timed, usedUntil map[string]time.Time) *Schedule {
	sorted := slices.Clone(records)
	slices.SortStableFunc(sorted, func(a, b keys.Timed) int {
		return cmp.Or(cmp.Compare(a.Turn, b.Turn), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	s := &Schedule{Records: sorted, usedUntil: usedUntil}
	for i := range sorted {
		if r := &sorted[i]; len(r.Replaces) > 0 {
			r.Promoted = timing.EarliestAfter(time.Time{}, r.Promoted, r.SignsFrom) // see [keys.Timed]
			RevokeReplaced(r, sorted)
		}
	}
	s.compute()
	return s
}

// compute computes what follows from the records, so that every later question is a look-up.
func (s *Schedule) compute() {
	s.spells = s.computeSpells()
	s.firstSigns = make(map[*keys.Timed]time.Time)
	for _, spell := range slices.Backward(s.spells[1:]) {
		s.firstSigns[spell.signing] = spell.from
	}
	s.retires = s.computeRetirements()
	s.emergencies = s.instantsOf(func(r *keys.Timed) []time.Time { return []time.Time{r.Promoted, r.Revoked} })
	s.jwksChanges = s.computeJWKSChanges()
}

// Replaces reports whether a key replaces another: it revokes the other, and takes its place in the JWKS.
func Replaces(by, other *keys.Timed) bool {
	if slices.Contains(by.Replaces, keys.ReplacesAll) {
		return other.Turn < by.Turn || other.Turn == by.Turn && !slices.Contains(other.Replaces, keys.ReplacesAll)
	}
	return slices.Contains(by.Replaces, other.ID)
}

// RevokeReplaced revokes those of the records that a key replaces.
//
// If the key appears at once, they are over as soon as anybody knows it, even if the clock of the replica that
// made it is ahead. For example, D replaces B and is created at 9:00: B is revoked as of 8:59.
func RevokeReplaced(by *keys.Timed, records []keys.Timed) {
	withdrawn := by.Created.Add(-timing.ClockSkew)
	if !by.Appears.IsZero() {
		withdrawn = by.Appears
	}
	for i := range records {
		if r := &records[i]; Replaces(by, r) {
			r.Revoked = timing.EarliestAfter(time.Time{}, r.Revoked, withdrawn, by.ReplacesFrom)
			r.Withdrawn = timing.EarliestAfter(time.Time{}, r.Withdrawn, withdrawn)
		}
	}
}

// LastTurn returns the highest turn of all keys, whether it has begun or not; 0 if there are no keys.
func (s *Schedule) LastTurn() int {
	if n := len(s.Records); n > 0 {
		return s.Records[n-1].Turn
	}
	return 0
}

// Successor returns the next key after r that is not revoked; nil if there is none.
func (s *Schedule) Successor(r *keys.Timed, t time.Time) *keys.Timed {
	for i := range s.Records {
		if next := &s.Records[i]; next.Turn > r.Turn && !next.RevokedAt(t) {
			return next
		}
	}
	return nil
}

// computeTurnBegins returns for each record when the first turn begins, its own or that of a record after it. A
// key that is revoked before its turn begins has no turn.
func (s *Schedule) computeTurnBegins() []time.Time {
	begins := make([]time.Time, len(s.Records)+1)
	for i := range slices.Backward(s.Records) {
		begins[i] = begins[i+1]
		if r := &s.Records[i]; !timing.Reached(r.Revoked, r.Begins()) {
			begins[i] = timing.EarliestAfter(time.Time{}, r.Begins(), begins[i])
		}
	}
	return begins
}

// computeRetirements returns for each record when its key leaves the JWKS: once the tokens that it signed before a
// later turn began have expired, or when it is withdrawn.
func (s *Schedule) computeRetirements() []time.Time {
	turnBegins := s.computeTurnBegins()
	retires := make([]time.Time, len(s.Records))
	for i := range s.Records {
		r := &s.Records[i]
		later := sort.Search(len(s.Records), func(j int) bool { return s.Records[j].Turn > r.Turn })
		if begins := turnBegins[later]; !begins.IsZero() { // it is known when a later turn begins
			retires[i] = timing.Later(begins.Add(r.Grace), s.usedUntil[r.Identity()])
		}
		retires[i] = timing.EarliestAfter(time.Time{}, retires[i], r.Withdrawn)
	}
	return retires
}

// Retires returns when a key of the schedule leaves the JWKS; the zero time if that is not known yet.
func (s *Schedule) Retires(r *keys.Timed) time.Time {
	for i := range s.Records {
		if s.Records[i].Is(r.Key) {
			return s.retires[i]
		}
	}
	return time.Time{}
}

// Published returns the keys that are in the JWKS at a point in time. A key that signs, or has signed, is in it
// even before it should appear. That a key was created in the future does not matter: the clock of the replica
// that created it is ahead.
func (s *Schedule) Published(t time.Time) []*keys.Timed {
	var published []*keys.Timed
	signing := s.Signing(t)
	for i := range s.Records {
		r := &s.Records[i]
		appeared := !r.Appears.After(t) || r == signing || timing.Reached(s.firstSigns[r], t)
		if r.Public != nil && appeared && !timing.Reached(s.retires[i], t) {
			published = append(published, r)
		}
	}
	// If no other key is left, a key that replaces others has to sign before it should appear. Clusters then read
	// the JWKS early, so the revoked keys must leave it early too.
	early := slices.ContainsFunc(published, func(r *keys.Timed) bool { return len(r.Replaces) > 0 && r.Appears.After(t) })
	isReplaced := func(r *keys.Timed) bool {
		return slices.ContainsFunc(published, func(by *keys.Timed) bool { return Replaces(by, r) })
	}
	return slices.DeleteFunc(slices.Clone(published), func(r *keys.Timed) bool {
		return early && r.RevokedAt(t) || isReplaced(r)
	})
}

// Trusts reports whether tokens that a key has signed can still be used: the key is not revoked, and has not
// left the JWKS.
func (s *Schedule) Trusts(key *keys.Key, t time.Time) bool {
	for i := range s.Records {
		if r := &s.Records[i]; r.Is(key) {
			return !r.RevokedAt(t) && !timing.Reached(s.retires[i], t)
		}
	}
	return false
}

// computeJWKSChanges returns when the JWKS may change: when a key appears or retires. As long as a key is yet to
// appear, the JWKS may also change when another key begins to sign, because a key that signs is published.
func (s *Schedule) computeJWKSChanges() instants {
	changes := s.instantsOf(func(r *keys.Timed) []time.Time { return []time.Time{s.Retires(r), r.Appears} })
	var lastAppears time.Time
	for i := range s.Records {
		lastAppears = timing.Later(lastAppears, s.Records[i].Appears)
	}
	for _, t := range s.signingChanges() {
		if t.Before(lastAppears) {
			changes = append(changes, t)
		}
	}
	slices.SortStableFunc(changes, time.Time.Compare)
	return changes
}

// NextJWKSChange returns the first time after t at which [Schedule.Published] may return other keys; the zero
// time if none is known.
func (s *Schedule) NextJWKSChange(t time.Time) time.Time { return s.jwksChanges.firstAfter(t) }
