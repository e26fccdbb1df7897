package esjwt_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

func TestARotationByHandSignsWithTheSuccessor(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
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
			bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
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

// TestWhatIsGivenUpAtOnceHasTheTimeOfTheDecision everywhere, though replicas whose clocks are behind go by an earlier
// one.
func TestWhatIsGivenUpAtOnceHasTheTimeOfTheDecision(t *testing.T) {
	for _, body := range []string{`{"kid":"KID","now":true}`, `{"all":true}`} {
		bubble.Test(t, func(t *testing.T) {
			a, b := twoReplicas(t, ``)
			old := a.signs()
			asked := time.Now().UTC().Truncate(time.Second)
			a.change("revoke", strings.Replace(body, "KID", old, 1))
			time.Sleep(followed)
			for _, replica := range []*operated{a, b} {
				for _, key := range replica.status().Keys {
					switch key.ID {
					case old:
						require.Equal(t, asked, key.Revoked.UTC())
						require.Equal(t, asked, key.Retires.UTC())
					case replica.signs():
						require.Equal(t, asked, key.SignsFrom.UTC())
					}
				}
				withdrawn := `"kid":"` + old + `","withdrawn":"` + asked.Format(time.RFC3339) + `"`
				require.Contains(t, replica.logs.String(), withdrawn)
			}
			code, answer := a.request(http.MethodPost, "/default/revoke", `{"kid":"`+old+`","now":true}`)
			require.Equal(t, http.StatusConflict, code)
			require.Contains(t, answer, "was revoked already, as of "+asked.Format(time.RFC3339))
		})
	}
}

func TestAllKeysAreRevokedAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
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
		refused(http.StatusBadRequest, "/default/revoke", `{"kid":"x","kid":"`+old+`"}`, `the member "kid" twice`)
		refused(http.StatusBadRequest, "/default/revoke", `{"kid":"`+old+`"} {"all":true}`, "after top-level value")
		refused(http.StatusNotFound, "/other/revoke", `{"all":true}`, `no key set "other"`)
		refused(http.StatusConflict, "/files/revoke", `{"all":true}`, "its keys are not Caddy's to make")
		refused(http.StatusConflict, "/files/rotate", ``, "its keys are not Caddy's to make")
		require.Equal(t, document, a.document())

		a.revoke(old)
		refused(http.StatusConflict, "/default/revoke", `{"kid":"`+old+`"}`, "was revoked already")
	})
}
