package esjwt_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// TestAStorageThatCannotBeWrittenChangesNothing, and the answer says what to do.
func TestAStorageThatCannotBeWrittenChangesNothing(t *testing.T) {
	broken := errors.New("no space left on device")
	commands := map[string]struct{ path, body string }{
		"rotate":     {"rotate", ""},
		"revoke":     {"revoke", `{"kid":"%s"}`},
		"revoke now": {"revoke", `{"kid":"%s","now":true}`},
		"revoke all": {"revoke", `{"all":true}`},
	}
	for how, breaks := range map[string]func(*view){
		"not even a lock": func(v *view) { v.readOnly = broken },
		"full":            func(v *view) { v.full = broken },
	} {
		for name, command := range commands {
			t.Run(name+", "+how, func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					v := newMemory().view(t)
					a := startOperated(t, replicaConfig{storage: v.config()})
					synctest.Wait()
					time.Sleep(time.Hour)
					kid, document := a.signs(), a.document()
					v.set(breaks)
					body := strings.Replace(command.body, "%s", kid, 1)
					status, answer := a.request(http.MethodPost, "/default/"+command.path, body)
					require.Equal(t, http.StatusInternalServerError, status)
					require.Contains(t, answer, broken.Error())
					require.Contains(t, answer, "writable for Caddy")
					time.Sleep(time.Hour)
					require.Equal(t, kid, a.signs())
					require.Equal(t, document, a.document())

					v.set(func(v *view) { v.readOnly, v.full = nil, nil })
					a.change(command.path, body)
				})
			})
		}
	}
}

// TestAnEmergencyDoesNotWaitForAStorageThatHangs for longer than it is asked to, and the answer says
// what became of it.
func TestAnEmergencyDoesNotWaitForAStorageThatHangs(t *testing.T) {
	for name, c := range map[string]struct {
		hangs time.Duration // for how long before it is asked
		says  string
	}{
		"since before": {2 * time.Minute, "nothing was changed: it was asked before and is still busy"},
		"now":          {0, "nothing was changed: locking the storage"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				shared := newMemory()
				v := shared.view(t)
				a := startOperated(t, replicaConfig{storage: v.config()})
				synctest.Wait()
				time.Sleep(time.Hour)
				kid, document := a.signs(), a.document()
				answering := make(chan struct{})
				v.set(func(v *view) { v.hang = answering })
				time.Sleep(c.hangs)

				asked := time.Now()
				status, answer := a.request(http.MethodPost, "/default/revoke", `{"kid":"`+kid+`"}`)
				require.Equal(t, http.StatusInternalServerError, status)
				require.Contains(t, answer, c.says)
				require.LessOrEqual(t, time.Since(asked), 61*time.Second)

				// What comes back after an hour does not do what nobody waits for any more.
				time.Sleep(time.Hour)
				v.set(func(v *view) { v.hang = nil })
				close(answering)
				time.Sleep(time.Minute)
				require.Equal(t, kid, a.signs())
				require.Equal(t, document, a.document())
				a.revoke(kid)
			})
		})
	}
}

// TestWhatComesToTheStorageTooLateIsNotStored, and the answer says that alone.
func TestWhatComesToTheStorageTooLateIsNotStored(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		slow := &slowList{view: newMemory().view(t)}
		views.Store(slow.Name, slow)
		a := startOperated(t, replicaConfig{storage: slow.config()})
		synctest.Wait()
		time.Sleep(time.Hour)
		kid, document := a.signs(), a.document()
		slow.next.Store(true)
		status, answer := a.request(http.MethodPost, "/default/revoke", `{"kid":"`+kid+`"}`)
		require.False(t, slow.next.Load())
		require.Equal(t, http.StatusInternalServerError, status)
		require.Contains(t, answer, "nothing was stored")
		require.NotContains(t, answer, "may be stored")
		time.Sleep(10 * time.Minute)
		require.Equal(t, kid, a.signs())
		require.Equal(t, document, a.document())
	})
}

// slowList is a storage that lists once when the time for an emergency is over, and before it is
// given up.
type slowList struct {
	*view
	next atomic.Bool
}

func (s *slowList) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	if s.next.Swap(false) {
		time.Sleep(time.Minute + 500*time.Millisecond)
	}
	return s.view.List(context.WithoutCancel(ctx), prefix, recursive)
}

// TestALostAnswerToUnlockIsNotWaitedFor: everything else goes on.
func TestALostAnswerToUnlockIsNotWaitedFor(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		lossy := &lossyUnlock{view: shared.view(t)}
		views.Store(lossy.Name, lossy)
		a := startOperated(t, replicaConfig{storage: lossy.config()})
		b := startOperated(t, replicaConfig{storage: shared.view(t).config()})
		synctest.Wait()
		time.Sleep(time.Hour)
		old := a.both(b)[0]
		lossy.lose.Store(true)
		a.revoke(old)
		require.False(t, lossy.lose.Load())
		time.Sleep(10 * time.Minute)
		signing := a.both(b)
		require.Equal(t, signing[0], signing[1])
		require.NotContains(t, a.kids(), old)
		a.rotate()
	})
}

