package esjwt

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// KeyRecord is a key and its place in time. Records are immutable: a key set changes only by
// having more of them, so that replicas which read the same storage agree without talking.
type KeyRecord struct {
	*Key

	// Turn orders the keys: the one with the highest turn that has begun signs. Two keys of
	// one turn are the work of replicas whose lock broke, or one of which read what was out of
	// date; the older one signs, and where they are equally old, the one with the lower kid. A key
	// that replaces others comes before one that does not, and the one that enters the JWKS last
	// before others of its kind: it must sign for clusters to forget those that it replaces.
	Turn int

	// Created is when the key was made, and published.
	Created time.Time

	// Appears is when the key enters the JWKS, if that is later than Created: once those that it
	// replaces are out of use.
	Appears time.Time

	// Replaces are the kids of the keys that this one takes the place of, with spaces in between
	// (so that records can be compared), or "*" for every key of an earlier turn, and of its own but
	// for those with a "*". They are revoked when it enters the JWKS, and no JWKS has both: a cluster
	// that knows this key has therefore forgotten them.
	Replaces string

	// ReplacesFrom is when those keys stop signing and their tokens stop being used, if that is
	// before this one appears.
	ReplacesFrom time.Time

	// SignsFrom is when its turn begins. The zero time: not before it is promoted.
	SignsFrom time.Time

	// Grace is how long the key stays published after its successor began to sign: the
	// longest life of a token, and a margin.
	Grace time.Duration

	// Promoted is when an operator made its turn begin: every client moves to it then, and not only
	// when its token's window ends. A key that replaces others is promoted as of SignsFrom, for that
	// is what makes clusters forget the others.
	Promoted time.Time

	// UsedUntil is until when tokens can be used that an earlier configuration signed, in which they
	// lived longer.
	UsedUntil time.Time

	// Held says that the key may not begin to sign: there is an object that cannot be read and could
	// revoke it.
	Held bool

	// Revoked is when the key stopped signing and its tokens stopped being used; Withdrawn when it
	// left the JWKS. Both follow from the keys that replace it,
	// and from what is left of those that are gone.
	Revoked, Withdrawn time.Time
}

// begins is when the key's turn begins; the zero time is never.
func (r *KeyRecord) begins() time.Time {
	if r.Promoted.IsZero() || (!r.SignsFrom.IsZero() && r.SignsFrom.Before(r.Promoted)) {
		return r.SignsFrom
	}
	return r.Promoted
}

// enters is when the key enters the JWKS.
func (r *KeyRecord) enters() time.Time {
	if r.Appears.After(r.Created) {
		return r.Appears
	}
	return r.Created
}

// revokedAt reports whether the key is revoked at an instant.
func (r *KeyRecord) revokedAt(t time.Time) bool { return reached(r.Revoked, t) }

// reached reports whether an instant, if there is one, is not after t.
func reached(instant, t time.Time) bool { return !instant.IsZero() && !instant.After(t) }

// schedule is an immutable list of key records. Which of its keys signs and which are
// published follows from the clock alone.
type schedule struct {
	records []KeyRecord // by turn, age and kid: of one turn, the first one signs

	// fixed is whether the keys have no life of their own: what the source gave last is what there is.
	fixed bool

	// replaced is when a fixed key that signs took the place of another.
	replaced time.Time
}

// newFixedSchedule is that of keys without a life. The one that signs does so at any time.
func newFixedSchedule(fixed []FixedKey, replaced time.Time) *schedule {
	s := &schedule{fixed: true, replaced: replaced}
	for _, key := range fixed {
		if key.Signs {
			s.records = append(s.records, KeyRecord{Key: key.Key, Turn: fixedTurn})
		}
	}
	for _, key := range fixed {
		if !key.Signs {
			s.records = append(s.records, KeyRecord{Key: key.Key, Turn: fixedTurn + 1})
		}
	}
	return s
}

// fixedTurn is the turn of a fixed key that signs; one that is only published has a later one.
const fixedTurn = 1

