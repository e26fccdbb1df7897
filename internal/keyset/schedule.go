package keyset

import (
	"cmp"
	"slices"
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
	return s
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

// Signing returns the key whose turn it is at an instant, or nil if there is none at all.
//
// When the key whose turn it is has been revoked, the next turn begins at once. Before the
// first turn (a clock that was set back) the first key signs: it is as good as any.
func (s *Schedule) Signing(t time.Time) *keys.Timed {
	if s.fixed {
		if len(s.Records) == 0 || s.Records[0].Turn != fixedTurn {
			return nil
		}
		return &s.Records[0]
	}
	turn := s.turn(t)
	var begun, next, earlier *keys.Timed
	for i := range s.Records {
		r := &s.Records[i]
		switch {
		case r.RevokedAt(t), r.Held:
		case r.Turn == turn && timing.Reached(r.Begins(), t):
			if begun == nil || outranks(r, begun) {
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
func outranks(r, earlier *keys.Timed) bool {
	return r.Replaces != "" && (earlier.Replaces == "" || !r.Enters().Before(earlier.Enters()))
}

// turn is the highest turn that has begun at an instant, whether its key was revoked since or not.
// A key that was revoked before its turn has none: the one before it signs on.
func (s *Schedule) turn(t time.Time) int {
	if len(s.Records) == 0 {
		return 0
	}
	turn := s.Records[0].Turn
	for i := range s.Records {
		if r := &s.Records[i]; timing.Reached(r.Begins(), t) && !timing.Reached(r.Revoked, r.Begins()) {
			turn = max(turn, r.Turn)
		}
	}
	return turn
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

// next returns the key that will sign after the one that signs now, and from when; the zero time
// if that is for a person to say.
func (s *Schedule) next(now time.Time) (*keys.Timed, time.Time) {
	signing := s.Signing(now)
	if signing == nil {
		return nil, time.Time{}
	}
	for _, t := range s.switches() {
		if t.After(now) {
			if next := s.Signing(t); next != signing {
				return next, t
			}
		}
	}
	return s.Successor(signing, now), time.Time{}
}

// signsSince is when the key that signs now began to: its own turn, or when another's ended.
func (s *Schedule) signsSince(signing *keys.Timed, now time.Time) time.Time {
	since := signing.Begins()
	for _, t := range slices.Backward(s.switches()) {
		if t.After(now) {
			continue
		}
		if s.Signing(t) != signing {
			break
		}
		since = t
	}
	return since
}

// switches are the instants, in their order, at which another key may begin to sign.
func (s *Schedule) switches() []time.Time {
	var instants []time.Time
	for i := range s.Records {
		for _, t := range [...]time.Time{s.Records[i].Begins(), s.Records[i].Revoked} {
			if !t.IsZero() {
				instants = append(instants, t)
			}
		}
	}
	slices.SortFunc(instants, time.Time.Compare)
	return instants
}

// SigningFor returns the key for a token whose window began at start. A rotation on
// schedule moves each client when its window ends; an emergency moves all of them at once.
func (s *Schedule) SigningFor(start, now time.Time) *keys.Timed {
	if e := s.lastEmergency(now); e.After(start) {
		start = e
	}
	return s.Signing(start)
}

// lastEmergency is the last instant not after t at which tokens in use were given up.
func (s *Schedule) lastEmergency(t time.Time) time.Time {
	var last time.Time
	if timing.Reached(s.replaced, t) {
		last = s.replaced
	}
	for i := range s.Records {
		for _, e := range [...]time.Time{s.Records[i].Promoted, s.Records[i].Revoked} {
			if timing.Reached(e, t) && e.After(last) {
				last = e
			}
		}
	}
	return last
}

// NextEmergency is the first instant after t at which tokens in use will be given up; the
// zero time if none is known.
func (s *Schedule) NextEmergency(t time.Time) time.Time {
	var next time.Time
	for i := range s.Records {
		next = timing.EarliestAfter(t, next, s.Records[i].Promoted, s.Records[i].Revoked)
	}
	return next
}

// Retires is when a key leaves the JWKS; the zero time if that is not known yet.
func (s *Schedule) Retires(r *keys.Timed) time.Time {
	var superseded time.Time
	for i := range s.Records {
		if next := &s.Records[i]; next.Turn > r.Turn && !timing.Reached(next.Revoked, next.Begins()) {
			superseded = timing.EarliestAfter(time.Time{}, superseded, next.Begins())
		}
	}
	retires := superseded
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
		if r.Public != nil && !timing.Reached(s.Retires(r), t) && (!r.Appears.After(t) || r == signing || s.hasSigned(r, t)) {
			shown = append(shown, r)
		}
	}
	// A fresh key that had to sign early, since no other was left, makes clusters read the JWKS early.
	early := slices.ContainsFunc(shown, func(r *keys.Timed) bool { return r.Replaces != "" && r.Appears.After(t) })
	return slices.DeleteFunc(slices.Clone(shown), func(r *keys.Timed) bool {
		return early && r.RevokedAt(t) || slices.ContainsFunc(shown, func(by *keys.Timed) bool { return Replaces(by, r) })
	})
}

// hasSigned reports whether it has been a key's turn to sign, for however short a time.
func (s *Schedule) hasSigned(r *keys.Timed, t time.Time) bool {
	for _, since := range s.switches() {
		if !since.After(t) && s.Signing(since) == r {
			return true
		}
	}
	return false
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

// NextChange is the first instant after t at which published may answer differently; the zero
// time if none is known.
func (s *Schedule) NextChange(t time.Time) time.Time {
	var next time.Time
	hidden := false
	for i := range s.Records {
		r := &s.Records[i]
		next = timing.EarliestAfter(t, next, s.Retires(r), r.Appears)
		hidden = hidden || r.Appears.After(t)
	}
	if hidden { // one that signs before it should have appeared is shown
		next = timing.EarliestAfter(t, append(s.switches(), next)...)
	}
	return next
}
