package keyset

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// A simulated cluster: replicas whose clocks differ, that see what is stored late and not
// always, and whose locks break; a storage that is out of reach now and then; clients that get
// a token from any of them, and caches of the JWKS that keep it for as long as they may.
type cluster struct {
	t        *testing.T
	rng      *rand.Rand
	now      time.Time // the true time
	stored   []storedRecord
	replicas []*simulatedReplica
	tokens   []simulatedToken
	made     int
	outage   time.Time // until when the storage is out of reach

	every, maxAge, lifetime, grace time.Duration
	brokenLocks                    bool
}

type storedRecord struct {
	keys.Timed
	since time.Time
}

type simulatedReplica struct {
	state   *State
	skew    time.Duration
	learned map[string]time.Time
}

type simulatedToken struct {
	key     *keys.Key
	expires time.Time
}

const (
	maxSkew = timing.ClockSkew / 2 // of any clock, so that no two differ by more than clockSkew
	// maxUnseen is for how long a stored record can be unknown to a replica: until it polls, and
	// for as long as the storage is stale.
	maxUnseen = 2*timing.PollInterval - 3*time.Second
)

func newCluster(t *testing.T, seed uint64) *cluster {
	rng := rand.New(rand.NewPCG(seed, 0))
	between := func(low, high time.Duration) time.Duration { return low + time.Duration(rng.Int64N(int64(high-low+1))) }
	c := &cluster{
		t: t, rng: rng, now: epoch,
		every:       between(timing.MinRotateEvery, timing.DefaultRotateEvery),
		maxAge:      between(time.Second, timing.MaxMaxAge),
		lifetime:    between(timing.MinLifetime, timing.MaxLifetime).Truncate(2 * time.Second),
		brokenLocks: rng.IntN(2) == 0,
	}
	if rng.IntN(2) == 0 { // as it is mostly configured
		c.maxAge, c.lifetime = timing.DefaultMaxAge, timing.DefaultLifetime
	}
	c.grace = c.lifetime + between(0, time.Hour)
	for range 3 {
		c.replicas = append(c.replicas, &simulatedReplica{
			state:   &State{answered: make(chan struct{})},
			skew:    between(-maxSkew, maxSkew),
			learned: make(map[string]time.Time),
		})
	}
	return c
}

func (c *cluster) up() bool { return !c.now.Before(c.outage) }

// clock is the time by a replica's clock.
func (c *cluster) clock(r *simulatedReplica) time.Time { return c.now.Add(r.skew) }

// poll lets a replica read what is stored, or some of it, and make the key that is missing.
func (c *cluster) poll(r *simulatedReplica) {
	if !c.up() {
		return
	}
	see := func(all bool) {
		var records []keys.Timed
		for _, s := range c.stored {
			if unseen := c.now.Sub(s.since); all || unseen >= maxUnseen || c.rng.IntN(2) == 0 {
				records = append(records, s.Timed)
				if _, known := r.learned[s.ID]; !known {
					r.learned[s.ID] = c.now
				}
			}
		}
		if len(records) > 0 {
			r.state.Update(keys.Answer{Timed: records}, c.clock(r))
		}
	}
	see(!c.brokenLocks)
	for {
		current := r.state.Current()
		if current == nil {
			current = NewSchedule(nil)
		}
		plan, missing := current.Missing(c.clock(r), c.every, timing.LeadTime(c.maxAge))
		if !missing {
			return
		}
		c.made++
		record := keys.Timed{
			Key:       fakeKey(fmt.Sprintf("%x-%d", c.rng.Uint32(), c.made)),
			Turn:      plan.Turn,
			Created:   c.clock(r).Truncate(time.Second),
			SignsFrom: plan.SignsFrom.Truncate(time.Second),
			Grace:     c.grace,
		}
		c.stored = append(c.stored, storedRecord{record, c.now})
		r.learned[record.ID] = c.now
		r.state.Update(keys.Answer{Timed: []keys.Timed{record}}, c.clock(r))
	}
}

// forget drops what retired long ago, as the storage does.
func (c *cluster) forget() {
	if len(c.stored) < 20 {
		return
	}
	slices.SortFunc(c.stored, func(a, b storedRecord) int { return cmp.Compare(a.Turn, b.Turn) })
	current := c.replicas[0].state.Current()
	c.stored = slices.DeleteFunc(c.stored, func(s storedRecord) bool {
		retires := current.Retires(&s.Timed)
		return !retires.IsZero() && retires.Add(time.Hour).Before(c.now)
	})
}

