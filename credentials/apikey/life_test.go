package apikey_test

import (
	"context"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/credentials/apikey"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// inScene runs a test in a bubble. The storage's locks need a moment to end.
func inScene(t *testing.T, test func(t *testing.T, s *scene)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		defer time.Sleep(30 * time.Second)
		test(t, newScene(t))
	})
}

// objects returns the names of the stored keys.
func (s *scene) objects(t testing.TB) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.storage, "elasticsearch_jwt", "api_keys", "*", "*.key.json"))
	require.NoError(t, err)
	return found
}

// begin begins a replica that lets everybody in, unless denied says otherwise.
func begin(t testing.TB, a *apikey.APIKey, denied func(chain []*x509.Certificate) bool) (end func()) {
	t.Helper()
	if denied == nil {
		denied = func([]*x509.Certificate) bool { return false }
	}
	ctx, cancel := context.WithCancel(context.Background())
	go a.Run(ctx, denied)
	return cancel
}

func TestReplicasAndRestartsShareAKey(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		alice := newClient(t, "alice", "ops")
		first := get(t, s.replica(t), alice, nil)
		time.Sleep(time.Minute)
		second := get(t, s.replica(t), alice, nil)
		require.Equal(t, first.Authorization, second.Authorization)
		require.Equal(t, []bool{false, true}, []bool{first.Found, second.Found}, "so that the log does not say it was made")
		require.Equal(t, first.Until, second.Until)
		require.Equal(t, 1, s.total(creates))
		s.set(func() { s.down = true })
		asked := s.total(creates)
		require.Equal(t, first.Authorization, get(t, s.replica(t), alice, nil).Authorization)
		require.Equal(t, asked, s.total(creates), "the cluster is not even asked")
		require.Len(t, s.objects(t), 1)
	})
}

// TestReplicasThatStartTogetherUseOneKey, also if the cluster is so slow that they do not wait for each other.
func TestReplicasThatStartTogetherUseOneKey(t *testing.T) {
	for _, latency := range []time.Duration{0, 100 * time.Millisecond, 3 * time.Second} {
		t.Run(latency.String(), func(t *testing.T) {
			inScene(t, func(t *testing.T, s *scene) {
				s.latency = latency
				var mu sync.Mutex
				got := make(map[string]int)
				var wg sync.WaitGroup
				const replicas = 3
				for range replicas {
					a, c := s.replica(t), newClient(t, "alice", "ops")
					wg.Go(func() {
						made, err := try(a, c, nil)
						mu.Lock()
						defer mu.Unlock()
						if err != nil {
							t.Error(err)
							return
						}
						got[made.Authorization]++
					})
				}
				wg.Wait()
				time.Sleep(20 * time.Second)
				require.Len(t, s.objects(t), 1)
				require.Equal(t, []string{"alice"}, s.good(), "those that nobody has used are invalidated")
				for used, times := range got {
					require.NotNil(t, s.keyOf(used))
					require.Equal(t, replicas, times)
				}
			})
		})
	}
}

// TestStoredKeysAreSealed: the storage has nothing of the key's secret in it.
func TestStoredKeysAreSealed(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		made := get(t, s.replica(t), newClient(t, "alice", "ops"), nil)
		content, err := os.ReadFile(s.objects(t)[0])
		require.NoError(t, err)
		for _, secret := range []string{strings.TrimPrefix(made.Authorization, "ApiKey "), "secret-1", "alice", "hunter2"} {
			require.NotContains(t, string(content), secret)
		}
		// An object under another name is not what it was.
		bob := newClient(t, "bob", "ops")
		get(t, s.replica(t), bob, nil)
		for _, name := range s.objects(t) {
			require.NoError(t, os.WriteFile(name, content, 0o600))
		}
		require.Equal(t, "bob", s.keyOf(get(t, s.replica(t), bob, nil).Authorization).Name)
	})
}

