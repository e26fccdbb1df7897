package keyset

import (
	"context"
	"errors"
	"fmt"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// ErrNotRotator says why a set cannot be rotated by a command.
var ErrNotRotator = errors.New("its keys are not Caddy's to make: " +
	"change the file, the secret or the key in the KMS instead")

// Rotate makes the successor sign.
func (ks *Set) Rotate(ctx context.Context) (keys.Rotation, error) {
	return ks.command(ctx, func(source keys.Rotator, needs keys.Needs) (keys.Rotation, error) {
		return source.Rotate(ctx, needs)
	})
}

// Revoke revokes a key. See [keys.Rotator] for when it leaves the JWKS.
func (ks *Set) Revoke(ctx context.Context, kid string, atOnce bool) (keys.Rotation, error) {
	return ks.command(ctx, func(source keys.Rotator, needs keys.Needs) (keys.Rotation, error) {
		return source.Revoke(ctx, kid, atOnce, needs)
	})
}

// RevokeAll revokes every key of the set, and signs with a new one at once.
func (ks *Set) RevokeAll(ctx context.Context) (keys.Rotation, error) {
	return ks.command(ctx, func(source keys.Rotator, needs keys.Needs) (keys.Rotation, error) {
		return source.RevokeAll(ctx, needs)
	})
}

// command has the source change the keys, and takes over the changed keys at once. The other replicas notice
// when they poll.
func (ks *Set) command(
	ctx context.Context, do func(keys.Rotator, keys.Needs) (keys.Rotation, error),
) (keys.Rotation, error) {
	rotator, ok := ks.Source.(keys.Rotator)
	if !ok {
		return keys.Rotation{}, fmt.Errorf("the key set %s is of the source %s: %w", ks.Name, ks.SourceName, ErrNotRotator)
	}
	rotation, err := waitFor(ctx, func() (keys.Rotation, error) { return do(rotator, ks.needsAt(ks.Now())) })
	if errors.Is(err, keys.ErrNoAnswer) && !errors.Is(err, keys.ErrBusy) {
		err = keys.Failed(keys.NoAnswer, keys.MayBeStored(err))
	}
	if err != nil {
		if keys.IsFailure(err) { // other errors say that the command asked for something impossible
			ks.State.counts.addFailure(keys.FailureOf(err))
		}
		return keys.Rotation{}, err
	}
	if _, err := ks.refresh(ctx); err != nil {
		return keys.Rotation{}, fmt.Errorf("it is stored, and this replica follows when it can read its keys again: %w", err)
	}
	return rotation, nil
}
