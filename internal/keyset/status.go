package keyset

import (
	"slices"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// Status is what there is to know of a key set. Nothing in it is private.
type Status struct {
	Name   string      `json:"name"`
	Source string      `json:"source"`
	Public bool        `json:"public"`
	Keys   []KeyStatus `json:"keys"`

	// NextRotation is when another key begins to sign, if that is known.
	NextRotation time.Time `json:"next_rotation,omitzero"`

	// Problem is why the keys could not be brought up to date, or are not there.
	Problem string `json:"problem,omitempty"`
}

// KeyStatus is what there is to know of a key.
type KeyStatus struct {
	ID        string    `json:"kid,omitempty"`
	Algorithm string    `json:"algorithm"`
	State     string    `json:"state"` // signing, next, waiting, published, revoked or retired
	Created   time.Time `json:"created,omitzero"`

	// SignsFrom is when the key's turn begins, or began.
	SignsFrom time.Time `json:"signs_from,omitzero"`

	// Retires is when it leaves the JWKS, if that is known.
	Retires time.Time `json:"retires,omitzero"`
	Revoked time.Time `json:"revoked,omitzero"`
}

// The states that a key can be in.
const (
	Signing        = "signing"
	stateNext      = "next"
	stateWaiting   = "waiting"   // its turn comes after the next one's
	statePublished = "published" // only: to verify tokens that it signed, or in the place of another
	stateRevoked   = "revoked"
	stateRetired   = "retired"
)

// Status describes the set as of an instant.
func (ks *Set) Status(now time.Time) Status {
	status := Status{Name: ks.Name, Source: ks.SourceName, Public: ks.Source.Public(), Keys: []KeyStatus{}}
	if failure := ks.State.failure.Load(); failure != nil {
		status.Problem = (*failure).Error()
	}
	current := ks.State.Current()
	if current == nil {
		return status
	}
	signing := current.Signing(now)
	next, from := current.next(now)
	status.NextRotation = from
	for i := range current.Records {
		r := &current.Records[i]
		key := KeyStatus{
			ID: r.ID, Algorithm: string(r.Algorithm), State: statePublished,
			Created: r.Created, Retires: current.Retires(r), Revoked: r.Revoked,
		}
		if !current.fixed {
			key.SignsFrom = r.Begins()
		}
		switch {
		case r == signing:
			key.State = Signing
			if !current.fixed {
				key.SignsFrom = current.signsSince(now)
			}
		case timing.Reached(key.Retires, now):
			key.State = stateRetired
		case r.RevokedAt(now):
			key.State = stateRevoked
		case r == next && !current.fixed:
			key.State = stateNext
			key.SignsFrom = from
		case next != nil && r.Turn > next.Turn && !current.fixed:
			key.State = stateWaiting
		}
		status.Keys = append(status.Keys, key)
	}
	slices.Reverse(status.Keys) // the newest first
	return status
}