func TestAKeyIsRenewedWithoutANewSecret(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		a, b := s.replica(t), s.replica(t)
		alice := newClient(t, "alice", "ops")
		began := time.Now()
		first := get(t, a, alice, nil)
		other := get(t, b, alice, nil)
		require.InDelta(t, began.Add(2*time.Hour).Unix(), first.RenewAt, float64(12*60), "about half its life")
		require.LessOrEqual(t, first.RenewAt, began.Add(2*time.Hour).Unix(), "so it outlives an outage of half its life")
		require.Less(t, first.Until, s.keyOf(first.Authorization).Expires.Unix(), "it is not used until the last moment")

		time.Sleep(2 * time.Hour)
		renewed := get(t, a, alice, first)
		require.Equal(t, first.Authorization, renewed.Authorization)
		require.Greater(t, renewed.Until, first.Until+7000)
		require.Less(t, renewed.Until, s.keyOf(first.Authorization).Expires.Unix())
		require.Equal(t, 1, s.total(updates))

		theirs := get(t, b, alice, other)
		require.Equal(t, renewed.Until, theirs.Until)
		require.Equal(t, 1, s.total(updates), "one replica renews for all")
		require.Equal(t, 1, s.total(creates))
		restarted := get(t, s.replica(t), alice, nil)
		require.Equal(t, renewed.Until, restarted.Until)
	})
}

func TestRenewalsGoTogether(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		a := s.replica(t)
		names := []string{"a", "b", "c", "d", "e", "f"}
		made := make(map[string]*credential.Credential)
		clients := make(map[string]*credential.Client)
		for _, name := range names {
			clients[name] = newClient(t, name, "ops")
			made[name] = get(t, a, clients[name], nil)
		}
		s.set(func() { s.keys[made["c"].ID].Invalidated = true })
		time.Sleep(2 * time.Hour)
		var wg sync.WaitGroup
		for _, name := range names {
			wg.Go(func() {
				renewed, err := try(a, clients[name], made[name])
				if err != nil || (renewed.Authorization == made[name].Authorization) != (name != "c") {
					t.Error(name, err)
				}
				if k := s.keyOf(renewed.Authorization); k == nil || k.Name != name {
					t.Error("another identity", name)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 1, s.total(updates))
		require.Equal(t, 7, s.total(creates), "one that cannot be renewed is made anew")
	})
}

func TestARenewalFailsWithTheCluster(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		a := s.replica(t)
		alice := newClient(t, "alice", "ops")
		made := get(t, a, alice, nil)
		time.Sleep(2 * time.Hour)
		s.set(func() { s.down = true })
		_, err := try(a, alice, made)
		require.Equal(t, credential.Unavailable, credential.AsRefusal(err).Problem)
		s.set(func() { s.down = false })
		require.Equal(t, made.Authorization, get(t, a, alice, made).Authorization)
	})
}

// TestAKeyNeverOutlivesTheCertificate, neither when it is made nor when it is renewed.
func TestAKeyNeverOutlivesTheCertificate(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		a := s.replica(t)
		alice := newClient(t, "alice", "ops")
		alice.NotAfter = time.Now().Add(5 * time.Hour).Unix()
		made := get(t, a, alice, nil)
		time.Sleep(2 * time.Hour)
		renewed := get(t, a, alice, made)
		require.Greater(t, renewed.Until, made.Until)
		require.LessOrEqual(t, renewed.Until, alice.NotAfter)
		require.LessOrEqual(t, s.keyOf(renewed.Authorization).Expires.Unix(), alice.NotAfter)
		require.Equal(t, renewed.Until, renewed.RenewAt, "no renewal could help")
		require.Equal(t, renewed.Until, get(t, a, alice, renewed).Until)
		require.Equal(t, 1, s.total(updates))

		short := newClient(t, "bob", "ops")
		short.NotAfter = time.Now().Unix() + 1
		require.LessOrEqual(t, get(t, a, short, nil).Until, short.NotAfter)
		short.NotAfter--
		_, err := try(a, short, nil)
		require.Error(t, err)
	})
}