// check checks every invariant that holds at this instant.
func (c *cluster) check() {
	t := c.t
	c.tokens = slices.DeleteFunc(c.tokens, func(token simulatedToken) bool { return !token.expires.After(c.now) })
	for _, r := range c.replicas {
		s, clock := r.state.Current(), c.clock(r)

		require.NotNil(t, s.Signing(clock), "one key signs")
		require.NotNil(t, s.Signing(clock.Add(-c.lifetime)), "and one did when the window began")
		if c.up() {
			require.NotNil(t, s.Successor(s.Signing(clock), clock), "it has a successor")
		}
		for _, id := range idsOf(s.Published(clock)) {
			require.Contains(t, r.learned, id)
		}

		published := idsOf(s.Published(clock))
		for _, token := range c.tokens {
			if _, known := r.learned[token.key.ID]; known || !c.isNew() {
				require.Contains(t, published, token.key.ID, "a token's key is not published, or was retired before it expired")
			}
		}

		// Published keys change when nextChange says so, and not before.
		next := s.NextJWKSChange(clock)
		until := clock.Add(time.Duration(c.rng.Int64N(int64(3 * c.every))))
		if next.IsZero() || until.Before(next) {
			require.Equal(t, published, idsOf(s.Published(until)))
		} else {
			require.Equal(t, published, idsOf(s.Published(next.Add(-1))))
			require.NotEqual(t, published, idsOf(s.Published(next)))
		}
	}
}

// isNew reports whether the set is so young that no cache can know its keys. Replicas that start
// together, with locks that are broken, sign with keys of their own until they have polled.
func (c *cluster) isNew() bool {
	return c.now.Before(epoch.Add(maxUnseen + timing.LeadTime(c.maxAge)))
}

// sign gives a client of some replica a token, and checks that every cache can know its key.
func (c *cluster) sign() {
	for _, r := range c.replicas {
		clock := c.clock(r)
		claims := token.Claims{Members: fmt.Appendf(nil, "client %d", c.rng.Int())}
		w := token.WindowAt(clock.Unix(), c.lifetime, claims, 1<<62)
		record := r.state.Current().SigningFor(time.Unix(w.Start, 0), clock)
		require.NotNil(c.t, record)
		c.tokens = append(c.tokens, simulatedToken{record.Key, time.Unix(w.Expires, 0).Add(-r.skew)})
		if c.isNew() {
			continue
		}
		for _, other := range c.replicas {
			learned, known := other.learned[record.ID]
			require.True(c.t, known, "a key signs that some replica does not publish")
			require.GreaterOrEqual(c.t, c.now.Sub(learned), c.maxAge, "a key signs that some cache cannot know")
		}
	}
}

// step lets some time pass: mostly little around the instants at which something happens, and
// sometimes much, but never past an instant at which a replica that polls all the time would do
// something.
func (c *cluster) step() {
	around := func(t time.Time) time.Time {
		return t.Add(time.Duration(c.rng.Int64N(int64(4*time.Minute))) - 2*time.Minute)
	}
	to := c.now.Add(time.Duration(c.rng.Int64N(int64(time.Minute))))
	deeds, unseen := c.deeds()
	some := c.stored[c.rng.IntN(len(c.stored))]
	switch c.rng.IntN(6) {
	case 0:
		to = c.now.Add(time.Duration(c.rng.Int64N(int64(c.every))))
	case 1:
		to = around(some.SignsFrom)
	case 2:
		to = around(some.SignsFrom.Add(some.Grace))
	case 3:
		// An outage that begins in the minute after a key was made, and lasts until it signs, is
		// more than the replicas can agree through.
		if c.rng.IntN(10) == 0 && !unseen {
			c.outage = c.now.Add(time.Duration(c.rng.Int64N(int64(2 * c.every))))
		}
	}
	if to.Before(c.now) {
		to = c.now.Add(time.Second)
	}
	if next := timing.EarliestAfter(c.now, deeds...); !next.IsZero() && next.Before(to) {
		to = next
	}
	c.now = to
}

// deeds are the instants at which a replica that polls all the time has something to do: make
// the next key, since a turn begins or the storage is back, or take up what another has stored.
func (c *cluster) deeds() (deeds []time.Time, unseen bool) {
	deeds = append(deeds, c.outage)
	for _, r := range c.replicas {
		for _, record := range r.state.Current().Records {
			deeds = append(deeds, record.Begins().Add(-r.skew))
		}
		for _, s := range c.stored {
			if _, known := r.learned[s.ID]; !known {
				deeds, unseen = append(deeds, s.since.Add(maxUnseen)), true
			}
		}
	}
	return deeds, unseen
}

// TestAYearOfRotations: at any instant of any history exactly one key signs and has a
// successor, no key signs that some cache cannot know, and none is retired before its tokens.
func TestAYearOfRotations(t *testing.T) {
	const histories, steps = 20, 2500
	for seed := range uint64(histories) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			c := newCluster(t, seed)
			for _, r := range c.replicas {
				c.poll(r)
			}
			for i := 0; i < steps && c.now.Before(epoch.AddDate(1, 0, 0)); i++ {
				for _, r := range c.rng.Perm(len(c.replicas)) {
					c.poll(c.replicas[r])
				}
				c.check()
				c.sign()
				c.forget()
				c.step()
			}
		})
	}
}
