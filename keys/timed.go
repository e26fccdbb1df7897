package keys

import (
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// Timed is a key and its place in time. Records are immutable: a key set changes only by
// having more of them, so that replicas which read the same storage agree without talking.
type Timed struct {
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

	// Held says that the key may not begin to sign: there is an object that cannot be read and could
	// revoke it.
	Held bool

	// Revoked is when the key stopped signing and its tokens stopped being used; Withdrawn when it
	// left the JWKS. Both follow from the keys that replace it,
	// and from what is left of those that are gone.
	Revoked, Withdrawn time.Time
}

// Begins is when the key's turn begins; the zero time is never.
func (r *Timed) Begins() time.Time {
	if r.Promoted.IsZero() || (!r.SignsFrom.IsZero() && r.SignsFrom.Before(r.Promoted)) {
		return r.SignsFrom
	}
	return r.Promoted
}

// Enters is when the key enters the JWKS.
func (r *Timed) Enters() time.Time {
	if r.Appears.After(r.Created) {
		return r.Appears
	}
	return r.Created
}

// RevokedAt reports whether the key is revoked at an instant.
func (r *Timed) RevokedAt(t time.Time) bool { return timing.Reached(r.Revoked, t) }

// ReplacesAll stands for every key of an earlier turn, also those that are read only later.
const ReplacesAll = "*"