// TestAnotherCertificateOfTheSameClient that ends earlier has a key of its own, and does not take the other's away.
func TestAnotherCertificateOfTheSameClient(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		long, short := newClient(t, "alice", "ops"), newClient(t, "alice", "ops")
		short.NotAfter = time.Now().Add(time.Hour).Unix()
		first := get(t, s.replica(t), long, nil)
		second := get(t, s.replica(t), short, nil)
		require.NotEqual(t, first.Authorization, second.Authorization)
		require.LessOrEqual(t, second.Until, short.NotAfter)
		require.Equal(t, first.Authorization, get(t, s.replica(t), long, nil).Authorization)
		require.Equal(t, second.Authorization, get(t, s.replica(t), short, nil).Authorization)
		require.Len(t, s.objects(t), 2)
	})
}

func TestADroppedKeyIsNotUsedAgain(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		a, b := s.replica(t), s.replica(t)
		alice := newClient(t, "alice", "ops")
		first := get(t, a, alice, nil)
		require.Equal(t, first.ID, get(t, b, alice, nil).ID)
		a.Drop(t.Context(), first)
		second := get(t, a, alice, nil)
		require.NotEqual(t, first.ID, second.ID)
		b.Drop(t.Context(), first)
		require.Equal(t, second.ID, get(t, b, alice, nil).ID, "what another replica has made meanwhile stays")
		time.Sleep(15 * time.Second)
		require.Nil(t, s.keyOf(first.Authorization), "it is invalidated, although that takes two tries so soon")
		require.NotNil(t, s.keyOf(second.Authorization))
	})
}

// TestAKeyIsKeptWhileTheClusterCannotLookItUp: its nodes answer 401 then, whatever key it is.
func TestAKeyIsKeptWhileTheClusterCannotLookItUp(t *testing.T) {
	for name, answer := range map[string]int{
		"its shards start": http.StatusServiceUnavailable, "it does not know the proxy": http.StatusUnauthorized,
	} {
		t.Run(name, func(t *testing.T) {
			inScene(t, func(t *testing.T, s *scene) {
				a, alice := s.replica(t), newClient(t, "alice", "ops")
				first := get(t, a, alice, nil)
				s.set(func() {
					s.answers = func(*http.Request) (int, string) { return answer, `{"error":{"type":"x"}}` }
				})
				require.False(t, a.Drop(t.Context(), first))
				s.set(func() { s.answers = nil })
				time.Sleep(15 * time.Second)
				require.NotNil(t, s.keyOf(first.Authorization))
				require.Equal(t, first.ID, get(t, s.replica(t), alice, nil).ID)
			})
		})
	}
}

// TestAGoodKeyThatANodeRefusesStays for a while: other replicas use it, and the node may have been wrong.
func TestAGoodKeyThatANodeRefusesStays(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		a, alice := s.replica(t), newClient(t, "alice", "ops")
		first := get(t, a, alice, nil)
		time.Sleep(2 * time.Second) // until the node finds it
		for range 10 {
			require.False(t, a.Drop(t.Context(), first))
			time.Sleep(2 * time.Second)
		}
		require.Equal(t, first.ID, get(t, s.replica(t), alice, nil).ID)
		time.Sleep(2 * time.Second)
		require.True(t, a.Drop(t.Context(), first), "something else is wrong with it")
		require.NotEqual(t, first.ID, get(t, a, alice, nil).ID)

		second := get(t, a, alice, nil)
		time.Sleep(2 * time.Second)
		s.set(func() { s.keys[second.ID].Invalidated = true })
		require.True(t, a.Drop(t.Context(), second))
	})
}

