package keyset

import (
	"slices"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// Status describes a key set. It has nothing secret in it.
type Status struct {
	Name   string      `json:"name"`
	Source string      `json:"source"`
	Public bool        `json:"public"`
	Keys   []KeyStatus `json:"keys"`

	// NextRotation is when another key begins to sign, if that is known.
	NextRotation time.Time `json:"next_rotation,omitzero"`

	// Problem says why the keys could not be brought up to date, or why there are none.
	Problem string `json:"problem,omitempty"`
}

// KeyStatus describes a key.
type KeyStatus struct {
	ID        string    `json:"kid,omitempty"`
	Algorithm string    `json:"algorithm"`
	State     string    `json:"state"` // such as StateSigning
	Created   time.Time `json:"created,omitzero"`

	// SignsFrom is when the key begins to sign, or when its turn began.
	SignsFrom time.Time `json:"signs_from,omitzero"`

	// Retires is when the key leaves the JWKS, if that is known.
	Retires time.Time `json:"retires,omitzero"`

	// Revoked is when the key stops signing because it is revoked, if it is.
	Revoked time.Time `json:"revoked,omitzero"`
}

// The states that a key can be in.
const (
	StateSigning   = "signing"
	StateNext      = "next"      // it signs after the key that signs now
	StateWaiting   = "waiting"   // it signs after the next key
	StatePublished = "published" // it is only in the JWKS, for instance to verify tokens that it has signed
	StateRevoked   = "revoked"
	StateRetired   = "retired" // it has left the JWKS
)

// Status describes the set as it is at a point in time.
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
	next, from := current.nextSigning(now)
	status.NextRotation = from
	for i := range current.Records {
		r := &current.Records[i]
		retires := current.Retires(r)
		key := KeyStatus{
			ID: r.ID, Algorithm: string(r.Algorithm), State: StatePublished, Created: r.Created,
			Retires: current.Decided(retires), Revoked: current.Decided(r.Revoked),
		}
		if !current.fixed {
			key.SignsFrom = r.Begins()
		}
		switch {
		case r == signing:
			key.State = StateSigning
			if !current.fixed {
				key.SignsFrom = current.Decided(current.signsSince(now))
			}
		case timing.Reached(retires, now):
			key.State = StateRetired
		case r.RevokedAt(now):
			key.State = StateRevoked
		case r == next && !current.fixed:
			key.State = StateNext
			key.SignsFrom = from
		case next != nil && r.Turn > next.Turn && !current.fixed:
			key.State = StateWaiting
		}
		status.Keys = append(status.Keys, key)
	}
	slices.Reverse(status.Keys) // the newest first
	return status
}
