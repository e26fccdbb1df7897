package credential_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
)

// cluster makes credentials that live for an hour.
type cluster struct {
	version atomic.Uint64
	latency time.Duration

	mu      sync.Mutex
	down    error
	made    int
	asked   int
	busy    int // at this moment
	busiest int
	dropped []string
	drops   int // also those after which it was kept
}

func (c *cluster) Sets() []string  { return []string{"Authorization"} }
func (c *cluster) Version() uint64 { return c.version.Load() }

func (c *cluster) Plan(client *credential.Client) (credential.Plan, error) {
	if len(client.Groups) == 0 {
		return credential.Plan{}, credential.Refuse(credential.NoRole, nil, "no group")
	}
	return credential.Plan{Key: fmt.Sprintf("%d %q %q", c.version.Load(), client.Principal, client.Groups)}, nil
}

func (c *cluster) Make(
	ctx context.Context, client *credential.Client, _ credential.Plan, last *credential.Credential,
) (*credential.Credential, error) {
	c.enter(1)
	defer c.enter(-1)
	select {
	case <-time.After(c.latency):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if c.down != nil {
		return nil, c.down
	}
	now := time.Now()
	made := credential.Credential{
		Until:   min(client.NotAfter, now.Add(time.Hour).Unix()),
		RenewAt: now.Add(30 * time.Minute).Unix(),
	}
	if last != nil {
		made.Authorization = last.Authorization
		return &made, nil
	}
	c.made++
	made.Authorization = fmt.Sprintf("ApiKey %s-%d", client.Principal, c.made)
	return &made, nil
}

func (c *cluster) enter(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy += n
	c.busiest = max(c.busiest, c.busy)
}

func (c *cluster) Drop(_ context.Context, refused *credential.Credential) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	if c.down != nil {
		return false
	}
	c.dropped = append(c.dropped, refused.Authorization)
	return true
}

func (*cluster) Explain(*credential.Client) (credential.Explanation, error) {
	return credential.Explanation{}, nil
}

func (c *cluster) set(down error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

func (c *cluster) times() (asked, made int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked, c.made
}

// scene is a cache in front of a cluster.
type scene struct {
	*cluster
	cache *credential.Cache
	state *credential.State
	audit atomic.Int64
}

func newScene() *scene {
	s := &scene{cluster: new(cluster), state: credential.NewState(10_000)}
	s.cache = credential.NewCache(s.cluster, func(time.Duration, error) {})
	s.cache.Begin(s.state)
	return s
}

func client(name string) *credential.Client {
	return &credential.Client{
		Holder: new(token.Holder), Principal: name, Groups: []string{"g"}, NotAfter: time.Now().Add(24 * time.Hour).Unix(),
	}
}

// get is what a request goes on with.
func (s *scene) get(c *credential.Client) (string, error) {
	if fresh := s.cache.Fresh(c.Holder, time.Now().Unix(), c.NotAfter); fresh != nil {
		return fresh.Authorization, nil
	}
	got, err := s.cache.Get(context.Background(), c, time.Now(), func(*credential.Credential) { s.audit.Add(1) })
	if err != nil {
		return "", err
	}
	return got.Authorization, nil
}

func (s *scene) require(t *testing.T, c *credential.Client, want string) {
	t.Helper()
	got, err := s.get(c)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestClientsThatAreEqualShareACredential(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene()
		s.latency = time.Second
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { s.require(t, client("alice"), "ApiKey alice-1") })
		}
		wg.Wait()
		s.require(t, client("bob"), "ApiKey bob-2")
		asked, _ := s.times()
		require.Equal(t, 2, asked)
		require.EqualValues(t, 2, s.audit.Load())
	})
}

func TestARefusalIsThatOfTheMaker(t *testing.T) {
	s := newScene()
	c := client("alice")
	c.Groups = nil
	_, err := s.get(c)
	require.Equal(t, credential.NoRole, credential.AsRefusal(err).Problem)
}

