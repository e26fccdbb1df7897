package esjwt

import (
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"slices"
	"time"
)

// setStatus is what there is to know of a key set. Nothing in it is private.
type setStatus struct {
	Name   string      `json:"name"`
	Source string      `json:"source"`
	Public bool        `json:"public"`
	Keys   []keyStatus `json:"keys"`

	// NextRotation is when another key begins to sign, if that is known.
	NextRotation time.Time `json:"next_rotation,omitzero"`

	// Problem is why the keys could not be brought up to date, or are not there.
	Problem string `json:"problem,omitempty"`
}

// keyStatus is what there is to know of a key.
type keyStatus struct {
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

const (
	stateSigning   = "signing"
	stateNext      = "next"
	stateWaiting   = "waiting"   // its turn comes after the next one's
	statePublished = "published" // only: to verify tokens that it signed, or in the place of another
	stateRevoked   = "revoked"
	stateRetired   = "retired"
)

// status describes the set as of an instant.
func (ks *keySet) status(now time.Time) setStatus {
	status := setStatus{Name: ks.name, Source: ks.sourceName, Public: ks.source.Public(), Keys: []keyStatus{}}
	if failure := ks.state.failure.Load(); failure != nil {
		status.Problem = (*failure).Error()
	}
	current := ks.state.get()
	if current == nil {
		return status
	}
	signing := current.signing(now)
	next, from := current.next(now)
	status.NextRotation = from
	for i := range current.records {
		r := &current.records[i]
		key := keyStatus{
			ID: r.ID, Algorithm: string(r.Algorithm), State: statePublished,
			Created: r.Created, Retires: current.retires(r), Revoked: r.Revoked,
		}
		if !current.fixed {
			key.SignsFrom = r.Begins()
		}
		switch {
		case r == signing:
			key.State = stateSigning
			if !current.fixed {
				key.SignsFrom = current.signsSince(r, now)
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
