package esjwt_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
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
)

// How long everybody takes, at most, with the defaults.
const (
	followed = 35 * time.Second // until every replica has polled
	lead     = 3 * time.Minute  // until every cache knows a new key
)

// operated is a replica with the admin API beside it.
type operated struct {
	*replica
	api http.Handler
}

func startOperated(t testing.TB, c replicaConfig) *operated {
	t.Helper()
	r := startReplica(t, c)
	mux := http.NewServeMux()
	for _, route := range r.app.(*esjwt.App).AdminRoutes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := route.Handler.ServeHTTP(w, r); err != nil {
				apiErr, ok := errors.AsType[caddy.APIError](err)
				if !ok {
					apiErr = caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
				}
				http.Error(w, apiErr.Error(), apiErr.HTTPStatus)
			}
		})
	}
	return &operated{r, mux}
}

// request asks the admin API.
func (o *operated) request(method, path, body string) (int, string) {
	o.t.Helper()
	rec := httptest.NewRecorder()
	o.api.ServeHTTP(rec, httptest.NewRequest(method, "/elasticsearch_jwt/keys"+path, strings.NewReader(body)))
	return rec.Code, rec.Body.String()
}

// change asks for a rotation or a revocation, which must succeed.
func (o *operated) change(path, body string) esjwt.Rotation {
	o.t.Helper()
	status, answer := o.request(http.MethodPost, "/default/"+path, body)
	require.Equal(o.t, http.StatusOK, status, answer)
	var rotation esjwt.Rotation
	require.NoError(o.t, json.Unmarshal([]byte(answer), &rotation))
	return rotation
}

func (o *operated) rotate() esjwt.Rotation { return o.change("rotate", "") }

func (o *operated) revoke(kid string) esjwt.Rotation {
	return o.change("revoke", `{"kid":"`+kid+`"}`)
}

// state is what the admin API says of a key of the default set: signing, next, …
func (o *operated) state(kid string) string {
	o.t.Helper()
	for _, k := range o.status().Keys {
		if k.ID == kid {
			return k.State
		}
	}
	return "unknown"
}

func (o *operated) status() esjwt.SetStatus {
	o.t.Helper()
	status, answer := o.request(http.MethodGet, "/default", "")
	require.Equal(o.t, http.StatusOK, status, answer)
	var set esjwt.SetStatus
	require.NoError(o.t, json.Unmarshal([]byte(answer), &set))
	return set
}

// next is the kid of the key that will sign after the one that signs now.
func (o *operated) next() string {
	o.t.Helper()
	for _, k := range o.status().Keys {
		if k.State == "next" {
			return k.ID
		}
	}
	o.t.Fatal("no successor is published")
	return ""
}

// twoReplicas are two replicas on one storage, an hour after their start: every cache knows
// every key.
func twoReplicas(t *testing.T, settings string) (a, b *operated) {
	t.Helper()
	shared := newMemory()
	start := func() *operated {
		return startOperated(t, replicaConfig{storage: shared.view(t).config(), keys: storageKeys(settings)})
	}
	a, b = start(), start()
	synctest.Wait()
	time.Sleep(time.Hour)
	a.both(b)
	return a, b
}

// both are the kids that two replicas sign with now. Whatever it is, both of them publish it.
func (o *operated) both(other *operated) [2]string {
	o.t.Helper()
	// Ask twice: a token of before can go on while the one of a new window is signed.
	o.signs(other.replica)
	other.signs(o.replica)
	synctest.Wait()
	return [2]string{o.signs(other.replica), other.signs(o.replica)}
}

// watch looks at both replicas again and again, more often at first.
func (o *operated) watch(other *operated, d time.Duration, look func(since time.Duration, signing [2]string)) {
	o.t.Helper()
	type cache struct {
		at   time.Time
		kids []string
	}
	var caches []cache // of the last minute
	start := time.Now()
	for since := time.Duration(0); since < d; since = time.Since(start) {
		signing := o.both(other)
		for _, c := range caches {
			for _, kid := range signing {
				require.Contains(o.t, c.kids, kid, "it signs after %s, and some cache cannot know it", since)
			}
		}
		look(since, signing)
		now := time.Now()
		caches = append(caches, cache{now, o.kids()}, cache{now, other.kids()})
		caches = slices.DeleteFunc(caches, func(c cache) bool { return now.Sub(c.at) >= 50*time.Second })
		step := time.Second
		if since > followed {
			step = 5 * time.Second
		}
		time.Sleep(step)
	}
}

func TestARotationByHandSignsWithTheSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twoReplicas(t, ``)
		old, successor := a.signs(), a.next()
		rotation := a.rotate()
		require.Equal(t, successor, rotation.Signing)
		require.Equal(t, time.Now().Unix(), rotation.At.Unix(), "at once: every cache knows it")
		require.Empty(t, rotation.Revoked)
		require.Empty(t, rotation.Fresh)

		require.Equal(t, successor, a.both(b)[0], "the one that was asked, at once")
		require.Equal(t, "signing", a.state(successor))
		third := a.next()
		require.NotContains(t, []string{old, successor}, third, "there is always a published successor")
		a.watch(b, 2*time.Hour, func(since time.Duration, signing [2]string) {
			require.Equal(t, successor, signing[0])
			if since > followed {
				require.Equal(t, successor, signing[1])
				require.Equal(t, third, b.next())
				require.Equal(t, a.document(), b.document())
			}
			if since < time.Hour+10*time.Minute-time.Second {
				require.Contains(t, a.kids(), old, "its tokens are good until they expire")
			}
			if since > time.Hour+10*time.Minute+time.Second {
				require.NotContains(t, a.kids(), old)
			}
		})
	})
}

func TestASecondRotationWaitsUntilEveryCacheKnowsTheNextKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twoReplicas(t, ``)
		first := a.rotate()
		time.Sleep(40 * time.Second)
		second := b.rotate()
		require.NotEqual(t, first.Signing, second.Signing)
		require.WithinDuration(t, first.At.Add(lead), second.At, time.Second)
		time.Sleep(40 * time.Second)
		status, answer := a.request(http.MethodPost, "/default/rotate", "")
		require.Equal(t, http.StatusConflict, status, "a third in that time is the second one")
		require.Contains(t, answer, second.Signing+" begins to sign at "+second.At.Format(time.RFC3339))

		a.watch(b, 10*time.Minute, func(_ time.Duration, signing [2]string) {
			want := first.Signing
			if !time.Now().Before(second.At) {
				want = second.Signing
			}
			require.Equal(t, [2]string{want, want}, signing, "both replicas know when")
		})
	})
}

func TestARotationByHandJustAfterOneOnScheduleWaitsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twoReplicas(t, `,"rotate_every":"2h"`)
		time.Sleep(time.Until(a.status().NextRotation.Add(5 * time.Second)))
		rotation := a.rotate()
		require.Greater(t, time.Until(rotation.At), 2*time.Minute)
		a.watch(b, 10*time.Minute, func(_ time.Duration, signing [2]string) {
			require.Equal(t, signing[0], signing[1])
			require.Equal(t, !time.Now().Before(rotation.At), signing[0] == rotation.Signing)
		})
	})
}

func TestAKeyThatIsNeverRotatedSignsUntilAPersonSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twoReplicas(t, `,"rotate_every":-1`)
		first, document := a.signs(), a.document()
		for range 4 {
			time.Sleep(30 * time.Hour)
			require.Equal(t, [2]string{first, first}, a.both(b))
			require.Equal(t, document, b.document())
			require.Zero(t, b.status().NextRotation)
		}
		successor := b.next()
		require.Equal(t, successor, b.rotate().Signing)
		time.Sleep(followed)
		require.Equal(t, [2]string{successor, successor}, a.both(b))
		time.Sleep(31 * 24 * time.Hour) // longer than by default
		require.Equal(t, [2]string{successor, successor}, a.both(b))
		require.Len(t, a.kids(), 2, "and a successor for the next time")
	})
}

// cluster is nodes that, like those of Elasticsearch and OpenSearch, fetch the JWKS only when they
// meet a kid that they do not know, each from the replica that it happens to reach.
type cluster struct {
	nodes []*knownKeys
}

