package keyset

import (
	"cmp"
	"sort"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// spell is a time in which one key signs: from an instant until the next spell begins.
type spell struct {
	from    time.Time
	signing *keys.Timed // nil if no key signs
}

// signingSpells are the spells of a schedule, in their order. The first one is the time before
// anything happens: it has no beginning, and its key may go on signing in the second one.
func (s *Schedule) signingSpells() []spell {
	spells := []spell{{signing: s.chooseSigning(time.Time{})}}
	for _, t := range s.switches() {
		last := spells[len(spells)-1]
		if signing := s.chooseSigning(t); len(spells) == 1 || signing != last.signing {
			spells = append(spells, spell{from: t, signing: signing})
		}
	}
	return spells
}

// switches are the instants at which another key may begin to sign.
func (s *Schedule) switches() instants {
	return s.instants(func(r *keys.Timed) []time.Time { return []time.Time{r.Begins(), r.Revoked} })
}

// chooseSigning chooses the key whose turn it is at an instant; nil if there is none at all.
//
// When the key whose turn it is has been revoked, the next turn begins at once. Before the
// first turn (a clock that was set back) the first key signs: it is as good as any.
//
// For example, A signs from 8:00, and B and C, both of the next turn, from 9:00. B is older than C: it signs.
// If A is revoked at 8:30, B signs from then on. If B is revoked at 8:30, A signs until 9:00, and then C.
// If B is revoked at 9:30, C signs from then on. If C is revoked as well, A signs again.
func (s *Schedule) chooseSigning(t time.Time) *keys.Timed {
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

// spellAt is the index of the spell that an instant is in.
func (s *Schedule) spellAt(t time.Time) int {
	return sort.Search(len(s.spells)-1, func(i int) bool { return s.spells[i+1].from.After(t) })
}

// Signing returns the key that signs at an instant, or nil if there is none at all.
func (s *Schedule) Signing(t time.Time) *keys.Timed { return s.spells[s.spellAt(t)].signing }

// next returns the key that will sign after the one that signs now, and from when; the zero time
// if that is for a person to say.
func (s *Schedule) next(now time.Time) (*keys.Timed, time.Time) {
	i := s.spellAt(now)
	signing := s.spells[i].signing
	if signing == nil {
		return nil, time.Time{}
	}
	for _, later := range s.spells[i+1:] {
		if later.signing != signing {
			return later.signing, later.from
		}
	}
	return s.Successor(signing, now), time.Time{}
}

// signsSince is when the key that signs now began to: its own turn, or when another's ended.
func (s *Schedule) signsSince(now time.Time) time.Time {
	i := s.spellAt(now)
	if i == 0 {
		return s.spells[0].signing.Begins()
	}
	return s.spells[i].from
}

// SigningFor returns the key for a token whose window began at start. A rotation on
// schedule moves each client when its window ends; an emergency moves all of them at once.
func (s *Schedule) SigningFor(start, now time.Time) *keys.Timed {
	return s.Signing(timing.Later(start, s.lastEmergency(now)))
}

// lastEmergency is the last instant not after t at which tokens in use were given up.
func (s *Schedule) lastEmergency(t time.Time) time.Time {
	if timing.Reached(s.replaced, t) {
		return s.replaced
	}
	return s.emergencies.until(t)
}

// NextEmergency is the first instant after t at which tokens in use will be given up; the
// zero time if none is known.
func (s *Schedule) NextEmergency(t time.Time) time.Time { return s.emergencies.after(t) }
