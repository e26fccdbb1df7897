package storage

import (
	"context"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// staleStorage lists what was there some time ago.
type staleStorage struct {
	certmagic.Storage
	names  []string // nil: what is there
	closed string   // what cannot be loaded
}

func (s *staleStorage) Load(ctx context.Context, name string) ([]byte, error) {
	if name == s.closed {
		return nil, fs.ErrPermission
	}
	return s.Storage.Load(ctx, name)
}

func (s *staleStorage) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	if s.names != nil {
		return slices.Clone(s.names), nil
	}
	return s.Storage.List(ctx, prefix, recursive)
}

// overlap is two replicas, the second of which may read what is out of date.
type overlap struct {
	t           *testing.T
	right, late *Source
	stale       *staleStorage
	start       time.Time
}

func newOverlap(t *testing.T) *overlap {
	o := &overlap{t: t, right: newForgetful(t), late: newForgetful(t), start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	o.stale = &staleStorage{Storage: o.right.folder.storage}
	o.late.folder.storage = o.stale
	o.at(0)
	return o
}

func (o *overlap) needs(since time.Duration) keys.Needs {
	return keys.Needs{Now: o.start.Add(since), Lifetime: 10 * time.Minute, MaxAge: time.Minute}
}

// at is what both replicas know at an instant.
func (o *overlap) at(since time.Duration) *keyset.Schedule {
	o.t.Helper()
	records, err := keysOf(o.t, o.right, o.needs(since))
	require.NoError(o.t, err)
	same, err := keysOf(o.t, o.late, o.needs(since))
	require.NoError(o.t, err)
	require.ElementsMatch(o.t, kids(records), kids(same))
	return keyset.NewSchedule(records)
}

// freeze lets the second replica see what is there now, and nothing that comes later; thaw ends that.
func (o *overlap) freeze() {
	o.t.Helper()
	names, err := o.right.folder.storage.List(o.t.Context(), o.right.folder.path(), false)
	require.NoError(o.t, err)
	o.stale.names = names
}

func (o *overlap) thaw() { o.stale.names = nil }

// node is what a node trusts after some time, which fetches the JWKS when it meets a kid that it
// does not know.
func (o *overlap) node(from, until time.Duration) (trusted []string) {
	o.t.Helper()
	for since := from; since < until; since += 5 * time.Second {
		s, now := o.at(since), o.needs(since).Now
		if !slices.Contains(trusted, s.Signing(now).ID) {
			trusted = shown(s.Published(now))
		}
	}
	return trusted
}

func (o *overlap) revoke(on *Source, kid string, since time.Duration) keys.Rotation {
	o.t.Helper()
	rotation, err := on.Revoke(o.t.Context(), kid, false, o.needs(since))
	require.NoError(o.t, err)
	return rotation
}

// TestRevocationsThatDoNotSeeEachOther make two fresh keys for one turn: nodes forget what either of
// them replaces.
func TestRevocationsThatDoNotSeeEachOther(t *testing.T) {
	t.Run("the key that signs and its successor", func(t *testing.T) {
		for range 5 { // which of the keys has the lower kid is chance
			o := newOverlap(t)
			s := o.at(time.Hour)
			signing := s.Signing(o.needs(time.Hour).Now)
			next := s.Successor(signing, o.needs(time.Hour).Now)
			o.freeze()
			o.revoke(o.right, signing.ID, time.Hour)
			o.revoke(o.late, next.ID, time.Hour+2*time.Second)
			o.thaw()
			trusted := o.node(time.Hour+3*time.Second, 2*time.Hour)
			require.NotContains(t, trusted, signing.ID)
			require.NotContains(t, trusted, next.ID)
		}
	})
	t.Run("the key that signs and the one before", func(t *testing.T) {
		o := newOverlap(t)
		before := o.at(time.Hour).Signing(o.needs(time.Hour).Now)
		_, err := o.right.Rotate(t.Context(), o.needs(time.Hour))
		require.NoError(t, err)
		since := time.Hour + 20*time.Second
		signing := o.at(since).Signing(o.needs(since).Now)
		require.NotEqual(t, before.ID, signing.ID)
		o.freeze()
		o.revoke(o.right, before.ID, since)
		second := o.revoke(o.late, signing.ID, since+10*time.Second)
		o.thaw()
		trusted := o.node(since, 2*time.Hour)
		require.NotContains(t, trusted, before.ID)
		require.NotContains(t, trusted, signing.ID)
		require.Equal(t, second.Fresh, o.at(2*time.Hour).Signing(o.needs(2*time.Hour).Now).ID, "as was promised")
	})
}

// TestGivingUpAllKeysHoldsForAFreshOneThatWasNotSeen: it takes the same turn.
func TestGivingUpAllKeysHoldsForAFreshOneThatWasNotSeen(t *testing.T) {
	o := newOverlap(t)
	o.freeze()
	o.revoke(o.right, o.at(time.Hour).Signing(o.needs(time.Hour).Now).ID, time.Hour)
	stolen := kids(o.right.folder.records())
	all, err := o.late.RevokeAll(t.Context(), o.needs(time.Hour+15*time.Second))
	require.NoError(t, err)
	o.thaw()
	for _, later := range []time.Duration{time.Minute, 5 * time.Minute, time.Hour} {
		s, now := o.at(time.Hour+later), o.needs(time.Hour+later).Now
		require.Equal(t, all.Fresh, s.Signing(now).ID)
		for _, kid := range shown(s.Published(now)) {
			require.NotContains(t, stolen, kid)
		}
	}
}

// TestGivingUpAllKeysHoldsForSeveralThatWereNotSeen: their turns are higher than the last that is
// known.
func TestGivingUpAllKeysHoldsForSeveralThatWereNotSeen(t *testing.T) {
	o := newOverlap(t)
	signing := o.at(time.Hour).Signing(o.needs(time.Hour).Now)
	next := o.at(time.Hour).Successor(signing, o.needs(time.Hour).Now)
	o.freeze()
	o.revoke(o.right, signing.ID, time.Hour)
	o.revoke(o.right, next.ID, time.Hour+5*time.Second)
	stolen := kids(o.right.folder.records())
	_, err := o.late.RevokeAll(t.Context(), o.needs(time.Hour+20*time.Second))
	require.NoError(t, err)
	o.thaw()
	for _, later := range []time.Duration{time.Minute, 5 * time.Minute, time.Hour} {
		for _, kid := range shown(o.at(time.Hour + later).Published(o.needs(time.Hour + later).Now)) {
			require.NotContains(t, stolen, kid)
		}
	}
}

// TestTheKeyThatEntersTheJWKSLastSigns, of two that were made for one turn, whichever begins first.
func TestTheKeyThatEntersTheJWKSLastSigns(t *testing.T) {
	for _, late := range []time.Duration{60 * time.Second, 75 * time.Second} {
		o := newOverlap(t)
		before := o.at(time.Hour).Signing(o.needs(time.Hour).Now)
		_, err := o.right.Rotate(t.Context(), o.needs(time.Hour))
		require.NoError(t, err)
		since := time.Hour + 10*time.Minute
		signing := o.at(since).Signing(o.needs(since).Now)
		o.freeze()
		o.revoke(o.right, signing.ID, since)
		_, err = o.late.Revoke(t.Context(), before.ID, true, o.needs(since+late))
		require.NoError(t, err)
		o.thaw()
		trusted := o.node(since+90*time.Second, since+time.Hour)
		require.NotContains(t, trusted, signing.ID)
		require.NotContains(t, trusted, before.ID)
	}
}

// TestAnEmergencyOnAClockFarAheadIsOverByTheNext: its fresh key, which is as far away, keeps no key
// in the JWKS, and no rotation from happening.
func TestAnEmergencyOnAClockFarAheadIsOverByTheNext(t *testing.T) {
	for name, atOnce := range map[string]bool{"in time": false, "at once": true} {
		t.Run(name, func(t *testing.T) {
			o := newOverlap(t)
			signing := o.at(time.Hour).Signing(o.needs(time.Hour).Now)
			o.revoke(o.late, signing.ID, time.Hour+24*time.Hour)
			since := time.Hour + 10*time.Minute
			stolen := o.at(since).Signing(o.needs(since).Now).ID
			_, err := o.right.Revoke(t.Context(), stolen, atOnce, o.needs(since))
			require.NoError(t, err)
			since += 30 * time.Minute
			require.NotContains(t, shown(o.at(since).Published(o.needs(since).Now)), stolen)
			_, err = o.right.Rotate(t.Context(), o.needs(since))
			require.NoError(t, err)
		})
	}
}

// TestAKeyThatSignedBeforeItShouldAppearStaysPublished: its tokens are in use.
func TestAKeyThatSignedBeforeItShouldAppearStaysPublished(t *testing.T) {
	o := newOverlap(t)
	_, err := o.right.Rotate(t.Context(), o.needs(time.Hour))
	require.NoError(t, err)
	since := time.Hour + 75*time.Second
	s := o.at(since)
	signing := s.Signing(o.needs(since).Now)
	young := s.Successor(signing, o.needs(since).Now)
	o.revoke(o.right, signing.ID, since)
	_, err = o.right.Revoke(t.Context(), young.ID, true, o.needs(since+10*time.Second))
	require.NoError(t, err)
	signed := map[string]*keys.Key{}
	for since += 10 * time.Second; since < 2*time.Hour; since += time.Second {
		s, now := o.at(since), o.needs(since).Now
		signed[s.Signing(now).ID] = s.Signing(now).Key
		for kid, key := range signed {
			if s.Trusts(key, now) {
				require.Contains(t, shown(s.Published(now)), kid, "%s after the start", since)
			}
		}
	}
	require.Greater(t, len(signed), 1)
}