// lossyUnlock is a storage that unlocks, and whose answer is lost once.
type lossyUnlock struct {
	*view
	lose atomic.Bool
}

func (l *lossyUnlock) Unlock(ctx context.Context, name string) error {
	err := l.view.Unlock(ctx, name)
	if l.lose.Swap(false) {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

// TestAnEmergencyBeginsWhenItHasTheLock, and not when it was asked for: every replica has the time
// to hear of it that it needs, also one whose clock is ahead.
func TestAnEmergencyBeginsWhenItHasTheLock(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		clocked := func(ahead time.Duration) *operated {
			r := newReplica(t, replicaConfig{storage: shared.view(t).config()})
			r.app.(*esjwt.App).SetClock(func() time.Time { return time.Now().Add(ahead) })
			r.start()
			t.Cleanup(r.stop)
			return operate(r)
		}
		asked, ahead, behind := clocked(0), clocked(time.Minute), clocked(0)
		synctest.Wait()
		time.Sleep(time.Hour)
		set := func(o *operated) esjwt.ClockedSet { return o.app.(*esjwt.App).DefaultSet() }
		old, _ := set(behind).Signs("alice", time.Now())
		const lock = "elasticsearch_jwt_default"
		hold := func(held bool) {
			shared.mu.Lock()
			defer shared.mu.Unlock()
			shared.locks[lock] = held
		}
		hold(true)
		time.AfterFunc(50*time.Second, func() { hold(false) })
		before := time.Now()
		rotation := asked.revoke(old)
		require.GreaterOrEqual(t, time.Since(before), 49*time.Second)
		require.False(t, rotation.At.Before(before.Add(49*time.Second).Truncate(time.Second)))
		for range 600 {
			kid, _ := set(behind).Signs("alice", time.Now())
			require.Contains(t, set(ahead).Published(time.Now().Add(time.Minute)), kid)
			time.Sleep(500 * time.Millisecond)
		}
	})
}

// TestARotationThatSomebodyCannotReadIsNotUndone by a second one, of somebody who has not read the first: that
// promotes the same key, and of two instants the earlier one holds.
func TestARotationThatSomebodyCannotReadIsNotUndone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		a := startOperated(t, replicaConfig{storage: shared.view(t).config(), keys: storageKeys(`,"rotate_every":-1`)})
		v := shared.view(t)
		b := startOperated(t, replicaConfig{storage: v.config(), keys: storageKeys(`,"rotate_every":-1`)})
		synctest.Wait()
		time.Sleep(time.Hour)
		old, next, before := a.signs(), a.next(), shared.keys()
		a.rotate()
		made := slices.DeleteFunc(shared.keys(), func(name string) bool { return slices.Contains(before, name) })
		require.Len(t, made, 1, "a rotation is one object")
		v.set(func(v *view) { v.unreadable = made[0] })
		stored := shared.read(made[0])

		// At first b waits for what it cannot read, and then it goes on without it.
		status, answer := b.request(http.MethodPost, "/default/rotate", "")
		require.Equal(t, http.StatusInternalServerError, status, answer)
		require.Contains(t, answer, made[0])
		time.Sleep(5 * time.Minute)
		require.Equal(t, [2]string{next, old}, a.both(b))
		require.Equal(t, next, b.rotate().Signing)
		for range 10 {
			time.Sleep(time.Minute)
			require.Equal(t, [2]string{next, next}, a.both(b))
		}
		require.Equal(t, stored, shared.read(made[0]))
	})
}

// TestEmergenciesOnEveryReplicaAtOnce: with or without a lock that holds, they agree in the end.
func TestEmergenciesOnEveryReplicaAtOnce(t *testing.T) {
	for name, broken := range map[string]bool{"a lock that holds": false, "a lock that breaks": true} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				shared := newMemory()
				var cluster []*operated
				for range 4 {
					v := shared.view(t)
					v.set(func(v *view) { v.brokenLock = broken })
					cluster = append(cluster, startOperated(t, replicaConfig{storage: v.config()}))
				}
				synctest.Wait()
				time.Sleep(time.Hour)
				kid := cluster[0].signs()
				var wg sync.WaitGroup
				for i, o := range cluster {
					wg.Go(func() {
						if i%2 == 0 {
							o.request(http.MethodPost, "/default/rotate", "")
						} else {
							o.request(http.MethodPost, "/default/revoke", `{"kid":"`+kid+`"}`)
						}
					})
				}
				wg.Wait()
				cluster[0].watch(cluster[1], 15*time.Minute, func(since time.Duration, signing [2]string) {
					if since > followed {
						require.Equal(t, signing[0], signing[1])
						require.NotEqual(t, kid, signing[0])
					}
				})
				for _, o := range cluster {
					require.Equal(t, cluster[0].document(), o.document())
					require.NotContains(t, o.kids(), kid)
					require.NotEmpty(t, o.next())
				}
			})
		})
	}
}