// newSchedule orders the records. No two of them are of one key.
func newSchedule(records []KeyRecord) *schedule {
	sorted := slices.Clone(records)
	slices.SortStableFunc(sorted, func(a, b KeyRecord) int {
		return cmp.Or(cmp.Compare(a.Turn, b.Turn), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	s := &schedule{records: sorted}
	for i := range sorted {
		s.replace(&sorted[i])
	}
	return s
}

// replace revokes what a key replaces.
func (s *schedule) replace(by *KeyRecord) {
	if by.Replaces == "" {
		return
	}
	by.Promoted = earliestAfter(time.Time{}, by.Promoted, by.SignsFrom)
	for i := range s.records {
		if r := &s.records[i]; by.replaces(r) {
			by.revoke(r)
		}
	}
}

// revoke revokes a key that another replaces. Clocks differ: where one that appears at once is known,
// what it replaces is over, whatever the time.
func (r *KeyRecord) revoke(other *KeyRecord) {
	withdrawn := r.Created.Add(-timing.ClockSkew)
	if !r.Appears.IsZero() {
		withdrawn = r.Appears
	}
	other.Revoked = earliestAfter(time.Time{}, other.Revoked, withdrawn, r.ReplacesFrom)
	other.Withdrawn = earliestAfter(time.Time{}, other.Withdrawn, withdrawn)
}

// replacesAll stands for every key of an earlier turn, also those that are read only later.
const replacesAll = "*"

// replaces reports whether a key takes the place of another.
func (r *KeyRecord) replaces(other *KeyRecord) bool {
	if r.Replaces == replacesAll {
		return other.Turn < r.Turn || other.Turn == r.Turn && other.Replaces != replacesAll
	}
	return slices.Contains(strings.Fields(r.Replaces), other.ID)
}

// signing returns the key whose turn it is at an instant, or nil if there is none at all.
//
// When the key whose turn it is has been revoked, the next turn begins at once. Before the
// first turn (a clock that was set back) the first key signs: it is as good as any.
func (s *schedule) signing(t time.Time) *KeyRecord {
	if s.fixed {
		if len(s.records) == 0 || s.records[0].Turn != fixedTurn {
			return nil
		}
		return &s.records[0]
	}
	turn := s.turn(t)
	var begun, next, earlier *KeyRecord
	for i := range s.records {
		r := &s.records[i]
		switch {
		case r.revokedAt(t), r.Held:
		case r.Turn == turn && reached(r.begins(), t):
			if begun == nil || r.outranks(begun) {
				begun = r
			}
		case r.Turn >= turn:
			next = cmp.Or(next, r)
		case earlier == nil || r.Turn > earlier.Turn:
			earlier = r
		}
	}
	return cmp.Or(begun, next, earlier)
}

// outranks reports whether a key signs rather than an earlier one of the same turn. The one that
// enters the JWKS last was never in one with a key that the other replaces.
func (r *KeyRecord) outranks(earlier *KeyRecord) bool {
	return r.Replaces != "" && (earlier.Replaces == "" || !r.enters().Before(earlier.enters()))
}

// turn is the highest turn that has begun at an instant, whether its key was revoked since or not.
// A key that was revoked before its turn has none: the one before it signs on.
func (s *schedule) turn(t time.Time) int {
	if len(s.records) == 0 {
		return 0
	}
	turn := s.records[0].Turn
	for i := range s.records {
		if r := &s.records[i]; reached(r.begins(), t) && !reached(r.Revoked, r.begins()) {
			turn = max(turn, r.Turn)
		}
	}
	return turn
}

// lastTurn is the highest turn of all, begun or not; 0 without keys.
func (s *schedule) lastTurn() int {
	if n := len(s.records); n > 0 {
		return s.records[n-1].Turn
	}
	return 0
}

// successor returns the key whose turn comes after r's, or nil.
func (s *schedule) successor(r *KeyRecord, t time.Time) *KeyRecord {
	for i := range s.records {
		if next := &s.records[i]; next.Turn > r.Turn && !next.revokedAt(t) {
			return next
		}
	}
	return nil
}

// next returns the key that will sign after the one that signs now, and from when; the zero time
// if that is for a person to say.
func (s *schedule) next(now time.Time) (*KeyRecord, time.Time) {
	signing := s.signing(now)
	if signing == nil {
		return nil, time.Time{}
	}
	for _, t := range s.switches() {
		if t.After(now) {
			if next := s.signing(t); next != signing {
				return next, t
			}
		}
	}
	return s.successor(signing, now), time.Time{}
}

// signsSince is when the key that signs now began to: its own turn, or when another's ended.
func (s *schedule) signsSince(signing *KeyRecord, now time.Time) time.Time {
	since := signing.begins()
	for _, t := range slices.Backward(s.switches()) {
		if t.After(now) {
			continue
		}
		if s.signing(t) != signing {
			break
		}
		since = t
	}
	return since
}

// switches are the instants, in their order, at which another key may begin to sign.
func (s *schedule) switches() []time.Time {
	var instants []time.Time
	for i := range s.records {
		for _, t := range [...]time.Time{s.records[i].begins(), s.records[i].Revoked} {
			if !t.IsZero() {
				instants = append(instants, t)
			}
		}
	}
	slices.SortFunc(instants, time.Time.Compare)
	return instants
}

// signingWindow returns the key for a token whose window began at start. A rotation on
// schedule moves each client when its window ends; an emergency moves all of them at once.
func (s *schedule) signingWindow(start, now time.Time) *KeyRecord {
	if e := s.lastEmergency(now); e.After(start) {
		start = e
	}
	return s.signing(start)
}

// lastEmergency is the last instant not after t at which tokens in use were given up.
func (s *schedule) lastEmergency(t time.Time) time.Time {
	var last time.Time
	if reached(s.replaced, t) {
		last = s.replaced
	}
	for i := range s.records {
		for _, e := range [...]time.Time{s.records[i].Promoted, s.records[i].Revoked} {
			if reached(e, t) && e.After(last) {
				last = e
			}
		}
	}
	return last
}

// nextEmergency is the first instant after t at which tokens in use will be given up; the
// zero time if none is known.
func (s *schedule) nextEmergency(t time.Time) time.Time {
	var next time.Time
	for i := range s.records {
		next = earliestAfter(t, next, s.records[i].Promoted, s.records[i].Revoked)
	}
	return next
}

// retires is when a key leaves the JWKS; the zero time if that is not known yet.
func (s *schedule) retires(r *KeyRecord) time.Time {
	var superseded time.Time
	for i := range s.records {
		if next := &s.records[i]; next.Turn > r.Turn && !reached(next.Revoked, next.begins()) {
			superseded = earliestAfter(time.Time{}, superseded, next.begins())
		}
	}
	retires := superseded
	if !retires.IsZero() {
		retires = later(retires.Add(r.Grace), r.UsedUntil)
	}
	return earliestAfter(time.Time{}, retires, r.Withdrawn)
}

// published returns the keys that the JWKS shows at an instant. A key that was read is shown
// even if its clock says that it comes from the future, and one that signs or has signed even before
// it should appear.
func (s *schedule) published(t time.Time) []*KeyRecord {
	var keys []*KeyRecord
	signing := s.signing(t)
	for i := range s.records {
		r := &s.records[i]
		if r.Public != nil && !reached(s.retires(r), t) && (!r.Appears.After(t) || r == signing || s.hasSigned(r, t)) {
			keys = append(keys, r)
		}
	}
	// A fresh key that had to sign early, since no other was left, makes clusters read the JWKS early.
	early := slices.ContainsFunc(keys, func(r *KeyRecord) bool { return r.Replaces != "" && r.Appears.After(t) })
	return slices.DeleteFunc(slices.Clone(keys), func(r *KeyRecord) bool {
		return early && r.revokedAt(t) || slices.ContainsFunc(keys, func(by *KeyRecord) bool { return by.replaces(r) })
	})
}

// hasSigned reports whether it has been a key's turn to sign, for however short a time.
func (s *schedule) hasSigned(r *KeyRecord, t time.Time) bool {
	for _, since := range s.switches() {
		if !since.After(t) && s.signing(since) == r {
			return true
		}
	}
	return false
}

// trusts reports whether tokens that a key signed can still be used: it is published (or a
// shared secret) and not revoked.
func (s *schedule) trusts(key *Key, t time.Time) bool {
	for i := range s.records {
		if r := &s.records[i]; r.Is(key) {
			return !r.revokedAt(t) && !reached(s.retires(r), t)
		}
	}
	return false
}

// nextChange is the first instant after t at which published may answer differently; the zero
// time if none is known.
func (s *schedule) nextChange(t time.Time) time.Time {
	var next time.Time
	hidden := false
	for i := range s.records {
		r := &s.records[i]
		next = earliestAfter(t, next, s.retires(r), r.Appears)
		hidden = hidden || r.Appears.After(t)
	}
	if hidden { // one that signs before it should have appeared is shown
		next = earliestAfter(t, append(s.switches(), next)...)
	}
	return next
}

// earliestAfter returns the earliest of the instants that is after t; the zero time if none is.
func earliestAfter(t time.Time, instants ...time.Time) time.Time {
	var earliest time.Time
	for _, i := range instants {
		if i.After(t) && (earliest.IsZero() || i.Before(earliest)) {
			earliest = i
		}
	}
	return earliest
}

// later returns the later of two instants.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

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
		if r.Turn > current.Turn && !r.revokedAt(now) && (every == 0 || !r.begins().IsZero()) {
			return keyPlan{}, false
		}
	}
	next := keyPlan{turn: s.lastTurn() + 1}
	if every > 0 {
		next.signsFrom = current.begins().Add(every)
		if earliest := now.Add(lead); next.signsFrom.Before(earliest) {
			next.signsFrom = earliest // the storage was out of reach, or the clock was
		}
	}
	return next, true
}
