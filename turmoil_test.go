package esjwt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// turmoil is a cluster in which everything goes wrong that can: replicas crash between any two
// calls to the storage, restart and are reconfigured; their locks break; the storage fails, hangs,
// is full, and shows what it had some time ago; their clocks differ by up to a minute, and jump.
type turmoil struct {
	t       *testing.T
	rng     *rand.Rand
	shared  *memory
	members []*member

	mu   sync.Mutex
	born map[string]time.Time // when an object was stored

	tokens map[string]time.Time // by kid, until when the last token lives
	start  time.Time
	crash  map[string]int  // how often replicas crashed, by the call that they made
	doom   map[string]bool // the calls in which the next one crashes that has the lock
	struck int             // the turn that the last disaster struck
}

// What the cluster can bear. A key is published for an hour before it signs here, so that a
// replica may be cut off for less than that; a rotation that is late is published for two polls,
// max_age and the clocks' difference, so that what a replica reads may be that much out of date.
const (
	turmoilRotation = time.Hour
	worstOutage     = 10 * time.Minute
	worstStaleness  = 25 * time.Second
	worstClock      = 30 * time.Second // of each, so that no two differ by more than a minute
	lockExpires     = 15 * time.Second // of a process that is dead
)

// member is one replica, until it is replaced by the next.
type member struct {
	*replica
	storage *unreliable
	offset  *atomic.Int64 // of its clock
	trusted bool          // its clock is one that a cluster can bear
	busy    time.Time     // until when something is wrong with it
	since   time.Time
}

func newTurmoil(t *testing.T, seed uint64) *turmoil {
	return &turmoil{
		t:      t,
		rng:    rand.New(rand.NewPCG(seed, 0)),
		shared: newMemory(),
		born:   make(map[string]time.Time),
		tokens: make(map[string]time.Time),
		start:  time.Now(),
		crash:  make(map[string]int),
		doom:   make(map[string]bool),
	}
}

func (c *turmoil) between(low, high time.Duration) time.Duration {
	return low + time.Duration(c.rng.Int64N(int64(high-low+1)))
}

// join starts a replica, of the old configuration or of the new one.
func (c *turmoil) join(algorithm string) *member {
	m := &member{
		storage: &unreliable{view: c.shared.view(c.t), cluster: c},
		offset:  new(atomic.Int64),
		trusted: true,
		since:   time.Now(),
	}
	m.storage.left.Store(1 << 40)
	m.storage.afterLock.Store(-1)
	m.storage.late = c.rng.IntN(2) == 0
	views.Store(m.storage.Name, m.storage)
	m.offset.Store(int64(c.between(-worstClock, worstClock)))
	m.replica = newReplica(c.t, replicaConfig{storage: m.storage.config(), keys: map[string]string{"default": fmt.Sprintf(
		`{"source":"storage","algorithm":%q,"rotate_every":"1h","retire_after":"10m"}`, algorithm)}})
	m.app.(*esjwt.App).SetClock(m.clock)
	m.start()
	return m
}

func (m *member) clock() time.Time { return time.Now().Add(time.Duration(m.offset.Load())) }

func (m *member) set() esjwt.ClockedSet { return m.app.(*esjwt.App).DefaultSet() }

// serves reports whether the replica answers requests: it runs, and has keys.
func (m *member) serves() bool {
	return !m.storage.dead.Load() && m.set().Ready(m.clock())
}

// trouble lets something go wrong with a replica, for a while.
func (c *turmoil) trouble(i int, algorithm string) {
	m := c.members[i]
	if time.Now().Before(m.busy.Add(5 * time.Minute)) {
		return
	}
	wrong := func(change, restore func(*view)) {
		d := c.between(time.Second, worstOutage)
		m.busy = time.Now().Add(d)
		m.storage.set(change)
		time.AfterFunc(d, func() { m.storage.set(restore) })
	}
	switch c.rng.IntN(9) {
	case 0: // it is stopped, and starts again
		go m.stop()
		c.members[i] = c.join(algorithm)
	case 1: // it crashes soon
		m.storage.left.Store(c.rng.Int64N(4))
	case 2: // it crashes when it makes a key
		m.storage.afterLock.Store(c.rng.Int64N(6))
	case 3:
		wrong(func(v *view) { v.failure = errors.New("connection refused") }, func(v *view) { v.failure = nil })
	case 4:
		wrong(func(v *view) { v.full = errors.New("no space left on device") }, func(v *view) { v.full = nil })
	case 5:
		hang := make(chan struct{})
		wrong(func(v *view) { v.hang = hang }, func(v *view) { v.hang = nil; close(hang) })
	case 6:
		wrong(func(v *view) { v.brokenLock = true }, func(v *view) { v.brokenLock = false })
	case 7:
		m.storage.staleness.Store(int64(c.between(0, worstStaleness)))
	case 8:
		m.offset.Store(int64(c.between(-worstClock, worstClock)))
	}
}