// TestACrashInTheMiddleOfAnEmergencyLeavesAConsistentSet: between any two calls to the storage.
func TestACrashInTheMiddleOfAnEmergencyLeavesAConsistentSet(t *testing.T) {
	for _, command := range []struct{ name, path, body string }{
		{"rotate", "rotate", ``},
		{"revoke", "revoke", `{"kid":"%s"}`},
		{"revoke now", "revoke", `{"kid":"%s","now":true}`},
		{"revoke all", "revoke", `{"all":true}`},
	} {
		t.Run(command.name, func(t *testing.T) {
			for calls, done := int64(0), false; !done; calls++ {
				require.Less(t, calls, int64(100))
				bubble.Test(t, func(t *testing.T) {
					shared := newMemory()
					mortal := newMortal(shared.view(t))
					victim := startOperated(t, replicaConfig{storage: mortal.config()})
					witness := startOperated(t, replicaConfig{storage: shared.view(t).config()})
					synctest.Wait()
					time.Sleep(time.Hour)
					old := victim.both(witness)[0]
					body := strings.Replace(command.body, "%s", old, 1)

					mortal.left.Store(calls)
					status, _ := victim.request(http.MethodPost, "/default/"+command.path, body)
					done = status == http.StatusOK && mortal.left.Load() >= 0
					victim.stop()
					shared.mu.Lock()
					clear(shared.locks) // what a lock does that nobody keeps up
					shared.mu.Unlock()

					restarted := startOperated(t, replicaConfig{storage: shared.view(t).config()})
					synctest.Wait()
					if command.name == "revoke all" || command.name == "revoke now" {
						time.Sleep(followed) // this is what they cost
					}
					restarted.watch(witness, 8*time.Minute, func(time.Duration, [2]string) {})
					require.Equal(t, restarted.document(), witness.document())
					require.NotEmpty(t, restarted.next())

					// Whoever saw it fail asks again, and then it is as if it had not failed.
					if !done {
						status, answer := restarted.request(http.MethodPost, "/default/"+command.path, body)
						if status != http.StatusOK {
							require.Contains(t, answer, "was revoked already")
						}
						time.Sleep(10 * time.Minute)
					}
					signing := restarted.both(witness)
					require.Equal(t, signing[0], signing[1])
					require.NotEqual(t, old, signing[0])
					if command.path == "revoke" {
						require.NotContains(t, witness.kids(), old)
					}
				})
			}
		})
	}
}

// mortal is a storage whose process dies: it does what it is asked so many times, and then
// nothing any more, not even unlock.
type mortal struct {
	*view
	left atomic.Int64
}

var (
	mortals sync.Map
	errDead = errors.New("the process is dead")
)

func newMortal(v *view) *mortal {
	m := &mortal{view: v}
	m.left.Store(1 << 40)
	mortals.Store(v.Name, m)
	return m
}

func (m *mortal) config() map[string]string {
	return map[string]string{"module": "mortal", "name": m.Name}
}

func (m *mortal) dead() bool { return m.left.Add(-1) < 0 }

func (m *mortal) Lock(ctx context.Context, name string) error {
	if m.dead() {
		return errDead
	}
	return m.view.Lock(ctx, name)
}

func (m *mortal) Unlock(ctx context.Context, name string) error {
	if m.dead() {
		return errDead
	}
	return m.view.Unlock(ctx, name)
}

func (m *mortal) Store(ctx context.Context, key string, value []byte) error {
	if m.dead() {
		return errDead
	}
	return m.view.Store(ctx, key, value)
}

func (m *mortal) Load(ctx context.Context, key string) ([]byte, error) {
	if m.dead() {
		return nil, errDead
	}
	return m.view.Load(ctx, key)
}

func (m *mortal) Exists(ctx context.Context, key string) bool {
	return !m.dead() && m.view.Exists(ctx, key)
}

func (m *mortal) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	if m.dead() {
		return nil, errDead
	}
	return m.view.List(ctx, prefix, recursive)
}

// mortalStorage is the storage module of a mortal.
type mortalStorage struct {
	Name string `json:"name,omitempty"`
}

func init() { caddy.RegisterModule(mortalStorage{}) }

func (mortalStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.mortal", New: func() caddy.Module { return new(mortalStorage) }}
}

func (s mortalStorage) CertMagicStorage() (certmagic.Storage, error) {
	m, ok := mortals.Load(s.Name)
	if !ok {
		return nil, fmt.Errorf("no storage %q", s.Name)
	}
	return m.(*mortal), nil
}
