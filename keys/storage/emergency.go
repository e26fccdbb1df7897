package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// Rotate implements [keys.Rotator].
func (s *Keys) Rotate(ctx context.Context, needs keys.Needs) (keys.Rotation, error) {
	return s.locked(ctx, needs, func(current *keyset.Schedule, needs keys.Needs) (keys.Rotation, error) {
		signing := current.Signing(needs.Now)
		for i := range current.Records {
			// A fresh key that another overtakes would never sign, and make no cluster forget.
			if r := &current.Records[i]; r.Turn >= signing.Turn && r.Promoted.After(needs.Now) && !timing.Reached(r.Revoked, r.Promoted) {
				return keys.Rotation{}, fmt.Errorf("%w: the key %s begins to sign at %s already; ask again after that", keys.ErrKeyState, r.ID, r.Promoted.Format(time.RFC3339))
			}
		}
		successor := current.Successor(signing, needs.Now)
		at, begins := knownEverywhere(successor, needs), successor.Begins()
		if !begins.IsZero() && !at.Before(begins) {
			return keys.Rotation{At: begins}, nil // on schedule, before every cache could know it
		}
		_, err := s.make(ctx, keyset.Plan{
			Turn:      current.LastTurn() + 1,
			SignsFrom: s.afterAll(current, successor, at),
		}, promotion{successor.ID, at.UTC().Truncate(time.Second)}, needs)
		return keys.Rotation{At: at}, err
	})
}

// afterAll is when a key signs that comes after all others, where the next one is promoted; the zero time if
// that is for a person to say.
func (s *Keys) afterAll(current *keyset.Schedule, promoted *keys.Timed, at time.Time) time.Time {
	if s.every() == 0 {
		return time.Time{}
	}
	last := at
	for i := range current.Records {
		if r := &current.Records[i]; r.Turn > promoted.Turn && !r.RevokedAt(at) {
			last = timing.Later(last, r.Begins())
		}
	}
	return last.Add(s.every())
}

// Revoke implements [keys.Rotator].
//
// The key that signs meanwhile makes clusters read the JWKS too, and one that saw the fresh key
// beside a revoked one would have no reason to read it again. So no JWKS has both.
func (s *Keys) Revoke(ctx context.Context, kid string, atOnce bool, needs keys.Needs) (keys.Rotation, error) {
	return s.locked(ctx, needs, func(current *keyset.Schedule, needs keys.Needs) (keys.Rotation, error) {
		i := slices.IndexFunc(current.Records, func(r keys.Timed) bool { return r.ID == kid })
		if i < 0 {
			return keys.Rotation{}, fmt.Errorf("%w: the set %s has no key %q: it has %s", keys.ErrKeyState, s.stored.set, kid, strings.Join(kids(current.Records), ", "))
		}
		revoked := &current.Records[i]
		if !revoked.Revoked.IsZero() && !revoked.Withdrawn.After(longest(needs)) && (!atOnce || timing.Reached(revoked.Withdrawn, needs.Now)) {
			return keys.Rotation{}, fmt.Errorf("%w: the key %s was revoked already, as of %s", keys.ErrKeyState, kid, revoked.Revoked.Format(time.RFC3339))
		}
		if atOnce {
			return s.revokeAtOnce(ctx, current, kid, needs)
		}
		return s.revokeInTime(ctx, current, revoked, needs)
	})
}

// longest is until when revocations can last that followed each other. One that lasts longer was made
// on a clock far ahead: the next takes its keys along.
func longest(needs keys.Needs) time.Time { return needs.Now.Add(4 * timing.LeadTime(needs.MaxAge)) }

// revokeInTime revokes a key without a request being refused.
func (s *Keys) revokeInTime(ctx context.Context, current *keyset.Schedule, revoked *keys.Timed, needs keys.Needs) (keys.Rotation, error) {
	limit := longest(needs)
	replaces := []string{revoked.ID}
	for i := range current.Records {
		if r := &current.Records[i]; r != revoked && r.Withdrawn.After(limit) {
			replaces = append(replaces, r.ID)
		}
	}
	// The key that signs instead must be known to every cache.
	at := needs.Now
	if signing := current.Signing(needs.Now); slices.Contains(replaces, signing.ID) {
		for i := range current.Records {
			if next := &current.Records[i]; next.Turn > signing.Turn && !next.RevokedAt(needs.Now) && !slices.Contains(replaces, next.ID) {
				at = knownEverywhere(next, needs)
				break
			}
		}
	}
	// When the fresh key appears, every replica has heard of it and none signs with the revoked one
	// any more, nor with those that earlier revocations are yet to withdraw.
	appears := at.Add(timing.LeadTime(0))
	for i := range current.Records {
		if r := &current.Records[i]; r.Withdrawn.After(appears) && !r.Withdrawn.After(limit) {
			appears = r.Withdrawn
		}
	}
	for _, v := range s.stored.revocations { // also those of keys that the storage has lost, and other replicas still publish
		if v.Appears.After(appears) && !v.Appears.After(limit) {
			appears = v.Appears
		}
	}
	return s.replace(ctx, keyset.Plan{
		Turn:         current.LastTurn() + 1,
		Appears:      appears,
		SignsFrom:    appears.Add(needs.MaxAge + timing.ClockSkew),
		Replaces:     replaces,
		ReplacesFrom: at,
	}, needs)
}

