package credential

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/turns"
)

const (
	// firstTurns and renewTurns are how many credentials are made at a time, for clients that have none and for those
	// that have one. A flood of the former cannot starve the latter, and a cluster is not asked more than it can bear.
	// There are more of the latter, since a kind can renew many credentials with one question. One certificate has one
	// turn at a time, since its holder can have many plans: with delegate_pki, one for each chain that it sends.
	firstTurns, renewTurns = 8, 32

	// failurePause is how long a failure counts for those who wait. With a credential in hand, each failure in a row
	// doubles the time to the next attempt, up to longestPause.
	failurePause, longestPause = time.Second, time.Minute

	// dropPause is how long a credential that replaced a refused one is kept, whatever nodes say about it.
	dropPause = 10 * time.Second
)

// Cache is the [Kind] of a [Maker]. Clients whose plans are equal share a credential, and whoever wants the same one
// at the same time waits for the same attempt to make it.
type Cache struct {
	maker   Maker
	observe func(took time.Duration, err error)

	begun chan struct{} // closed when there is a state
	state *State
}

// State is the part of a Cache that outlives a configuration: the credentials.
type State struct {
	slots *lru.Cache[digest, *slot]
	calls singleflight.Group

	first, renew *turns.Turns[[sha256.Size]byte] // by the certificate
}

// digest identifies those who share a credential.
type digest [sha256.Size]byte

// slot holds the current credential of those who share it.
type slot struct {
	digest  digest
	current atomic.Pointer[Credential]

	mu       sync.Mutex
	failure  error // of the last attempt; nil if it succeeded
	failures int   // in a row
	failed   time.Time
	dropped  time.Time
	kept     time.Time // when it was not dropped, for nobody could tell whether that would be right; zero: it was
}

// place is where a holder's last credential is, and as of which version of the maker it is the right place.
type place struct {
	slot    *slot
	version uint64
}

// placeOf returns the place that a holder's last credential came from, or nil.
func placeOf(holder *token.Holder) *place {
	p, _ := holder.Slot.Load().(*place)
	return p
}

// NewState returns a State for the credentials of at most size different clients.
func NewState(size int) *State {
	slots, err := lru.New[digest, *slot](size)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &State{
		slots: slots,
		first: turns.New[[sha256.Size]byte](make(chan struct{}, firstTurns)),
		renew: turns.New[[sha256.Size]byte](make(chan struct{}, renewTurns)),
	}
}

// Len returns how many credentials there are.
func (s *State) Len() int { return s.slots.Len() }

// Resize sets how many credentials are remembered.
func (s *State) Resize(size int) { s.slots.Resize(size) }

// NewCache returns the Kind of a maker. It calls observe after each attempt to make a credential. Requests wait until
// [Cache.Begin] is called.
func NewCache(maker Maker, observe func(took time.Duration, err error)) *Cache {
	return &Cache{maker: maker, observe: observe, begun: make(chan struct{})}
}

// Begin gives the cache the credentials that an earlier configuration had. It is called once, when the maker can ask
// the cluster.
func (c *Cache) Begin(state *State) {
	c.state = state
	close(c.begun)
}

// Maker returns whose credentials these are.
func (c *Cache) Maker() Maker { return c.maker }

// Fresh implements [Kind].
func (c *Cache) Fresh(holder *token.Holder, now, notAfter int64) *Credential {
	p := placeOf(holder)
	if p == nil || p.version != c.maker.Version() {
		return nil
	}
	current := p.slot.current.Load()
	if current == nil || now >= current.RenewAt || current.Until > notAfter {
		return nil
	}
	return current
}

// Get implements [Kind]. For example, of an API key that lives for four hours, from 12:00 to 16:00:
//
//	13:00  it is the right one
//	14:00  it is served once more, while it is being renewed
//	15:00  the cluster is down since 13:30: it is served, and each minute somebody tries to renew it
//	16:00  it has ended: the request waits for another one, and is refused if there is none
func (c *Cache) Get(ctx context.Context, client *Client, now time.Time, made func(*Credential)) (*Credential, error) {
	select {
	case <-c.begun:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the configuration to start: %w", context.Cause(ctx))
	}
	version := c.maker.Version() // before the plan is made, so that a change meanwhile makes the place invalid
	plan, err := c.maker.Plan(client)
	if err != nil {
		return nil, err
	}
	s := c.state.slot(plan)
	got, err := c.get(ctx, client, plan, s, now, made)
	if err == nil && got.Until > client.NotAfter {
		// It was made for a certificate that ends later. This one must not have what outlives it.
		plan = plan.For(client)
		s = c.state.slot(plan)
		got, err = c.get(ctx, client, plan, s, now, made)
	}
	client.Holder.Slot.Store(&place{s, version})
	return got, err
}

// get returns the credential of a slot, which is made or renewed if it has to be.
func (c *Cache) get(
	ctx context.Context, client *Client, plan Plan, s *slot, now time.Time, made func(*Credential),
) (*Credential, error) {
	switch current, at := s.current.Load(), now.Unix(); {
	case current.isFresh(at):
		return current, nil
	case current.isGood(at):
		if current.Until <= client.NotAfter && s.pausing(now, true) == nil {
			c.start(client, plan, s, c.state.renew, made)
		}
		return current, nil
	default:
		if err := s.pausing(now, false); err != nil {
			return nil, err
		}
		return wait(ctx, c.start(client, plan, s, c.state.first, made))
	}
}

// isFresh reports whether a credential, which can be nil, need not be renewed yet.
func (c *Credential) isFresh(now int64) bool { return c != nil && now < c.RenewAt }

// isGood reports whether a credential, which can be nil, has not ended.
func (c *Credential) isGood(now int64) bool { return c != nil && now < c.Until }