type knownKeys struct {
	jwks *operated
	kids []string
}

// newCluster returns nodes that know one key alone, and nodes that know all that is published.
func newCluster(a, b *operated, kid string) *cluster {
	return &cluster{[]*knownKeys{{a, []string{kid}}, {b, []string{kid}}, {a, a.kids()}, {b, b.kids()}}}
}

// take has each node check tokens with these kids.
func (c *cluster) take(t *testing.T, signing [2]string) {
	t.Helper()
	for _, n := range c.nodes {
		for _, kid := range signing {
			if !slices.Contains(n.kids, kid) {
				n.kids = n.jwks.kids()
			}
			require.Contains(t, n.kids, kid, "the node refuses the token")
		}
	}
}

// requireForgotten requires that no node takes tokens of a key any more.
func (c *cluster) requireForgotten(t *testing.T, kid string) {
	t.Helper()
	for _, n := range c.nodes {
		require.NotContains(t, n.kids, kid)
	}
}

// TestARevokedKeyLeavesOnceNobodyNeedsIt: its successor signs at once; then a fresh key that
// makes every cluster read the JWKS again, which the revoked one has left by then.
func TestARevokedKeyLeavesOnceNobodyNeedsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twoReplicas(t, ``)
		old, successor := a.signs(), a.next()
		nodes := newCluster(a, b, old)
		r := a.revoke(old)
		require.Equal(t, []string{old}, r.Revoked)
		require.Equal(t, successor, r.Signing)
		require.Equal(t, time.Now().Unix(), r.At.Unix())
		require.NotContains(t, []string{old, successor}, r.Fresh)
		require.False(t, r.FreshFrom.Before(r.Withdrawn))
		require.Equal(t, "revoked", a.state(old))
		require.Equal(t, r.Fresh, a.next())
		require.Equal(t, r.FreshFrom, a.status().NextRotation)

		a.watch(b, 10*time.Minute, func(since time.Duration, signing [2]string) {
			want := successor
			if !time.Now().Before(r.FreshFrom) {
				want = r.Fresh
			}
			require.Equal(t, want, signing[0])
			if since > followed {
				require.Equal(t, want, signing[1])
			}
			if since > followed && (time.Now().Before(r.FreshFrom) || time.Since(r.FreshFrom) > followed) {
				require.Equal(t, a.document(), b.document())
			}
			for _, o := range []*operated{a, b} {
				if time.Now().Before(r.Withdrawn) {
					require.Contains(t, o.kids(), old, "some replica may still sign with it")
				} else {
					require.NotContains(t, o.kids(), old)
				}
			}
			nodes.take(t, signing)
		})
		nodes.requireForgotten(t, old)
		require.Equal(t, "retired", a.state(old))
		require.NotEmpty(t, a.next(), "there is always a published successor")
	})
}

func TestAKeyThatDoesNotSignCanBeRevoked(t *testing.T) {
	for name, pick := range map[string]func(a *operated) string{
		"the successor":               func(a *operated) string { return a.next() },
		"one whose tokens go on only": func(a *operated) string { old := a.signs(); a.rotate(); return old },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := twoReplicas(t, ``)
				kid := pick(a)
				time.Sleep(time.Minute)
				signing := a.both(b)[0]
				nodes := newCluster(a, b, signing)
				r := b.revoke(kid)
				require.Equal(t, signing, r.Signing, "nothing else changes for now")
				a.watch(b, 10*time.Minute, func(_ time.Duration, now [2]string) {
					want := signing
					if !time.Now().Before(r.FreshFrom) {
						want = r.Fresh
					}
					require.Equal(t, [2]string{want, want}, now)
					nodes.take(t, now)
				})
				nodes.requireForgotten(t, kid)
				require.NotContains(t, a.kids(), kid)
				require.NotContains(t, b.kids(), kid)
			})
		})
	}
}

