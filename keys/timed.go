package keys

import (
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// Timed is a key that has a life: when it enters the JWKS, from when it signs, and which keys it revokes. What
// the maker of a key has said does not change later. More keys are added instead, so that replicas which read the
// same keys agree without talking.
type Timed struct {
	*Key

	// Turn orders the keys: of those that have begun to sign, the one with the highest turn signs.
	//
	// Two replicas that do not see each other's keys can make one each for the same turn. Then a key that replaces
	// others signs rather than one that does not: clusters forget the replaced keys when they see its first
	// token. Of several that replace others, the one that enters the JWKS last signs; of those that replace none,
	// the oldest one; and of equally old ones, the one with the lower kid.
	Turn int

	// Created is when the key was made. It is in the JWKS from then on, unless Appears is later.
	Created time.Time

	// Appears is when the key enters the JWKS, if that is later than Created. A key that replaces others may
	// enter it only when no replica uses those any more.
	Appears time.Time

	// Replaces are the kids of the keys that this one revokes and takes the place of, or [ReplacesAll] alone. Those
	// leave the JWKS when this one enters it. No JWKS has both, so that a cluster which knows this key has
	// forgotten the others. It must not be changed.
	Replaces []string

	// ReplacesFrom is when the replaced keys stop signing, and their tokens stop being used; the zero time if
	// that is when this key enters the JWKS. It is not later than that.
	ReplacesFrom time.Time

	// SignsFrom is when the turn of the key begins; the zero time if it waits to be promoted.
	SignsFrom time.Time

	// Grace is how long the key stays in the JWKS after a later turn began: as long as a token can live, and a
	// margin.
	Grace time.Duration

	// Promoted is when an operator makes the turn of the key begin before SignsFrom; the zero time if nobody does.
	// All clients get a token of the key then, while on schedule each one goes on with its token until that has
	// half its life left. For a key that replaces others the set does so at SignsFrom, whoever made it.
	Promoted time.Time

	// Suspended says that the key must not sign, for as long as the source says so. It stays in the JWKS, and its
	// tokens stay good. A source says so if it cannot tell whether the key was revoked.
	//
	// For example, A signs and its successor B is published. A process starts and finds a third object that it
	// cannot read. That could be the key that revokes A, so the source suspends A, and B signs at once.
	Suspended bool

	// Revoked is when the key stops signing, and its tokens stop being used. Withdrawn is when it leaves the JWKS
	// for that. Both are the zero time if nothing revokes the key. What the Replaces of other keys in the same
	// answer say need not be repeated here: these are for revocations by keys that the source no longer has.
	Revoked, Withdrawn time.Time
}

// Begins is when the turn of the key begins; the zero time if that is not known yet.
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

// ReplacesAll in [Timed.Replaces] is every key of an earlier turn, also one that is read only later, and every key
// of the same turn that does not replace all itself.
const ReplacesAll = "*"