// check checks what must hold at every instant.
func (c *turmoil) check() {
	now := time.Now()
	var serving []*member
	published := make(map[*member][]string)
	for _, m := range c.members {
		if m.serves() && m.trusted {
			serving = append(serving, m)
			published[m] = m.set().Published(m.clock())
		}
	}
	client := fmt.Sprint("client of ", now)
	for _, m := range serving {
		kid, expires := m.set().Signs(client, m.clock())
		if until := expires.Add(-time.Duration(m.offset.Load())); until.After(c.tokens[kid]) {
			c.tokens[kid] = until
		}
		if c.isNew() {
			continue
		}
		for _, other := range serving {
			require.Contains(c.t, published[other], kid,
				"a replica signs with a key that another does not publish, %s after the start", now.Sub(c.start))
		}
	}
	for kid, until := range c.tokens {
		if !until.After(now) {
			delete(c.tokens, kid)
			continue
		}
		for _, m := range serving {
			if !c.isNew() {
				require.Contains(c.t, published[m], kid, "a token's key has left the JWKS, %s after the start", now.Sub(c.start))
			}
		}
	}
}

// isNew reports whether the set is so young that no replica can rely on the others to know its
// keys. Those that start together sign with keys of their own, until they have polled.
func (c *turmoil) isNew() bool { return time.Since(c.start) < lead }

// heal ends all that is wrong.
func (c *turmoil) heal() {
	time.Sleep(worstOutage)
	for i, m := range c.members {
		m.storage.staleness.Store(0)
		m.storage.left.Store(1 << 40)
		m.storage.afterLock.Store(-1)
		if m.storage.dead.Load() {
			go m.stop()
			c.members[i] = c.join("ES384")
		}
	}
	time.Sleep(2 * time.Minute)
}

// agree checks that all replicas, which nothing troubles now, are alike: as of now, and in what
// they say about the past and the future.
func (c *turmoil) agree() {
	now := time.Now()
	document, err := c.members[0].set().Document(now)
	require.NoError(c.t, err)
	token, err := c.members[0].set().Token("alice", now)
	require.NoError(c.t, err)
	for _, m := range c.members {
		same, err := m.set().Document(now)
		require.NoError(c.t, err)
		require.Equal(c.t, document, same)
		sameToken, err := m.set().Token("alice", now)
		require.NoError(c.t, err)
		require.Equal(c.t, token, sameToken)
		for t := c.start; t.Before(now.Add(2 * turmoilRotation)); t = t.Add(17 * time.Minute) {
			kid, _ := c.members[0].set().Signs("alice", t)
			same, _ := m.set().Signs("alice", t)
			require.Equal(c.t, kid, same, "%s after the start", t.Sub(c.start))
			require.Equal(c.t, c.members[0].set().Published(t), m.set().Published(t))
		}
	}
}

func TestReplicasInTurmoil(t *testing.T) {
	for _, c := range []struct {
		members int
		seed    uint64
		turns   int
	}{{100, 1, 4}, {8, 2, 9}, {3, 3, 9}} {
		t.Run(fmt.Sprint(c.members, " replicas"), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) { newTurmoil(t, c.seed).run(c.members, c.turns) })
		})
	}
}

func (c *turmoil) run(members, turns int) {
	d := time.Duration(turns) * turmoilRotation
	for range members {
		m := c.join("ES256")
		m.storage.set(func(v *view) { v.brokenLock = c.rng.IntN(20) == 0 })
		c.members = append(c.members, m)
	}
	c.t.Cleanup(func() {
		var stopped sync.WaitGroup
		for _, m := range c.members {
			stopped.Go(m.stop)
		}
		stopped.Wait()
	})
	for time.Since(c.start) < d {
		time.Sleep(c.between(10*time.Second, 50*time.Second))
		// A new algorithm reaches one replica after the other.
		algorithm := "ES256"
		if c.between(0, d) < time.Since(c.start) {
			algorithm = "ES384"
		}
		c.replaceTheDead(algorithm)
		for range 1 + members/20 {
			c.trouble(c.rng.IntN(members), algorithm)
		}
		c.check()
		c.disaster()
	}
	c.heal()
	c.check()
	c.agree()
	c.members = append(c.members, c.join("ES384"))
	synctest.Wait()
	c.agree()
	for _, call := range lockedCalls {
		require.NotZero(c.t, c.crash[call], "nobody crashed in a %s: %v", call, c.crash)
	}
}

