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

// Rotate implements [keys.Rotator]. It stores one key, which promotes the successor of the key that signs.
//
// For example, A signs and its successor B is published. Rotate stores C, the successor of B, and C says that it
// promotes B, and when.
func (s *Source) Rotate(ctx context.Context, needs keys.Needs) (keys.Rotation, error) {
	return s.command(ctx, needs, func(current *keyset.Schedule, needs keys.Needs) (keys.Rotation, error) {
		signing := current.Signing(needs.Now)
		if r := promotedLater(current, signing, needs.Now); r != nil {
			return keys.Rotation{}, fmt.Errorf("%w: the key %s begins to sign at %s already; ask again after that",
				keys.ErrKeyState, r.ID, r.Promoted.Format(time.RFC3339))
		}
		successor := current.Successor(signing, needs.Now)
		at, begins := knownEverywhere(successor, needs), successor.Begins()
		if !begins.IsZero() && !at.Before(begins) {
			return keys.Rotation{At: begins}, nil // it signs on schedule before every cache can know it
		}
		_, err := s.makeKey(ctx, keyset.Plan{
			Turn:      current.LastTurn() + 1,
			SignsFrom: s.signsAfterAll(current, successor, at),
		}, promotion{successor.ID, at.UTC().Truncate(time.Second)}, needs)
		return keys.Rotation{At: at}, err
	})
}

// promotedLater returns a key that is promoted at a later time; nil if there is none. It has to sign before another
// key is promoted: if it revokes others, clusters forget those when they see its first token.
func promotedLater(current *keyset.Schedule, signing *keys.Timed, now time.Time) *keys.Timed {
	for i := range current.Records {
		r := &current.Records[i]
		if r.Turn >= signing.Turn && r.Promoted.After(now) && !timing.Reached(r.Revoked, r.Promoted) {
			return r
		}
	}
	return nil
}

// signsAfterAll returns when a new key signs whose turn comes after all others, if the successor is promoted at the
// given time; the zero time if rotate_every is never.
func (s *Source) signsAfterAll(current *keyset.Schedule, successor *keys.Timed, promoted time.Time) time.Time {
	if s.every() == 0 {
		return time.Time{}
	}
	last := promoted
	for i := range current.Records {
		if r := &current.Records[i]; r.Turn > successor.Turn && !r.RevokedAt(promoted) {
			last = timing.Later(last, r.Begins())
		}
	}
	return last.Add(s.every())
}

// Revoke implements [keys.Rotator]. It stores one key, the fresh one, which replaces the revoked key.
//
// Until the fresh key signs, the successor of the revoked one does, and its first token can make a cluster read the
// JWKS. A cluster that found the fresh key and the revoked one in it would have no reason to read it again, and would
// go on trusting the revoked key. So no JWKS has both. The documentation of package keys has an example.
func (s *Source) Revoke(ctx context.Context, kid string, atOnce bool, needs keys.Needs) (keys.Rotation, error) {
	return s.command(ctx, needs, func(current *keyset.Schedule, needs keys.Needs) (keys.Rotation, error) {
		i := slices.IndexFunc(current.Records, func(r keys.Timed) bool { return r.ID == kid })
		if i < 0 {
			return keys.Rotation{}, fmt.Errorf("%w: the set %s has no key %q: it has %s",
				keys.ErrKeyState, s.folder.set, kid, strings.Join(kids(current.Records), ", "))
		}
		revoked := &current.Records[i]
		already := !revoked.Revoked.IsZero() && !revoked.Withdrawn.After(latestWithdrawal(needs))
		if already && (!atOnce || timing.Reached(revoked.Withdrawn, needs.Now)) {
			return keys.Rotation{}, errRevokedAlready(current, revoked, needs.Now)
		}
		if atOnce {
			return s.revokeAtOnce(ctx, current, kid, needs)
		}
		return s.revokeInTime(ctx, current, revoked, needs)
	})
}

// errRevokedAlready says since when a key is revoked, and how to take it out of the JWKS sooner, if it is still there.
func errRevokedAlready(current *keyset.Schedule, revoked *keys.Timed, now time.Time) error {
	since := current.Decided(revoked.Revoked).Format(time.RFC3339)
	if timing.Reached(revoked.Withdrawn, now) {
		return fmt.Errorf("%w: the key %s was revoked already, as of %s", keys.ErrKeyState, revoked.ID, since)
	}
	return fmt.Errorf("%w: the key %s was revoked already, as of %s, and leaves the JWKS at %s: "+
		"to take it out at once, revoke it with --now",
		keys.ErrKeyState, revoked.ID, since, revoked.Withdrawn.Format(time.RFC3339))
}

// latestWithdrawal returns until when keys can stay in the JWKS that have been revoked so far, even if there were
// several revocations in a row. A replica whose clock is far ahead can say a later time. The next revocation then
// revokes that key again, so that it is withdrawn in time.
func latestWithdrawal(needs keys.Needs) time.Time {
	return needs.Now.Add(4 * timing.LeadTime(needs.MaxAge))
}

