package keyset

import (
	"cmp"
	"sort"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// spell is a period in which one key signs. It ends when the next spell begins.
type spell struct {
	from    time.Time
	signing *keys.Timed // nil if no key signs
}

// computeSpells returns the spells of the schedule, in the order of time. The first spell is the time before
// anything happens: it has no beginning, and the second spell may have the same key.
func (s *Schedule) computeSpells() []spell {
	spells := []spell{{signing: s.chooseSigning(time.Time{})}}
	for _, t := range s.signingChanges() {
		last := spells[len(spells)-1]
		if signing := s.chooseSigning(t); len(spells) == 1 || signing != last.signing {
			spells = append(spells, spell{from: t, signing: signing})
		}
	}
	return spells
}

// signingChanges returns when another key may begin to sign.
func (s *Schedule) signingChanges() instants {
	return s.instantsOf(func(r *keys.Timed) []time.Time { return []time.Time{r.Begins(), r.Revoked} })
}

// chooseSigning chooses the key that signs at a point in time: the one whose turn it is. It returns nil if no key
// can sign.
//
// If the key whose turn it is has been revoked, the next key signs at once. If no turn has begun yet, since the
// clock was set back, the first key signs.
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
	turn := s.turnAt(t)
	var begun, next, earlier *keys.Timed
	for i := range s.Records {
		r := &s.Records[i]
		switch {
		case r.RevokedAt(t), r.Suspended:
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

// outranks reports whether a key signs rather than another one of the same turn, which comes before it in the
// records. A key that replaces others must sign, so that clusters read the JWKS again and forget the others. Of
// two such keys, the one that enters the JWKS last signs: no JWKS had it together with a key that either replaces.
func outranks(r, earlier *keys.Timed) bool {
	return len(r.Replaces) > 0 && (len(earlier.Replaces) == 0 || !r.Enters().Before(earlier.Enters()))
}

// turnAt returns the highest turn that has begun at a point in time, even if its key was revoked since. A key that
// was revoked before its turn began has no turn: the key before it goes on signing.
func (s *Schedule) turnAt(t time.Time) int {
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

// spellAt returns the index of the spell at a point in time.
func (s *Schedule) spellAt(t time.Time) int {
	return sort.Search(len(s.spells)-1, func(i int) bool { return s.spells[i+1].from.After(t) })
}

// Signing returns the key that signs at a point in time; nil if no key can sign.
func (s *Schedule) Signing(t time.Time) *keys.Timed { return s.spells[s.spellAt(t)].signing }

// nextSigning returns the key that will sign after the one that signs now, and from when; the zero time if the key
// waits until somebody promotes it.
func (s *Schedule) nextSigning(now time.Time) (*keys.Timed, time.Time) {
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

// signsSince returns when the key that signs now began to sign.
func (s *Schedule) signsSince(now time.Time) time.Time {
	i := s.spellAt(now)
	if i == 0 {
		return s.spells[0].signing.Begins()
	}
	return s.spells[i].from
}

// SigningFor returns the key that signs a token whose window began at start. After a rotation on schedule a client
// keeps its token until its window ends. In an emergency every client gets a token of the new key at once.
//
// For example, windows of a client begin at 8:50 and 9:05, and the key A signs until 9:00, then B. Until 9:05 the
// key for the client's token is A. If somebody rotated the set by hand at 9:00, it is B from 9:00 on.
func (s *Schedule) SigningFor(start, now time.Time) *keys.Timed {
	return s.Signing(timing.Later(start, s.lastEmergency(now)))
}

// lastEmergency returns the last time until t at which tokens in use were given up; the zero time if none was.
func (s *Schedule) lastEmergency(t time.Time) time.Time {
	if timing.Reached(s.rotated, t) {
		return s.rotated
	}
	return s.emergencies.lastUntil(t)
}

// NextEmergency returns the first time after t at which tokens in use will be given up; the zero time if none is
// known.
func (s *Schedule) NextEmergency(t time.Time) time.Time { return s.emergencies.firstAfter(t) }
