package apikey_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheKeyOfADeniedClientIsInvalidated(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		a, b := s.replica(t), s.replica(t)
		var denied atomic.Bool
		alice, bob := newClient(t, "alice", "ops"), newClient(t, "bob", "ops")
		deny := func(chain []*x509.Certificate) bool { return denied.Load() && chain[0].Equal(alice.Chain[0]) }
		defer begin(t, a, deny)()
		defer begin(t, b, deny)()
		keyOfAlice, keyOfBob := get(t, a, alice, nil), get(t, a, bob, nil)
		time.Sleep(10 * time.Minute)
		require.Equal(t, []string{"alice", "bob"}, s.good())
		denied.Store(true)
		time.Sleep(3 * time.Minute)
		require.Nil(t, s.keyOf(keyOfAlice.Authorization))
		require.NotNil(t, s.keyOf(keyOfBob.Authorization))
		require.Len(t, s.objects(t), 1)
	})
}

// TestADeniedClientOfAnotherHandler: if one handler lets the client in, its key goes on.
func TestADeniedClientOfAnotherHandler(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		settings := s.settings()
		settings["roles"] = []map[string]string{{"group": "ops", "file": s.analysts}}
		a, b := s.replica(t), s.replica(t)
		c, _, err := s.provision(t, settings)
		require.NoError(t, err)
		everybody := func([]*x509.Certificate) bool { return true }
		alice := newClient(t, "alice", "ops")
		defer begin(t, a, everybody)()
		endB := begin(t, b, nil)
		defer begin(t, c, nil)()
		shared, alone := get(t, a, alice, nil), get(t, c, alice, nil)
		time.Sleep(10 * time.Minute)
		require.NotNil(t, s.keyOf(shared.Authorization))
		endB()
		time.Sleep(3 * time.Minute)
		require.Nil(t, s.keyOf(shared.Authorization))
		require.NotNil(t, s.keyOf(alone.Authorization), "that of a handler with other roles is not judged by those of this one")
	})
}

// TestAKeyInNoObjectIsInvalidated, as if Caddy was killed after it had made it and before it stored it.
func TestAKeyInNoObjectIsInvalidated(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		get(t, s.replica(t), newClient(t, "alice", "ops"), nil)
		require.NoError(t, os.Remove(s.objects(t)[0]))
		kept := get(t, s.replica(t), newClient(t, "bob", "ops"), nil)

		others := newScene(t) // another Caddy with the same user, and a storage of its own
		others.node = s.node
		theirs := get(t, others.replica(t), newClient(t, "carol", "ops"), nil)

		defer begin(t, s.replica(t), nil)()
		time.Sleep(2*time.Minute + 30*time.Second)
		require.Equal(t, []string{"alice", "bob", "carol"}, s.good(), "it could be one that is being stored")
		time.Sleep(5 * time.Minute)
		require.Equal(t, []string{"bob", "carol"}, s.good())
		require.NotNil(t, s.keyOf(kept.Authorization))
		require.NotNil(t, s.keyOf(theirs.Authorization))
	})
}

func TestAnObjectWithoutItsKeyIsDeleted(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		a := s.replica(t)
		defer begin(t, a, nil)()
		made := get(t, a, newClient(t, "alice", "ops"), nil)
		get(t, a, newClient(t, "bob", "ops"), nil)
		s.set(func() { s.keys[made.ID].Invalidated = true })
		time.Sleep(7 * time.Minute)
		require.Len(t, s.objects(t), 1)
		time.Sleep(5 * time.Hour)
		require.Empty(t, s.objects(t), "nor is one kept whose key has ended")
		require.Empty(t, s.good())
	})
}

// TestASweepThatFailsDeletesNothing.
func TestASweepThatFailsDeletesNothing(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		a := s.replica(t)
		defer begin(t, a, nil)()
		get(t, a, newClient(t, "alice", "ops"), nil)
		s.set(func() { s.down = true })
		time.Sleep(time.Hour)
		require.Len(t, s.objects(t), 1)
		s.set(func() { s.down = false })
		time.Sleep(time.Hour)
		require.Len(t, s.objects(t), 1)
		require.Equal(t, []string{"alice"}, s.good())
		require.Zero(t, s.total(invalidates))
	})
}

// TestAKeyThatCouldNotBeStoredStays, and is stored later, if another handler sweeps, and after a reload.
func TestAKeyThatCouldNotBeStoredStays(t *testing.T) {
	for name, reload := range map[string]bool{"another handler": false, "a reload": true} {
		t.Run(name, func(t *testing.T) {
			inScene(t, func(t *testing.T, s *scene) {
				sweeps, makes := s.replica(t), s.replica(t)
				get(t, sweeps, newClient(t, "bob", "ops"), nil)
				alice := newClient(t, "alice", "ops")
				plan, err := makes.Plan(alice)
				require.NoError(t, err)
				sum := sha256.Sum256([]byte(plan.ID()))
				object := filepath.Join(filepath.Dir(s.objects(t)[0]), hex.EncodeToString(sum[:])+".key.json")
				require.NoError(t, os.Mkdir(object, 0o700)) // where no file can be made
				if !reload {
					defer begin(t, sweeps, nil)()
				}
				end := begin(t, makes, nil)
				made := get(t, makes, alice, nil)
				if reload {
					defer begin(t, sweeps, nil)()
					end()
				} else {
					defer end()
				}
				require.NoError(t, os.Remove(object))
				time.Sleep(10 * time.Minute)
				require.NotNil(t, s.keyOf(made.Authorization))
				require.Len(t, s.objects(t), 2)
			})
		})
	}
}
