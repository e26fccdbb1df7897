package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// TestNoOrderOfEmergenciesLeavesARevokedKeyTrusted: whatever is rotated and revoked, how and when, on
// whichever of two replicas, be it that one does not see yet what the other has just done, a node
// that fetches the JWKS only when it meets a kid that it does not know has forgotten every revoked
// key once the last fresh key signs.
func TestNoOrderOfEmergenciesLeavesARevokedKeyTrusted(t *testing.T) {
	for seed := range uint64(500) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			e := newEmergencies(t, seed)
			e.pass(time.Duration(e.random.IntN(3)) * time.Hour)
			for range 1 + e.random.IntN(3) {
				e.strike()
				e.pass(time.Duration(e.random.IntN([...]int{10, 400, 400}[e.random.IntN(3)])) * time.Second)
			}
			e.pass(20 * time.Minute)
			for _, kid := range e.node {
				require.NotContains(t, e.revoked, kid, "a node still trusts it after %v", e.deeds)
			}
		})
	}
}

// TestNoOrderOfEmergenciesLeavesARevokedKeyTrustedAfterALoss: a replica starts again, meanwhile or
// after them, and finds that one of the stored objects is gone, or damaged, or not readable.
func TestNoOrderOfEmergenciesLeavesARevokedKeyTrustedAfterALoss(t *testing.T) {
	for seed := range uint64(500) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			e := newEmergencies(t, seed)
			e.pass(time.Duration(e.random.IntN(3)) * time.Hour)
			strikes := 1 + e.random.IntN(3)
			loss := e.random.IntN(strikes)
			for i := range strikes {
				e.strike()
				e.pass(time.Duration(e.random.IntN([...]int{10, 400, 400}[e.random.IntN(3)])) * time.Second)
				if i == loss {
					e.lose()
				}
			}
			e.pass(20 * time.Minute)
			for _, kid := range e.node {
				require.NotContains(t, e.revoked, kid, "a node still trusts it after %v", e.deeds)
			}
		})
	}
}

// TestGivingUpAllKeysHoldsForThoseThatAreReadLater, because somebody hid them, or restores a backup.
func TestGivingUpAllKeysHoldsForThoseThatAreReadLater(t *testing.T) {
	before, after := newForgetful(t), newForgetful(t)
	after.folder.storage = before.folder.storage
	needs := keys.Needs{Now: time.Now(), Lifetime: time.Hour, MaxAge: time.Minute}
	records, err := keysOf(t, before, needs)
	require.NoError(t, err)
	stolen := records[0].ID
	name := "elasticsearch_jwt/default/" + stolen + keySuffix
	object, err := before.folder.storage.Load(t.Context(), name)
	require.NoError(t, err)
	require.NoError(t, before.folder.storage.Delete(t.Context(), name))

	_, err = after.RevokeAll(t.Context(), needs)
	require.NoError(t, err)
	require.NoError(t, before.folder.storage.Store(t.Context(), name, object))
	records, err = keysOf(t, after, needs)
	require.NoError(t, err)
	all := keyset.NewSchedule(records)
	require.Contains(t, kids(all.Records), stolen)
	i := slices.IndexFunc(all.Records, func(r keys.Timed) bool { return r.ID == stolen })
	require.True(t, all.Records[i].RevokedAt(needs.Now))
	for _, r := range all.Published(needs.Now) {
		require.NotEqual(t, stolen, r.ID)
	}
}

// emergencies are two replicas on one storage, and a node behind them.
type emergencies struct {
	t        *testing.T
	random   *rand.Rand
	now      time.Time
	replicas [2]*emergencyReplica
	node     []string // the kids that it knows
	gentle   bool     // nothing was done that may cost requests
	revoked  []string
	deeds    []string
	struck   time.Time // when the last deed was done
	before   []string  // what was stored then
	signed   [2]map[string]*keys.Key
	over     [2]map[string]bool // the revoked keys
}

type emergencyReplica struct {
	source *Source
	stale  *staleStorage
	state  *keyset.State
	ahead  time.Duration // of the right time
	polled time.Time
}

func newEmergencies(t *testing.T, seed uint64) *emergencies {
	t.Helper()
	e := &emergencies{
		t:      t,
		random: rand.New(rand.NewPCG(seed, 1)),
		now:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		gentle: true,
	}
	storage := newObjects()
	for i := range e.replicas {
		stale := &staleStorage{Storage: storage}
		e.replicas[i] = &emergencyReplica{
			source: started(t, stale), stale: stale, state: keyset.NewState(),
			ahead: time.Duration(e.random.IntN(50)-25) * time.Second,
		}
		e.signed[i], e.over[i] = make(map[string]*keys.Key), make(map[string]bool)
	}
	e.step()
	return e
}

func (e *emergencies) needs(r *emergencyReplica) keys.Needs {
	return keys.Needs{Now: e.now.Add(r.ahead), Lifetime: 10 * time.Minute, MaxAge: time.Minute}
}

func (e *emergencies) poll(r *emergencyReplica) {
	needs := e.needs(r)
	if current := r.state.Current(); current != nil {
		needs.Known = current.Records
	}
	records, err := keysOf(e.t, r.source, needs)
	if r.stale.closed == "" {
		require.NoError(e.t, err)
	}
	r.state.Update(keys.Answer{Timed: records}, needs.Now)
	r.polled = e.now
}