// revokeAtOnce takes a key out of the JWKS, and those that earlier revocations have left there.
func (s *Keys) revokeAtOnce(ctx context.Context, current *keyset.Schedule, kid string, needs keys.Needs) (keys.Rotation, error) {
	replaces := []string{kid}
	for i := range current.Records {
		if r := &current.Records[i]; r.ID != kid && !r.Revoked.IsZero() && !timing.Reached(current.Retires(r), needs.Now) {
			replaces = append(replaces, r.ID)
		}
	}
	for _, v := range s.stored.revocations { // also keys that the storage has lost, and other replicas still publish
		for _, lost := range v.Replaces {
			if v.Appears.After(needs.Now) && !slices.Contains(replaces, lost) {
				replaces = append(replaces, lost)
			}
		}
	}
	return s.replace(ctx, keyset.Plan{
		Turn:      current.LastTurn() + 1,
		SignsFrom: needs.Now.Add(timing.LeadTime(needs.MaxAge)),
		Replaces:  replaces,
	}, needs)
}

// unseenTurns is how far ahead of the last turn that is known a key is that replaces all others: a
// replica can have made keys that this one does not see yet.
const unseenTurns = 10

// RevokeAll implements [keys.Rotator].
func (s *Keys) RevokeAll(ctx context.Context, needs keys.Needs) (keys.Rotation, error) {
	return s.locked(ctx, needs, func(current *keyset.Schedule, needs keys.Needs) (keys.Rotation, error) {
		rotation, err := s.replace(ctx, keyset.Plan{
			Turn:      current.LastTurn() + unseenTurns,
			SignsFrom: needs.Now,
			Replaces:  []string{keys.ReplacesAll},
		}, needs)
		rotation.Revoked = nil
		for _, r := range current.Records {
			if !r.RevokedAt(needs.Now) {
				rotation.Revoked = append(rotation.Revoked, r.ID)
			}
		}
		return rotation, err
	})
}

// replace makes a key that takes the place of others, which revokes them. All of that is one object
// in the storage: there is no halfway.
func (s *Keys) replace(ctx context.Context, plan keyset.Plan, needs keys.Needs) (keys.Rotation, error) {
	fresh, err := s.make(ctx, plan, promotion{}, needs)
	if err != nil {
		return keys.Rotation{}, err
	}
	orNow := func(t time.Time) time.Time {
		if t.IsZero() {
			return needs.Now
		}
		return t
	}
	return keys.Rotation{
		Revoked: plan.Replaces, At: orNow(fresh.ReplacesFrom),
		Fresh: fresh.ID, FreshFrom: fresh.SignsFrom, Withdrawn: orNow(fresh.Appears),
	}, nil
}

// knownEverywhere is when every replica has polled a key and every HTTP cache has let go of a
// JWKS without it; now, if that is past.
func knownEverywhere(r *keys.Timed, needs keys.Needs) time.Time {
	known := r.Created.Add(timing.LeadTime(needs.MaxAge))
	if appeared := r.Appears.Add(needs.MaxAge + timing.ClockSkew); appeared.After(known) {
		known = appeared
	}
	if known.After(needs.Now) {
		return known
	}
	return needs.Now
}

// locked does something about the stored keys while no other replica does, and makes the keys
// that are missing before and after it. Its errors say what became of what was asked for.
func (s *Keys) locked(ctx context.Context, needs keys.Needs, do func(*keyset.Schedule, keys.Needs) (keys.Rotation, error)) (keys.Rotation, error) {
	needs, release, err := s.begin(ctx, needs)
	if err != nil {
		return keys.Rotation{}, fmt.Errorf("nothing was changed: %w", err)
	}
	defer release()
	records, err := s.fill(ctx, needs)
	if err != nil {
		return keys.Rotation{}, fmt.Errorf("nothing was changed: %w", err)
	}
	rotation, err := do(keyset.NewSchedule(records), needs)
	switch {
	case errors.Is(err, keys.ErrKeyState), errors.Is(err, errNothingStored):
		return keys.Rotation{}, err
	case err != nil:
		return keys.Rotation{}, keys.MayBeStored(err)
	}
	// It is stored. A key that is missing now can be made with the next poll.
	records, err = s.fill(ctx, needs)
	if err != nil {
		s.logger.Warn("the successor of the key that signs now could not be made yet", zap.String("keys", s.stored.set), zap.Error(err))
	}
	if signing := keyset.NewSchedule(records).Signing(rotation.At); signing != nil {
		rotation.Signing = signing.ID
	}
	return rotation, nil
}

// begin waits for the lock, and then until nobody else reads or changes what is stored. The time by which
// to decide is that at which both are there. While it waits for the lock, the keys can be read.
func (s *Keys) begin(ctx context.Context, needs keys.Needs) (_ keys.Needs, end func(), err error) {
	asked := time.Now()
	leave, err := s.enter(ctx)
	if err != nil {
		return needs, nil, err
	}
	s.stored.remember(needs)
	for {
		release, err := s.acting.try(ctx)
		if err == nil {
			needs.Now = needs.Now.Add(time.Since(asked)).UTC().Truncate(time.Second)
			return needs, func() { release(); leave() }, nil
		}
		leave()
		if awaited, ok := errors.AsType[*lockAwaited](err); !ok || !awaited.wait(ctx) {
			return needs, nil, err
		}
		if leave, err = s.enter(ctx); err != nil {
			return needs, nil, err
		}
	}
}

func kids(records []keys.Timed) []string {
	ids := make([]string, len(records))
	for i, r := range records {
		ids[i] = r.ID
	}
	return ids
}