func (c *turmoil) replaceTheDead(algorithm string) {
	for i, m := range c.members {
		if m.storage.dead.Load() && c.rng.IntN(2) == 0 {
			go m.stop()
			c.members[i] = c.join(algorithm)
		}
	}
}

// lockedCalls are the calls that a replica makes while it has the lock.
var lockedCalls = []string{"List", "Store", "Unlock"}

// disaster strikes all replicas at once, around each instant at which a key begins to sign and
// the next one is made.
func (c *turmoil) disaster() {
	turn := int(time.Since(c.start)/turmoilRotation) + 1
	untilTurn := time.Until(c.start.Add(time.Duration(turn) * turmoilRotation))
	if turn == c.struck || untilTurn > 90*time.Second {
		return
	}
	c.struck = turn
	d := c.between(untilTurn, worstOutage)
	all := func(change, restore func(*view)) {
		for _, m := range c.members {
			m.busy = time.Now().Add(d)
			m.storage.set(change)
			time.AfterFunc(d, func() { m.storage.set(restore) })
		}
	}
	switch turn % 4 {
	case 0:
		all(func(v *view) { v.failure = errors.New("connection refused") }, func(v *view) { v.failure = nil })
	case 1:
		all(func(v *view) { v.brokenLock = c.oneOf(5) }, func(v *view) { v.brokenLock = false })
	case 2:
		all(func(v *view) { v.full = errors.New("no space left on device") }, func(v *view) { v.full = nil })
	case 3: // a clock is off by far more than can be borne; nobody can rely on that one
		m := c.members[c.rng.IntN(len(c.members))]
		m.trusted = len(c.members) < 4
		if !m.trusted {
			m.offset.Add(int64(c.between(-3*time.Hour, 3*time.Hour)))
		}
	}
	for _, m := range c.members { // and some of those that make the next key crash
		if c.oneOf(3) {
			m.storage.afterLock.Store(c.rng.Int64N(5))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doom[lockedCalls[turn%len(lockedCalls)]] = true
}

func (c *turmoil) oneOf(n int) bool { return c.rng.IntN(n) == 0 }

// unreliable is how a replica of a turmoil sees the storage: its process can die between any two
// calls. What is stored must never be changed or taken away.
type unreliable struct {
	*view
	cluster *turmoil

	left      atomic.Int64 // how many calls it makes before it dies
	afterLock atomic.Int64 // the same, from when it has the lock on; negative: it does not matter
	late      bool         // the last call has its effect
	dead      atomic.Bool
	holds     atomic.Bool  // the lock
	staleness atomic.Int64 // how old what it sees can be
}

// call counts a call. It returns whether it has an effect, and how it ends.
func (u *unreliable) call(name string) (effect bool, err error) {
	u.cluster.mu.Lock()
	defer u.cluster.mu.Unlock()
	if u.dead.Load() {
		return false, errDead
	}
	if u.holds.Load() && u.cluster.doom[name] {
		delete(u.cluster.doom, name)
		u.left.Store(0)
	}
	if u.left.Add(-1) >= 0 {
		return true, nil
	}
	u.dead.Store(true)
	u.cluster.crash[name]++
	if u.holds.Load() {
		time.AfterFunc(lockExpires, u.release)
	}
	return u.late, errDead
}

func (u *unreliable) release() {
	u.memory.mu.Lock()
	defer u.memory.mu.Unlock()
	clear(u.memory.locks)
}

func (u *unreliable) Lock(ctx context.Context, name string) error {
	if _, err := u.call("Lock"); err != nil {
		return err
	}
	for {
		if err := u.trouble(ctx, true); err != nil {
			return err
		}
		u.view.mu.Lock()
		broken := u.brokenLock
		u.view.mu.Unlock()
		if taken, err := u.take(name, broken); taken || err != nil {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take takes the lock if it is free, or goes on without it if it is broken. A process that has died
// while it waited takes none: nobody would ever give it back.
func (u *unreliable) take(name string, broken bool) (taken bool, err error) {
	u.cluster.mu.Lock() // nobody dies meanwhile
	defer u.cluster.mu.Unlock()
	u.memory.mu.Lock()
	defer u.memory.mu.Unlock()
	free := !u.memory.locks[name]
	switch {
	case u.dead.Load():
		return false, errDead
	case !free && !broken:
		return false, nil
	}
	u.memory.locks[name] = true
	u.holds.Store(free)
	if n := u.afterLock.Swap(-1); n >= 0 {
		u.left.Store(n)
	}
	return true, nil
}

func (u *unreliable) Unlock(ctx context.Context, name string) error {
	effect, err := u.call("Unlock")
	if effect && u.holds.Swap(false) {
		_ = u.view.Unlock(ctx, name)
	}
	return err
}

func (u *unreliable) Store(ctx context.Context, key string, value []byte) error {
	effect, err := u.call("Store")
	if !effect {
		return err
	}
	u.cluster.mu.Lock()
	_, exists := u.cluster.born[key]
	u.cluster.mu.Unlock()
	if exists {
		u.cluster.t.Errorf("%s is overwritten", key)
	}
	if failure := u.view.Store(ctx, key, value); failure != nil {
		return failure
	}
	u.cluster.mu.Lock()
	u.cluster.born[key] = time.Now()
	u.cluster.mu.Unlock()
	return err
}

func (u *unreliable) Delete(_ context.Context, key string) error {
	u.cluster.t.Errorf("%s is deleted", key)
	return nil
}

func (u *unreliable) Load(ctx context.Context, key string) ([]byte, error) {
	if _, err := u.call("Load"); err != nil {
		return nil, err
	}
	return u.view.Load(ctx, key)
}

func (u *unreliable) Exists(ctx context.Context, key string) bool {
	_, err := u.Load(ctx, key)
	return err == nil
}

// List lists what was there some time ago.
func (u *unreliable) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	if _, err := u.call("List"); err != nil {
		return nil, err
	}
	names, err := u.view.List(ctx, prefix, recursive)
	then := time.Now().Add(-time.Duration(u.staleness.Load()))
	u.cluster.mu.Lock()
	defer u.cluster.mu.Unlock()
	return slices.DeleteFunc(names, func(name string) bool {
		return strings.HasSuffix(name, ".json") && u.cluster.born[name].After(then)
	}), err
}

// TestAReplicaThatStartsWhileTheLockIsTakenShowsTheKeysThatThereAre: one has crashed with the lock, just
// when the next key was due. A replica that starts then cannot make that key yet, and the others are
// good until it can.
func TestAReplicaThatStartsWhileTheLockIsTakenShowsTheKeysThatThereAre(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		settings := storageKeys(`,"rotate_every":"1h"`)
		first := newReplica(t, replicaConfig{storage: shared.view(t).config(), keys: settings})
		first.start()
		synctest.Wait()
		keys := first.kids()
		require.NotEmpty(t, keys)
		first.stop()
		time.Sleep(70 * time.Minute)

		shared.locks["elasticsearch_jwt_default"] = true
		next := startReplica(t, replicaConfig{storage: shared.view(t).config(), keys: settings})
		synctest.Wait()
		started := time.Now()
		require.Equal(t, keys, next.kids())
		require.Contains(t, keys, next.signs())
		require.Equal(t, started, time.Now(), "it does not wait for the lock")

		shared.mu.Lock()
		delete(shared.locks, "elasticsearch_jwt_default")
		shared.mu.Unlock()
		time.Sleep(time.Minute)
		require.Len(t, next.kids(), len(keys)+1)
	})
}

// TestAKeyFromTheFutureIsRevokedByAPerson: a clock that ran far ahead made a key whose turn comes
// late, and the set waits for it until somebody revokes that key.
func TestAKeyFromTheFutureIsRevokedByAPerson(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		settings := storageKeys(`,"rotate_every":"2h"`)
		right := startOperated(t, replicaConfig{storage: shared.view(t).config(), keys: settings})
		synctest.Wait()
		time.Sleep(time.Hour)

		ahead := newReplica(t, replicaConfig{storage: shared.view(t).config(), keys: settings})
		ahead.app.(*esjwt.App).SetClock(func() time.Time { return time.Now().AddDate(0, 0, 20) })
		ahead.start()
		time.Sleep(time.Minute)
		ahead.stop()
		settle()
		require.Greater(t, len(right.kids()), 2, "whatever was read is published")
		for range 10 {
			time.Sleep(time.Hour)
			right.signs()
		}
		require.NotEmpty(t, right.next())
		status := right.status()
		require.Greater(t, time.Until(status.NextRotation), 24*time.Hour)

		for _, key := range status.Keys {
			if time.Until(key.Created) > 0 {
				right.revoke(key.ID)
			}
		}
		time.Sleep(10 * time.Minute)
		require.LessOrEqual(t, time.Until(right.status().NextRotation), 2*time.Hour)
		last := right.signs()
		time.Sleep(2*time.Hour + 10*time.Minute)
		require.NotEqual(t, last, right.signs(), "it rotates again")
	})
}