func TestWithoutAStorageAKeyIsUsedAllTheSame(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		storage := s.storage
		s.storage = filepath.Join(storage, "file")
		require.NoError(t, os.WriteFile(s.storage, nil, 0o600)) // no folder can be made in a file
		a, logs, err := s.provision(t, s.settings())
		require.NoError(t, err)
		alice := newClient(t, "alice", "ops")
		made := get(t, a, alice, nil)
		require.NotNil(t, s.keyOf(made.Authorization))
		require.Contains(t, logs(), "Caddy's storage cannot be used for API keys")
		require.NotContains(t, logs(), "secret-1")

		defer begin(t, a, nil)()
		time.Sleep(10 * time.Minute)
		require.NoError(t, os.Remove(s.storage))
		time.Sleep(5 * time.Minute)
		require.Len(t, s.objects(t), 1, "it is stored later")
		time.Sleep(10 * time.Minute)
		require.NotNil(t, s.keyOf(made.Authorization))
		require.Equal(t, made.ID, get(t, s.replica(t), alice, nil).ID)
		time.Sleep(2 * time.Hour)
		require.Equal(t, made.ID, get(t, a, alice, made).ID)
	})
}

// TestAChangedPassword: keys go on, and what was sealed with the old password is sealed again.
func TestAChangedPassword(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		a := s.replica(t)
		ctx, cancel := context.WithCancel(context.Background())
		defer func() { cancel(); synctest.Wait() }()
		for _, w := range a.Watched() {
			go w.Watch(ctx)
		}
		end := begin(t, a, nil)
		alice := newClient(t, "alice", "ops")
		made := get(t, a, alice, nil)
		version := a.Version()

		s.set(func() { s.passwords["proxy"] = "another" })
		require.NoError(t, os.WriteFile(s.user, []byte("proxy:another"), 0o600))
		require.NoError(t, os.Chtimes(s.user, time.Time{}, time.Now()))
		time.Sleep(watch.Latest)
		require.NotEqual(t, version, a.Version())
		require.Equal(t, made.ID, get(t, a, alice, nil).ID)
		before, err := os.ReadFile(s.objects(t)[0])
		require.NoError(t, err)
		time.Sleep(5 * time.Minute)
		after, err := os.ReadFile(s.objects(t)[0])
		require.NoError(t, err)
		require.NotEqual(t, before, after)
		apikey.Forget()
		require.Equal(t, made.ID, get(t, s.replica(t), alice, nil).ID, "as after a restart")
		require.NotNil(t, s.keyOf(made.Authorization))
		end()

		// What nobody can open is as good as none.
		s.set(func() { s.passwords["proxy"] = "third" })
		require.NoError(t, os.WriteFile(s.user, []byte("proxy:third"), 0o600))
		apikey.Forget()
		require.NotEqual(t, made.ID, get(t, s.replica(t), alice, nil).ID)
	})
}

func TestAChangedRoleMakesAnotherKey(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		a := s.replica(t)
		ctx, cancel := context.WithCancel(context.Background())
		defer func() { cancel(); synctest.Wait() }()
		for _, w := range a.Watched() {
			go w.Watch(ctx)
		}
		alice := newClient(t, "alice", "ops")
		first := get(t, a, alice, nil)
		version := a.Version()
		require.NoError(t, os.WriteFile(s.ops, []byte(`{}`), 0o600))
		require.NoError(t, os.Chtimes(s.ops, time.Time{}, time.Now()))
		time.Sleep(watch.Latest)
		require.Equal(t, version, a.Version(), "a broken file changes nothing")
		require.NoError(t, os.WriteFile(s.ops, []byte(readSales), 0o600))
		require.NoError(t, os.Chtimes(s.ops, time.Time{}, time.Now()))
		time.Sleep(watch.Latest)
		require.NotEqual(t, version, a.Version())
		second := get(t, a, alice, nil)
		require.NotEqual(t, first.ID, second.ID)
		require.Contains(t, string(s.keyOf(second.Authorization).Descriptors["ops"]), "sales")
	})
}