// revokeInTime revokes a key in such a way that no request fails.
func (s *Source) revokeInTime(
	ctx context.Context, current *keyset.Schedule, revoked *keys.Timed, needs keys.Needs,
) (keys.Rotation, error) {
	latest := latestWithdrawal(needs)
	replaces := []string{revoked.ID}
	for i := range current.Records {
		if r := &current.Records[i]; r != revoked && r.Withdrawn.After(latest) {
			replaces = append(replaces, r.ID)
		}
	}
	stop := stopSigning(current, replaces, needs)
	// By the time the fresh key appears, every replica has read it and has stopped signing with the revoked keys, and
	// those that were revoked before have left the JWKS.
	appears := stop.Add(timing.LeadTime(0))
	for i := range current.Records {
		if r := &current.Records[i]; !r.Withdrawn.After(latest) {
			appears = timing.Later(appears, r.Withdrawn)
		}
	}
	for _, v := range s.folder.revocations { // other replicas may publish keys that the storage has lost
		if !v.Appears.After(latest) {
			appears = timing.Later(appears, v.Appears)
		}
	}
	return s.storeRevocation(ctx, keyset.Plan{
		Turn:         current.LastTurn() + 1,
		Appears:      appears,
		SignsFrom:    appears.Add(needs.MaxAge + timing.ClockSkew),
		Replaces:     replaces,
		ReplacesFrom: stop,
	}, needs)
}

// stopSigning returns when keys stop signing that are to be revoked. That is now, or if one of them signs, once every
// cache can know the key that signs instead.
func stopSigning(current *keyset.Schedule, revoked []string, needs keys.Needs) time.Time {
	signing := current.Signing(needs.Now)
	if !slices.Contains(revoked, signing.ID) {
		return needs.Now
	}
	for i := range current.Records {
		next := &current.Records[i]
		if next.Turn > signing.Turn && !next.RevokedAt(needs.Now) && !slices.Contains(revoked, next.ID) {
			return knownEverywhere(next, needs)
		}
	}
	return needs.Now
}

// revokeAtOnce takes a key out of the JWKS, and with it the keys that were revoked before and are still there.
func (s *Source) revokeAtOnce(
	ctx context.Context, current *keyset.Schedule, kid string, needs keys.Needs,
) (keys.Rotation, error) {
	replaces := []string{kid}
	for i := range current.Records {
		r := &current.Records[i]
		if r.ID != kid && !r.Revoked.IsZero() && !timing.Reached(current.Retires(r), needs.Now) {
			replaces = append(replaces, r.ID)
		}
	}
	for _, v := range s.folder.revocations { // other replicas may publish keys that the storage has lost
		for _, lost := range v.Replaces {
			if v.Appears.After(needs.Now) && !slices.Contains(replaces, lost) {
				replaces = append(replaces, lost)
			}
		}
	}
	return s.storeRevocation(ctx, keyset.Plan{
		Turn:      current.LastTurn() + 1,
		SignsFrom: needs.Now.Add(timing.LeadTime(needs.MaxAge)),
		Replaces:  replaces,
	}, needs)
}

// unseenTurns is how many turns RevokeAll leaves free. Another replica can have made keys that this one does not see
// yet, and the key that replaces all replaces those of earlier turns alone.
const unseenTurns = 10

// RevokeAll implements [keys.Rotator].
func (s *Source) RevokeAll(ctx context.Context, needs keys.Needs) (keys.Rotation, error) {
	return s.command(ctx, needs, func(current *keyset.Schedule, needs keys.Needs) (keys.Rotation, error) {
		rotation, err := s.storeRevocation(ctx, keyset.Plan{
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

// storeRevocation makes and stores a key that replaces others. That is one object: it is stored whole or not at all.
func (s *Source) storeRevocation(ctx context.Context, plan keyset.Plan, needs keys.Needs) (keys.Rotation, error) {
	fresh, err := s.makeKey(ctx, plan, promotion{}, needs)
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

// knownEverywhere returns when every replica has read a key, and no HTTP cache keeps a JWKS without it any more; now,
// if that is past.
func knownEverywhere(r *keys.Timed, needs keys.Needs) time.Time {
	known := r.Created.Add(timing.LeadTime(needs.MaxAge))
	known = timing.Later(known, r.Appears.Add(needs.MaxAge+timing.ClockSkew))
	return timing.Later(needs.Now, known)
}

// command does what an operator asks for, while no other replica changes the stored keys. Before and after that it
// makes the keys that are missing. An error says whether anything was stored.
func (s *Source) command(
	ctx context.Context, needs keys.Needs, do func(*keyset.Schedule, keys.Needs) (keys.Rotation, error),
) (keys.Rotation, error) {
	needs, end, err := s.beginCommand(ctx, needs)
	if err != nil {
		return keys.Rotation{}, fmt.Errorf("nothing was changed: %w", err)
	}
	defer end()
	records, err := s.makeMissingKeys(ctx, needs)
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
	// It is stored. If a key that is missing now cannot be made, the next poll tries again.
	records, err = s.makeMissingKeys(ctx, needs)
	if err != nil {
		s.logger.Warn("the successor of the key that signs now could not be made yet",
			zap.String("keys", s.folder.set), zap.Error(err))
	}
	if signing := keyset.NewSchedule(records).Signing(rotation.At); signing != nil {
		rotation.Signing = signing.ID
	}
	return rotation, nil
}

// beginCommand waits until it has the lock and nobody else in this process reads or changes what is stored. Now, in
// the needs that it returns, is when it has both. While it waits for the lock, others can read the keys.
func (s *Source) beginCommand(ctx context.Context, needs keys.Needs) (_ keys.Needs, end func(), err error) {
	asked := time.Now()
	leave, err := s.enter(ctx)
	if err != nil {
		return needs, nil, err
	}
	s.folder.remember(needs)
	for {
		release, err := s.commandLock.try(ctx)
		if err == nil {
			needs.Now = needs.Now.Add(time.Since(asked)).UTC().Truncate(time.Second)
			return needs, func() { release(); leave() }, nil
		}
		leave()
		if pending, ok := errors.AsType[*lockPending](err); !ok || !pending.wait(ctx) {
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