// TestTheSuccessorOfARevokedKeyIsWaitedForIfNoCacheCanKnowIt: until then the revoked one signs.
func TestTheSuccessorOfARevokedKeyIsWaitedForIfNoCacheCanKnowIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twoReplicas(t, ``)
		first := a.rotate()
		time.Sleep(followed)
		nodes := newCluster(a, b, first.Signing)
		r := b.revoke(first.Signing)
		require.WithinDuration(t, first.At.Add(lead), r.At, time.Second)
		require.Equal(t, "signing", b.state(first.Signing))
		require.Equal(t, "next", b.state(r.Signing))
		require.Equal(t, "waiting", b.state(r.Fresh))
		a.watch(b, 15*time.Minute, func(_ time.Duration, signing [2]string) {
			want := first.Signing
			switch {
			case !time.Now().Before(r.FreshFrom):
				want = r.Fresh
			case !time.Now().Before(r.At):
				want = r.Signing
			}
			require.Equal(t, [2]string{want, want}, signing)
			nodes.take(t, signing)
		})
		nodes.requireForgotten(t, first.Signing)
		require.NotContains(t, a.kids(), first.Signing)
	})
}

func TestAKeyRevokedNowLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twoReplicas(t, ``)
		old, successor := a.signs(), a.next()
		nodes := newCluster(a, b, old)
		r := a.change("revoke", `{"kid":"`+old+`","now":true}`)
		require.Equal(t, r.At, r.Withdrawn)
		require.Equal(t, successor, a.signs())
		require.NotContains(t, a.kids(), old)
		time.Sleep(followed)
		require.NotContains(t, b.kids(), old)
		a.watch(b, 10*time.Minute, func(_ time.Duration, signing [2]string) {
			want := successor
			if !time.Now().Before(r.FreshFrom) {
				want = r.Fresh
			}
			require.Equal(t, [2]string{want, want}, signing)
			nodes.take(t, signing)
		})
		nodes.requireForgotten(t, old)
	})
}

func TestAllKeysAreRevokedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twoReplicas(t, ``)
		before := a.kids()
		nodes := newCluster(a, b, before[0])
		r := a.change("revoke", `{"all":true}`)
		require.ElementsMatch(t, before, r.Revoked)
		require.Equal(t, r.Fresh, r.Signing)
		require.Equal(t, r.Fresh, a.signs(), "at once")
		for _, kid := range before {
			require.NotContains(t, a.kids(), kid)
		}
		time.Sleep(followed)
		a.watch(b, 10*time.Minute, func(_ time.Duration, signing [2]string) {
			require.Equal(t, [2]string{r.Fresh, r.Fresh}, signing)
			require.Equal(t, a.document(), b.document())
			nodes.take(t, signing)
		})
		for _, kid := range before {
			nodes.requireForgotten(t, kid)
		}
		require.NotEmpty(t, b.next())

		again := b.change("revoke", `{"all":true}`)
		require.Contains(t, again.Revoked, r.Fresh)
		require.NotContains(t, again.Revoked, before[0], "what is revoked is revoked")
	})
}

func TestWhatCannotBeRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := storageKeys(``)
		keys["files"] = `{"source":"file","files":["` + keyFile(t, rsaKey()) + `"]}`
		a := startOperated(t, replicaConfig{storage: newMemory().view(t).config(), keys: keys})
		synctest.Wait()
		time.Sleep(time.Hour)
		document, old := a.document(), a.signs()
		refused := func(status int, path, body, complaint string) {
			t.Helper()
			got, answer := a.request(http.MethodPost, path, body)
			require.Equal(t, status, got, answer)
			require.Contains(t, answer, complaint)
		}
		refused(http.StatusConflict, "/default/revoke", `{"kid":"xyz"}`, `has no key "xyz": it has `)
		refused(http.StatusConflict, "/default/revoke", `{"kid":"xyz"}`, old)
		refused(http.StatusBadRequest, "/default/revoke", `{}`, `write {"kid": "…"} or {"all": true}`)
		refused(http.StatusBadRequest, "/default/revoke", ``, `write {"kid": "…"} or {"all": true}`)
		refused(http.StatusBadRequest, "/default/revoke", `{"kid":"`+old+`","all":true}`, "not both")
		refused(http.StatusBadRequest, "/default/revoke", `{"kd":"`+old+`"}`, "unknown field")
		refused(http.StatusNotFound, "/other/revoke", `{"all":true}`, `no key set "other"`)
		refused(http.StatusConflict, "/files/revoke", `{"all":true}`, "its keys are not Caddy's to make")
		refused(http.StatusConflict, "/files/rotate", ``, "its keys are not Caddy's to make")
		require.Equal(t, document, a.document())

		a.revoke(old)
		refused(http.StatusConflict, "/default/revoke", `{"kid":"`+old+`"}`, "was revoked already")
	})
}

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
				synctest.Test(t, func(t *testing.T) {
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
		"now":          {0, "it may be stored all the same, see `caddy elasticsearch-jwt keys`"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
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

// TestADecisionThatCannotBeReadIsNotOverwritten by another about the same key.
func TestADecisionThatCannotBeReadIsNotOverwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		a := startOperated(t, replicaConfig{storage: shared.view(t).config(), keys: storageKeys(`,"rotate_every":-1`)})
		v := shared.view(t)
		b := startOperated(t, replicaConfig{storage: v.config(), keys: storageKeys(`,"rotate_every":-1`)})
		synctest.Wait()
		time.Sleep(time.Hour)
		name := "elasticsearch_jwt/default/" + a.next() + ".promoted.json"
		v.set(func(v *view) { v.unreadable = name })
		a.rotate()
		stored := shared.read(name)
		require.NotEmpty(t, stored)
		for range 10 { // at first it waits for what it cannot read, and then goes on without it
			status, answer := b.request(http.MethodPost, "/default/rotate", "")
			require.Equal(t, http.StatusInternalServerError, status, answer)
			require.Contains(t, answer, name)
			require.Equal(t, stored, shared.read(name))
			time.Sleep(time.Minute)
		}
	})
}

// TestEmergenciesOnEveryReplicaAtOnce: with or without a lock that holds, they agree in the end.
func TestEmergenciesOnEveryReplicaAtOnce(t *testing.T) {
	for name, broken := range map[string]bool{"a lock that holds": false, "a lock that breaks": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
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
				synctest.Test(t, func(t *testing.T) {
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

// TestAStoredPromotionIsReadWithCare: what is damaged is not taken for something else, nor overwritten.
func TestAStoredPromotionIsReadWithCare(t *testing.T) {
	for name, damage := range map[string]func(object []byte) []byte{
		"truncated":       func(o []byte) []byte { return o[:len(o)/2] },
		"empty":           func([]byte) []byte { return nil },
		"more than one":   func(o []byte) []byte { return slices.Concat(o, o) },
		"a newer version": func(o []byte) []byte { return bytes.Replace(o, []byte(`"version": 1`), []byte(`"version": 2`), 1) },
		"of another key":  func(o []byte) []byte { return bytes.Replace(o, []byte(`"kid": "`), []byte(`"kid": "x`), 1) },
		"without a time":  func(o []byte) []byte { return bytes.Replace(o, []byte(`"at"`), []byte(`"when"`), 1) },
		"no instant":      func(o []byte) []byte { return bytes.Replace(o, []byte(`"at": "`), []byte(`"at": "x`), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := newMemory()
				a := startOperated(t, replicaConfig{storage: shared.view(t).config()})
				synctest.Wait()
				time.Sleep(time.Hour)
				kid := a.next()
				a.rotate()
				promotion := "elasticsearch_jwt/default/" + kid + ".promoted.json"
				damaged := damage(shared.read(promotion))
				shared.write(promotion, damaged)

				b := startOperated(t, replicaConfig{storage: shared.view(t).config()})
				synctest.Wait()
				time.Sleep(10 * time.Minute)
				require.Contains(t, b.logs.String(), kid+".promoted.json")
				require.Equal(t, kid, a.signs(b.replica), "who has read it knows")
				require.NotEqual(t, kid, b.signs(a.replica), "and who has not goes by the schedule")
				require.Equal(t, string(damaged), string(shared.read(promotion)))
			})
		})
	}
}