// pass lets time pass: each replica polls, and the node gets a token of each.
func (e *emergencies) pass(d time.Duration) {
	for end := e.now.Add(d); e.now.Before(end); {
		if left := end.Sub(e.now); left > time.Hour {
			e.now = e.now.Add(10 * time.Minute)
		} else {
			e.now = e.now.Add(min(left, 5*time.Second))
		}
		e.step()
	}
}

func (e *emergencies) step() {
	for _, r := range e.replicas {
		if e.now.Sub(r.polled) >= timing.PollInterval {
			e.poll(r)
		}
	}
	for i, r := range e.replicas {
		e.look(i)
		signing := r.state.Current().Signing(e.needs(r).Now)
		if slices.Contains(e.node, signing.ID) {
			continue
		}
		from := e.replicas[e.random.IntN(2)]
		e.node = nil
		for _, k := range from.state.Current().Published(e.needs(from).Now) {
			e.node = append(e.node, k.ID)
		}
		if e.gentle {
			require.Contains(e.t, e.node, signing.ID, "a request is refused after %v", e.deeds)
		}
	}
}

// look checks what holds of each replica alone: the key that signs is published, and so is one whose
// tokens are in use; a revoked one does not sign again.
func (e *emergencies) look(i int) {
	s, now := e.replicas[i].state.Current(), e.needs(e.replicas[i]).Now
	signing := s.Signing(now)
	require.NotNil(e.t, signing)
	e.signed[i][signing.ID] = signing.Key
	published := shown(s.Published(now))
	for kid, key := range e.signed[i] {
		if kid == signing.ID || s.Trusts(key, now) {
			require.Contains(e.t, published, kid, "after %v", e.deeds)
		}
	}
	require.NotContains(e.t, e.over[i], signing.ID, "it signs again after %v", e.deeds)
	for j := range s.Records {
		if r := &s.Records[j]; r.RevokedAt(now) {
			e.over[i][r.ID] = true
		}
	}
}

// strike is something that an operator does. What was done just before can be out of sight.
func (e *emergencies) strike() {
	r := e.replicas[e.random.IntN(2)]
	names, err := r.source.folder.storage.List(e.t.Context(), r.source.folder.path(), false)
	require.NoError(e.t, err)
	if e.now.Sub(e.struck) <= 10*time.Second {
		r.stale.names = e.before
		e.deeds = append(e.deeds, "out of sight:")
		e.gentle = false
	}
	defer func() { r.stale.names = nil }()
	e.struck, e.before = e.now, names
	needs := e.needs(r)
	current := r.state.Current()
	signing := current.Signing(needs.Now)
	next := current.Successor(signing, needs.Now)
	var rotation keys.Rotation
	deed := e.random.IntN(5)
	switch {
	case deed == 0:
		e.deeds = append(e.deeds, "rotate")
		_, err = r.source.Rotate(e.t.Context(), needs)
	case deed == 1:
		e.deeds = append(e.deeds, "revoke --all")
		e.gentle = false
		rotation, err = r.source.RevokeAll(e.t.Context(), needs)
	default:
		which, kid := "signing", signing.ID
		if next != nil && e.random.IntN(2) == 0 {
			which, kid = "next", next.ID
		}
		atOnce := deed == 2
		e.deeds = append(e.deeds, fmt.Sprintf("revoke %s, now %t", which, atOnce))
		// Two revocations that overlap can leave no key that every cache knows.
		e.gentle = e.gentle && !atOnce && len(e.revoked) == 0
		rotation, err = r.source.Revoke(e.t.Context(), kid, atOnce, needs)
	}
	if err != nil {
		require.True(e.t, errors.Is(err, keys.ErrKeyState) || r.stale.closed != "", err)
		return
	}
	e.revoked = append(e.revoked, rotation.Revoked...)
	r.stale.names = nil
	e.poll(r)
}

// lose damages a stored object, and has a replica, or both, start again.
func (e *emergencies) lose() {
	storage := e.replicas[0].stale
	names, err := storage.List(e.t.Context(), e.replicas[0].source.folder.path(), false)
	require.NoError(e.t, err)
	name := names[e.random.IntN(len(names))]
	object, err := storage.Load(e.t.Context(), name)
	require.NoError(e.t, err)
	switch e.random.IntN(3) {
	case 0:
		e.deeds = append(e.deeds, "lost: "+name)
		err = storage.Delete(e.t.Context(), name)
	case 1:
		e.deeds = append(e.deeds, "truncated: "+name)
		err = storage.Store(e.t.Context(), name, object[:e.random.IntN(len(object))])
	default:
		e.deeds = append(e.deeds, "unreadable: "+name)
		for _, r := range e.replicas {
			r.stale.closed = name
		}
	}
	require.NoError(e.t, err)
	e.gentle = false // a key can be lost that signs
	first := e.random.IntN(2)
	for i, r := range e.replicas {
		if i != first && e.random.IntN(2) == 0 {
			continue
		}
		s := started(e.t, r.stale)
		r.source, r.state = s, keyset.NewState()
		e.signed[i] = make(map[string]*keys.Key)
		for range patience {
			if _, err = keysOf(e.t, s, e.needs(r)); err == nil {
				break
			}
		}
		e.poll(r)
	}
}