// slot finds the slot of those who share a plan.
func (s *State) slot(plan Plan) *slot {
	d := digest(sha256.Sum256([]byte(plan.ID())))
	if known, ok := s.slots.Get(d); ok {
		return known
	}
	mine := &slot{digest: d}
	if other, ok, _ := s.slots.PeekOrAdd(d, mine); ok {
		return other
	}
	return mine
}

// start makes or renews a credential in the background, when its turn has come.
func (c *Cache) start(
	client *Client, plan Plan, s *slot, in *turns.Turns[[sha256.Size]byte], made func(*Credential),
) <-chan singleflight.Result {
	return c.state.calls.DoChan(string(s.digest[:]), func() (any, error) {
		last := s.current.Load()
		if last.isFresh(time.Now().Unix()) {
			return last, nil // it was made just before this call began
		}
		done, err := take(in, client)
		if err != nil {
			c.observe(timing.CredentialTimeout, errBusy)
			return nil, s.note(errBusy)
		}
		defer done()
		// Whoever waits may leave before that. What is made is for the next one.
		ctx, cancel := context.WithTimeout(context.Background(), timing.CredentialTimeout)
		defer cancel()
		began := time.Now()
		if !last.isGood(began.Unix()) {
			last = nil
		}
		answer := <-hanging.Go("the maker", func() (*Credential, error) { return c.maker.Make(ctx, client, plan, last) })
		credential, err := answer.Value, answer.Err
		if err == nil && credential.Until <= began.Unix() {
			err = errEnded
		}
		c.observe(time.Since(began), err)
		if s.note(err) != nil {
			return nil, err
		}
		s.current.Store(credential)
		if last == nil || last.Authorization != credential.Authorization || last.Until != credential.Until {
			made(credential)
		}
		return credential, nil
	})
}

// take waits for the client's turn.
func take(in *turns.Turns[[sha256.Size]byte], client *Client) (done func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), timing.CredentialTimeout)
	defer cancel()
	return in.Take(ctx, client.Fingerprint())
}

var (
	errBusy  = errors.New("too many clients want a credential at once")
	errSlow  = errors.New("the credential was not made in time")
	errEnded = errors.New("the credential has ended before it was used: compare the clocks of Caddy and the nodes")
)

// note remembers the outcome of an attempt, and returns its error.
func (s *slot) note(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
	if err == nil {
		s.failures = 0
		return nil
	}
	s.failures++
	s.failed = time.Now()
	return err
}

// pausing returns the last failure, if it is too early to try again.
func (s *slot) pausing(now time.Time, hasOne bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	pause := failurePause
	if hasOne {
		pause = min(longestPause, failurePause<<min(s.failures, 10))
	}
	if s.failure == nil || now.Sub(s.failed) >= pause {
		return nil
	}
	return s.failure
}

// wait waits for a credential, but no longer than its request lasts, and not for a cluster that hangs.
func wait(ctx context.Context, result <-chan singleflight.Result) (*Credential, error) {
	made, err := hanging.Wait(ctx, result, timing.CredentialTimeout, errSlow)
	if err != nil {
		return nil, fmt.Errorf("waiting for a credential: %w", err)
	}
	return made.(*Credential), nil
}

// Renewed implements [Kind]. At most one credential in dropPause replaces a refused one. All requests whose credential
// was refused with it get the same one.
func (c *Cache) Renewed(
	ctx context.Context, client *Client, refused *Credential, made func(*Credential),
) (*Credential, error) {
	dropper, ok := c.maker.(Dropper)
	p := placeOf(client.Holder)
	if !ok || p == nil {
		return nil, nil
	}
	now := time.Now()
	current := p.slot.current.Load()
	if current != nil && current.Authorization == refused.Authorization {
		if dropped, err := c.drop(ctx, dropper, p.slot, current, now); !dropped {
			return nil, err
		}
	}
	renewed, err := c.Get(ctx, client, now, made)
	switch {
	case err != nil && AsRefusal(err).Problem == Unavailable:
		return nil, err
	case err != nil || renewed.Authorization == refused.Authorization:
		return nil, nil //nolint:nilerr // the node's own answer says enough
	}
	return renewed, nil
}

var errUnsure = Refuse(Unavailable, errors.New("a node refuses a credential that may be good"),
	"the cluster cannot check credentials right now, as when it has just started: try again")

// drop drops a refused credential, unless that is too early or wrong. All that come at the same time share the outcome.
func (c *Cache) drop(
	ctx context.Context, dropper Dropper, s *slot, refused *Credential, now time.Time,
) (dropped bool, err error) {
	ctx = context.WithoutCancel(ctx) // the others do not leave with the first
	outcome, err, _ := c.state.calls.Do("drop "+string(s.digest[:]), func() (any, error) {
		if s.current.Load() != refused {
			return true, nil // somebody has dropped it already
		}
		if may, err := s.mayDrop(now); !may {
			return false, err
		}
		if !dropper.Drop(ctx, refused) {
			s.keep(now)
			return false, errUnsure
		}
		s.current.CompareAndSwap(refused, nil)
		return true, nil
	})
	return outcome == true, err
}

// keep notes that a refused credential may be good. It may be tried again to drop it after failurePause.
func (s *slot) keep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = now
}

// mayDrop reports whether a credential may be dropped, and notes that it is. If it was kept just now, it is not sure
// whether it is good.
func (s *slot) mayDrop(now time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.kept.IsZero() && now.Sub(s.kept) < failurePause:
		return false, errUnsure
	case !s.kept.IsZero(), s.dropped.IsZero(), now.Sub(s.dropped) >= dropPause:
		s.dropped, s.kept = now, time.Time{}
		return true, nil
	}
	return false, nil
}

// Interface guards
var _ Kind = (*Cache)(nil)