// TestACredentialOutlivesAnOutageOfHalfItsLife, and is renewed when the cluster is there again. Nobody waits meanwhile.
func TestACredentialOutlivesAnOutageOfHalfItsLife(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene()
		alice := client("alice")
		s.require(t, alice, "ApiKey alice-1")
		s.set(errors.New("down"))
		time.Sleep(29 * time.Minute)
		for range 30 * 60 {
			s.require(t, alice, "ApiKey alice-1")
			synctest.Wait()
			time.Sleep(time.Second)
		}
		asked, _ := s.times()
		require.Greater(t, asked, 20, "it tries again and again")
		require.Less(t, asked, 50, "but not at each request")

		s.set(nil)
		s.require(t, alice, "ApiKey alice-1") // which starts the renewal, if the pause is over
		time.Sleep(time.Minute - time.Second)
		s.require(t, alice, "ApiKey alice-1")
		synctest.Wait()
		time.Sleep(20 * time.Minute)
		s.require(t, alice, "ApiKey alice-1")
	})
}

// TestAClusterThatIsDownIsAskedOnceASecond for a client, and all others of its kind get the same answer.
func TestAClusterThatIsDownIsAskedOnceASecond(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene()
		s.set(errors.New("down"))
		for range 10 {
			for range 20 {
				_, err := s.get(client("alice"))
				require.ErrorContains(t, err, "down")
			}
			time.Sleep(time.Second)
		}
		asked, _ := s.times()
		require.Equal(t, 10, asked)
		s.set(nil)
		s.require(t, client("alice"), "ApiKey alice-1")
	})
}

func TestAChangedFileMakesAnotherCredential(t *testing.T) {
	s := newScene()
	alice := client("alice")
	s.require(t, alice, "ApiKey alice-1")
	s.version.Add(1)
	s.require(t, alice, "ApiKey alice-2")
}

// TestACertificateHasNothingThatOutlivesIt, even if another one of the same client ends later.
func TestACertificateHasNothingThatOutlivesIt(t *testing.T) {
	s := newScene()
	late, early := client("alice"), client("alice")
	early.NotAfter = time.Now().Add(time.Minute).Unix()
	s.require(t, late, "ApiKey alice-1")
	s.require(t, early, "ApiKey alice-2")
	s.require(t, late, "ApiKey alice-1")
	s.require(t, early, "ApiKey alice-2")
}

// TestAttemptsOfCertificatesThatEndAtDifferentTimes: the one that ends early waits for the other's credential, and gets
// one of its own all the same.
func TestAttemptsOfCertificatesThatEndAtDifferentTimes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene()
		s.latency = time.Second
		late, early := client("alice"), client("alice")
		early.NotAfter = time.Now().Add(time.Minute).Unix()
		var wg sync.WaitGroup
		wg.Go(func() { s.require(t, late, "ApiKey alice-1") })
		time.Sleep(time.Millisecond)
		wg.Go(func() { s.require(t, early, "ApiKey alice-2") })
		wg.Wait()
		s.require(t, late, "ApiKey alice-1")
		s.require(t, early, "ApiKey alice-2")
	})
}

// TestOneThatWaitedLongForItsTurnIsMadeAllTheSame: what a cluster has made and nobody takes would be a key of nobody's.
func TestOneThatWaitedLongForItsTurnIsMadeAllTheSame(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene()
		s.latency = 6 * time.Second
		go func() { _, _ = s.get(client("bob")) }() // of the same certificate, which has one turn at a time
		time.Sleep(time.Millisecond)
		alice := client("alice")
		_, err := s.get(alice)
		require.Error(t, err, "it is not made within the time that a request waits")
		time.Sleep(10 * time.Second)
		s.require(t, alice, "ApiKey alice-2")
	})
}

// TestWhatStaysAsItIsIsNotLogged: an attempt to renew a credential that is yet to be renewed says nothing.
func TestWhatStaysAsItIsIsNotLogged(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene()
		alice := client("alice")
		alice.NotAfter = time.Now().Add(40 * time.Minute).Unix() // no renewal makes it live longer
		s.require(t, alice, "ApiKey alice-1")
		time.Sleep(31 * time.Minute)
		s.require(t, alice, "ApiKey alice-1")
		time.Sleep(time.Second)
		require.EqualValues(t, 1, s.audit.Load())
	})
}

// TestARefusedCredentialIsReplacedOnceInTenSeconds, and all whose credential it was get the other one.
func TestARefusedCredentialIsReplacedOnceInTenSeconds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene()
		alice := client("alice")
		s.require(t, alice, "ApiKey alice-1")
		refused := s.cache.Fresh(alice.Holder, time.Now().Unix(), alice.NotAfter)
		s.latency = time.Second
		renew := func(refused *credential.Credential) *credential.Credential {
			renewed, err := s.cache.Renewed(context.Background(), alice, refused, func(*credential.Credential) {})
			assert.NoError(t, err)
			return renewed
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if other := renew(refused); other == nil || other.Authorization != "ApiKey alice-2" {
					t.Errorf("got %v", other)
				}
			})
		}
		wg.Wait()
		require.Equal(t, []string{"ApiKey alice-1"}, s.dropped)

		second := s.cache.Fresh(alice.Holder, time.Now().Unix(), alice.NotAfter)
		require.Nil(t, renew(second), "it was made just now")
		s.require(t, alice, "ApiKey alice-2")
		time.Sleep(10 * time.Second)
		require.Equal(t, "ApiKey alice-3", renew(second).Authorization)
	})
}

// TestARefusedCredentialIsKeptWhileTheClusterKnowsNothingOfIt: a node that has just started refuses good ones too.
func TestARefusedCredentialIsKeptWhileTheClusterKnowsNothingOfIt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene()
		alice := client("alice")
		s.require(t, alice, "ApiKey alice-1")
		refused := s.cache.Fresh(alice.Holder, time.Now().Unix(), alice.NotAfter)
		renew := func() (*credential.Credential, error) {
			return s.cache.Renewed(context.Background(), alice, refused, func(*credential.Credential) {})
		}
		s.set(errors.New("it has just started"))
		for range 20 {
			renewed, err := renew()
			require.Nil(t, renewed)
			require.Equal(t, credential.Unavailable, credential.AsRefusal(err).Problem)
		}
		require.Equal(t, 1, s.drops, "it is asked once in a second")
		s.require(t, alice, "ApiKey alice-1")
		s.set(nil)
		_, err := renew()
		require.Error(t, err)
		time.Sleep(time.Second)
		renewed, err := renew()
		require.NoError(t, err)
		require.Equal(t, "ApiKey alice-2", renewed.Authorization)
	})
}

// TestKnownClientsDoNotWaitForAFlood of new ones, and the cluster is not asked more than it can bear.
func TestKnownClientsDoNotWaitForAFlood(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene()
		known := client("known")
		s.require(t, known, "ApiKey known-1")
		time.Sleep(31 * time.Minute)
		s.latency = time.Second
		var wg sync.WaitGroup
		refused := new(atomic.Int64)
		for i := range 1000 {
			wg.Go(func() {
				if _, err := s.get(client(fmt.Sprint(i))); err != nil {
					refused.Add(1)
				}
			})
		}
		time.Sleep(time.Millisecond)
		began := time.Now()
		s.require(t, known, "ApiKey known-1")
		require.Zero(t, time.Since(began))
		time.Sleep(2 * time.Second)
		fresh := s.cache.Fresh(known.Holder, time.Now().Unix(), known.NotAfter)
		require.NotNil(t, fresh, "it was renewed meanwhile")
		wg.Wait()
		time.Sleep(time.Minute) // in which those are made whose turn came late
		s.mu.Lock()
		defer s.mu.Unlock()
		require.LessOrEqual(t, s.busiest, 8+32)
		require.Positive(t, refused.Load(), "those whose turn does not come are told so")
		require.Less(t, refused.Load(), int64(1000))
	})
}

// TestRequestsWaitForTheStart of the configuration, and no longer than they last.
func TestRequestsWaitForTheStart(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		cache := credential.NewCache(new(cluster), func(time.Duration, error) {})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := cache.Get(ctx, client("alice"), time.Now(), func(*credential.Credential) {})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		go func() {
			time.Sleep(time.Second)
			cache.Begin(credential.NewState(10))
		}()
		_, err = cache.Get(context.Background(), client("alice"), time.Now(), func(*credential.Credential) {})
		require.NoError(t, err)
	})
}

// TestAnotherConfigurationGoesOnWithTheCredentials that an earlier one has made.
func TestAnotherConfigurationGoesOnWithTheCredentials(t *testing.T) {
	s := newScene()
	s.require(t, client("alice"), "ApiKey alice-1")
	next := &scene{cluster: new(cluster), state: s.state}
	next.cache = credential.NewCache(next.cluster, func(time.Duration, error) {})
	next.cache.Begin(s.state)
	next.require(t, client("alice"), "ApiKey alice-1")
	asked, _ := next.times()
	require.Zero(t, asked)
}

func TestHealthChecksHaveNoEnd(t *testing.T) {
	s := newScene()
	c := client("health")
	c.NotAfter = math.MaxInt32
	s.require(t, c, "ApiKey health-1")
}
