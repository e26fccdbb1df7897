package esjwt_test

import (
	"context"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

// settle lets the replicas poll their storage once more.
func settle() { time.Sleep(soon) }

// storageKeys are the settings of a default set with keys that are quick to make.
func storageKeys(settings string) map[string]string {
	return map[string]string{"default": `{"source":"storage","algorithm":"ES256"` + settings + `}`}
}

func TestKeysAreMadeOnFirstUseAndStoredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		v := shared.view(t)
		r := newReplica(t, replicaConfig{storage: v.config()})
		synctest.Wait()
		require.Empty(t, shared.keys(), "nothing is written before Start")

		r.start()
		defer r.stop()
		require.Contains(t, r.kids(), r.signs())
		time.Sleep(24 * time.Hour)

		require.Equal(t, 2, shared.stored, "the key that signs and its successor, each written once")
		var names []string
		for _, kid := range r.kids() {
			names = append(names, "elasticsearch_jwt/default/"+kid+".json")
		}
		require.ElementsMatch(t, names, shared.keys())
		require.Empty(t, shared.locks, "the lock is released")
	})
}

func TestKeysSurviveARestart(t *testing.T) {
	root := t.TempDir()
	r := startReplica(t, replicaConfig{storage: folder(root)})
	document, kid := r.document(), r.signs()
	authorization, err := r.authorization()
	require.NoError(t, err)
	r.stop()

	// Another name for the same folder makes another state, as a new process has it.
	again := startReplica(t, replicaConfig{storage: folder(root + "/.")})
	require.Equal(t, document, again.document())
	require.Equal(t, kid, again.signs())
	same, err := again.authorization()
	require.NoError(t, err)
	require.Equal(t, authorization, same, "even the token is the same")
}

func TestKeysAndTokensSurviveAReload(t *testing.T) {
	s := newSceneOf(t, ecSite)
	client := s.httpClient(s.clients.client("alice", "analysts"))
	ask := func() string {
		require.Equal(t, http.StatusOK, s.get(client, "/").StatusCode)
		return s.token(s.upstream.last(t)).raw
	}
	before, document := ask(), s.get(client, jwksPath).body
	s.load(ecSite, s.replacements()...)
	require.Equal(t, document, s.get(client, jwksPath).body)
	require.Equal(t, before, ask())

	// What the set does next has changed; the keys that there are stay.
	changed := strings.Replace(ecSite, "algorithm ES256", "algorithm ES256\nrotate_every never", 1)
	s.load(changed, s.replacements()...)
	require.Equal(t, document, s.get(client, jwksPath).body)
	require.Equal(t, before, ask())

	// And so it is when Caddy starts again.
	require.NoError(t, caddy.Stop())
	s.load(ecSite, s.replacements()...)
	require.Equal(t, document, s.get(client, jwksPath).body)
	require.Equal(t, before, ask())
}

func TestReplicasOnOneStorageAreAlike(t *testing.T) {
	const count = 20
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		cluster := make([]*replica, count)
		for i := range cluster {
			cluster[i] = newReplica(t, replicaConfig{storage: shared.view(t).config()})
		}
		for _, r := range cluster {
			r.start()
			t.Cleanup(r.stop)
		}
		document := cluster[0].document()
		authorization, err := cluster[0].authorization()
		require.NoError(t, err)
		for _, r := range cluster {
			require.Equal(t, document, r.document())
			same, err := r.authorization()
			require.NoError(t, err)
			require.Equal(t, authorization, same)
		}
		require.Equal(t, 2, shared.stored, "the lock spared the others the work")
	})
}

func TestBrokenLocksDoNoHarm(t *testing.T) {
	const count = 8
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		var cluster []*replica
		for range count {
			v := shared.view(t)
			v.set(func(v *view) { v.brokenLock = true })
			cluster = append(cluster, newReplica(t, replicaConfig{storage: v.config(), keys: storageKeys(`,"rotate_every":"2h"`)}))
		}
		for _, r := range cluster {
			r.start()
			t.Cleanup(r.stop)
		}
		settle()
		settle()
		for range 20 {
			document := cluster[0].document()
			kid := cluster[0].signs(cluster...)
			for _, r := range cluster {
				require.Equal(t, document, r.document())
				require.Equal(t, kid, r.signs(cluster...))
			}
			time.Sleep(time.Hour + 7*time.Minute)
		}
	})
}

// TestRotationsOverTime: at any instant the token of any replica must verify with the JWKS of
// every replica, and with one that a cache has kept for as long as it may.
func TestRotationsOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		var cluster []*replica
		for range 3 {
			cluster = append(cluster, startReplica(t, replicaConfig{
				storage: shared.view(t).config(),
				keys:    storageKeys(`,"rotate_every":"1h","retire_after":"10m"`),
				jwks:    `"max_age":"5m"`,
			}))
		}
		settle()
		signed, published := make(map[string]bool), make(map[string]bool)
		for range 300 {
			for _, r := range cluster {
				cached := r.published()
				time.Sleep(time.Duration(rand.IntN(301)) * time.Second)
				for _, other := range cluster {
					kid := other.signs(cluster...)
					require.NotEmpty(t, cached.Key(kid), "a key that a cache cannot know yet signs")
					signed[kid] = true
				}
			}
			kids := cluster[0].kids()
			require.LessOrEqual(t, len(kids), 4, "keys retire")
			for _, kid := range kids {
				published[kid] = true
			}
		}
		require.Greater(t, len(signed), 20, "an hour each, for more than a day")
		require.LessOrEqual(t, len(published), len(signed)+2, "no key was made in vain")
	})
}

func TestSetsDoNotShareKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		v := shared.view(t)
		sets := storageKeys("")
		sets["inner"] = `{"source":"storage","algorithm":"ES256"}`
		r := startReplica(t, replicaConfig{storage: v.config(), keys: sets, jwks: `"keys":["inner"]`})
		synctest.Wait()
		authorization, err := r.authorization()
		require.NoError(t, err)
		jws, err := jose.ParseSignedCompact(strings.TrimPrefix(authorization, "Bearer "), []jose.SignatureAlgorithm{jose.ES256})
		require.NoError(t, err)
		inner := r.published()
		_, err = jws.Verify(&inner)
		require.Error(t, err)
		require.Len(t, shared.keys(), 4)
	})
}

func TestTheDefaultSetIsThereOnlyIfSomebodyUsesIt(t *testing.T) {
	key := keyFile(t, rsaKey())
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		ctx, err := caddy.ProvisionContext(&caddy.Config{
			Admin:      &caddy.AdminConfig{Disabled: true},
			StorageRaw: json.RawMessage(fmt.Sprintf(`{"module":"test","name":%q}`, shared.view(t).Name)),
			AppsRaw: caddy.ModuleMap{"elasticsearch_jwt": json.RawMessage(fmt.Sprintf(
				`{"keys":{"pinned":{"source":"file","files":[%q]}}}`, key))},
		})
		require.NoError(t, err)
		app, err := ctx.App("elasticsearch_jwt")
		require.NoError(t, err)
		require.NoError(t, app.(caddy.App).Start())
		synctest.Wait()
		require.NoError(t, app.(caddy.App).Stop())
		require.Empty(t, shared.keys())
	})
}

func TestAChangedAlgorithmIsThatOfTheNextSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		before := startReplica(t, replicaConfig{storage: shared.view(t).config(), keys: storageKeys(`,"rotate_every":"2h"`)})
		first := before.kidsAndAlgorithms()
		before.stop()

		after := startReplica(t, replicaConfig{storage: shared.view(t).config(), keys: map[string]string{
			"default": `{"source":"storage","algorithm":"ES384","rotate_every":"2h"}`,
		}})
		require.Equal(t, first, after.kidsAndAlgorithms(), "what is published stays")
		time.Sleep(2*time.Hour + 10*time.Minute)
		keys := after.kidsAndAlgorithms()
		require.Equal(t, first, keys[:2])
		require.Len(t, keys, 3)
		require.True(t, strings.HasPrefix(keys[2], "ES384 "))
	})
}

// TestAChangedAlgorithmIsToldWithTheTimeItTakes: once for each key that signs until then.
func TestAChangedAlgorithmIsToldWithTheTimeItTakes(t *testing.T) {
	type line struct {
		Msg, Signing, Configured string
		Rotations                int
		From                     float64
	}
	told := func(r *replica) (lines []line) {
		for text := range strings.Lines(r.logs.String()) {
			var l line
			require.NoError(t, json.Unmarshal([]byte(text), &l))
			if strings.Contains(l.Msg, "algorithm and size that are configured") {
				require.Contains(t, l.Msg, "`caddy elasticsearch-jwt rotate default`")
				lines = append(lines, l)
			}
		}
		return lines
	}
	es := func(algorithm, every string) map[string]string {
		return map[string]string{"default": `{"source":"storage","algorithm":"` + algorithm + `","rotate_every":` + every + `}`}
	}
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		start := time.Now()
		before := startReplica(t, replicaConfig{storage: shared.view(t).config(), keys: es("ES256", `"2h"`)})
		time.Sleep(time.Minute)
		require.Empty(t, told(before), "nothing has changed")
		before.stop()

		after := startOperated(t, replicaConfig{storage: shared.view(t).config(), keys: es("ES384", `"2h"`)})
		time.Sleep(time.Hour)
		require.Len(t, told(after.replica), 1)
		first := told(after.replica)[0]
		require.InDelta(t, start.Add(4*time.Hour).Unix(), first.From, 60)
		first.From = 0
		require.Equal(t, line{Msg: first.Msg, Signing: "ES256", Configured: "ES384", Rotations: 2}, first)
		time.Sleep(2 * time.Hour)
		require.Len(t, told(after.replica), 2)
		second := told(after.replica)[1]
		require.Equal(t, 1, second.Rotations)
		require.InDelta(t, start.Add(4*time.Hour).Unix(), second.From, 60)
		time.Sleep(30 * time.Hour)
		require.Len(t, told(after.replica), 2, "it has taken effect")
		require.Contains(t, after.kidsAndAlgorithms()[0], "ES384 ")
		after.stop()

		// To hurry, somebody rotates as often.
		never := startOperated(t, replicaConfig{storage: shared.view(t).config(), keys: es("ES256", "-1")})
		time.Sleep(time.Minute)
		require.Len(t, told(never.replica), 1)
		require.Zero(t, told(never.replica)[0].From, "if nobody does, it never takes effect")
		for range told(never.replica)[0].Rotations {
			never.rotate()
			time.Sleep(5 * time.Minute)
		}
		for _, key := range never.status().Keys {
			if key.State == "signing" {
				require.Equal(t, "ES256", key.Algorithm)
			}
		}
	})
}

func TestTheSizeOfAnRSAKeyIsPartOfWhatIsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		for i, size := range []string{"2048", "2048", "3072"} {
			r := startReplica(t, replicaConfig{storage: shared.view(t).config(), keys: map[string]string{"default": `{"source":"storage","key_size":` + size + `}`}})
			r.signs()
			synctest.Wait()
			r.stop()
			require.Equal(t, i == 2, strings.Contains(r.logs.String(), `"signing":"RS256 with 2048 bits","configured":"RS256 with 3072 bits"`))
		}
	})
}

func TestKeysThatNeverRotateHaveASuccessorAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startReplica(t, replicaConfig{storage: newMemory().view(t).config(), keys: storageKeys(`,"rotate_every":-1`)})
		document, kid := r.document(), r.signs()
		require.Len(t, r.kids(), 2)
		time.Sleep(5 * 24 * time.Hour)
		require.Equal(t, document, r.document())
		require.Equal(t, kid, r.signs())
	})
}

// noKeys checks that clients are refused, and quickly, because there are no keys.
func (r *replica) noKeys(within time.Duration) {
	r.t.Helper()
	asked := time.Now()
	require.Equal(r.t, "503 no_key", r.refusal())
	r.unavailable()
	require.LessOrEqual(r.t, time.Since(asked), within)
}

func TestAStorageThatFailsAtStartIsWaitedFor(t *testing.T) {
	failures := map[string]func(*view){
		"unreachable": func(v *view) { v.failure = errors.New("connection refused") },
		"read-only":   func(v *view) { v.readOnly = errors.New("read-only file system") },
		"forbidden":   func(v *view) { v.failure = os.ErrPermission },
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newMemory().view(t)
				v.set(fail)
				r := startReplica(t, replicaConfig{storage: v.config()})
				synctest.Wait()
				r.noKeys(0)
				time.Sleep(time.Hour)
				r.noKeys(0)
				require.Empty(t, v.memory.keys())

				log := r.logs.String()
				require.Contains(t, log, "no signing key: every request of an authenticated client gets 503 until there is one")
				require.Contains(t, log, "for Caddy", "and what to do")
				require.Contains(t, log, v.Name, "and which storage")
				require.Less(t, strings.Count(log, "no signing key"), 150, "not all the time")

				v.set(func(v *view) { v.failure, v.readOnly = nil, nil })
				settle()
				require.NotEmpty(t, r.signs(), "it recovers by itself")
				require.Len(t, r.kids(), 2)
			})
		})
	}
}

func TestAStorageThatHangsAtStartIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newMemory().view(t)
		hang := make(chan struct{})
		v.set(func(v *view) { v.hang = hang })
		r := startReplica(t, replicaConfig{storage: v.config()})
		r.noKeys(15 * time.Second)
		time.Sleep(time.Minute)
		r.noKeys(0)
		require.Contains(t, r.logs.String(), "no signing key")
		require.Contains(t, r.logs.String(), "gave no answer")

		v.set(func(v *view) { v.hang = nil })
		close(hang)
		settle()
		require.NotEmpty(t, r.signs(), "it recovers by itself")
	})
}

func TestAStorageThatHangsLaterKeepsNothingFromBeingServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newMemory().view(t)
		r := startReplica(t, replicaConfig{storage: v.config()})
		document, kid := r.document(), r.signs()
		hang := make(chan struct{})
		v.set(func(v *view) { v.hang = hang })
		time.Sleep(24 * time.Hour)
		require.Equal(t, document, r.document())
		require.Equal(t, kid, r.signs())
		require.Contains(t, r.logs.String(), "those at hand go on")
		require.Contains(t, r.logs.String(), "gave no answer")
		close(hang)
	})
}

func TestOtherSitesAreServedWhileTheStorageFails(t *testing.T) {
	storage := filepath.Join(t.TempDir(), "storage")
	require.NoError(t, os.WriteFile(storage, nil, 0o600)) // a file, where there should be a folder
	const caddyfile = `{
	admin off
	storage file_system {{root}}
	auto_https disable_redirects
	elasticsearch_jwt {
		keys default storage {
			algorithm ES256
		}
	}
}
{{site}} {
	tls {{tls}} {
		client_auth {
			mode verify_if_given
			trust_pool file {{clients}}
		}
	}
	respond /hello "hello"
	handle /es/* {
		elasticsearch_jwt {
			issuer   https://es.example.com
			audience https://elasticsearch.example.com:9200
		}
		reverse_proxy {{upstream}}
	}
	handle {
		elasticsearch_jwks
	}
	handle_errors {
		header X-Reason {http.elasticsearch_jwt.reason}
		respond {err.status_code}
	}
}
`
	s := newSceneOf(t, caddyfile, "{{root}}", storage)
	client := s.httpClient(s.clients.client("alice"))
	require.Equal(t, "hello", s.get(client, "/hello").body)

	a := s.get(client, "/es/")
	require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
	require.Equal(t, "no_key", a.Header.Get("X-Reason"))
	a = s.get(client, jwksPath)
	require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	require.Equal(t, "5", a.Header.Get("Retry-After"))
	s.upstream.requireNone(t)
	require.Contains(t, s.logs.String(), "no signing key")
	require.Contains(t, s.logs.String(), storage)

	require.NoError(t, os.Remove(storage))
	eventually(t, func() bool { return s.get(client, "/es/").StatusCode == http.StatusOK }, "it recovers by itself")
	require.Equal(t, "alice []", s.token(s.upstream.last(t)).who())
}

func TestAStorageThatFailsLaterIsAWarningAndNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newMemory().view(t)
		config := replicaConfig{storage: v.config(), keys: storageKeys(`,"rotate_every":"2h"`)}
		r := startReplica(t, config)
		first, kids := r.signs(), r.kids()
		v.set(func(v *view) { v.failure = errors.New("connection refused") })

		time.Sleep(time.Hour)
		require.Equal(t, first, r.signs())
		require.Equal(t, kids, r.kids())
		require.Contains(t, r.logs.String(), "those at hand go on")
		require.NotContains(t, r.logs.String(), "no signing key")

		// A reload takes the keys with it.
		reloaded := startReplica(t, config)
		r.stop()
		require.Equal(t, first, reloaded.signs())
		require.Equal(t, kids, reloaded.kids())

		// The successor is known and signs when its turn comes; it goes on for longer than
		// planned, since nobody can make the next.
		time.Sleep(10 * time.Hour)
		second := reloaded.signs()
		require.Contains(t, kids, second)
		require.NotEqual(t, first, second)
		require.Equal(t, []string{second}, reloaded.kids())

		// When the storage is back, the next key is published for long enough before it signs.
		v.set(func(v *view) { v.failure = nil })
		settle()
		require.Len(t, reloaded.kids(), 2)
		require.Equal(t, second, reloaded.signs())
		time.Sleep(time.Minute)
		require.Equal(t, second, reloaded.signs(), "caches do not know it yet")
		time.Sleep(20 * time.Minute)
		require.NotEqual(t, second, reloaded.signs())
	})
}

func TestAStorageThatIsReadOnlyServesTheKeysThatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		writer := startReplica(t, replicaConfig{storage: shared.view(t).config()})
		document, kid := writer.document(), writer.signs()
		writer.stop()

		v := shared.view(t)
		v.set(func(v *view) { v.readOnly = errors.New("read-only file system") })
		r := startReplica(t, replicaConfig{storage: v.config()})
		require.Equal(t, document, r.document())
		require.Equal(t, kid, r.signs())
		time.Sleep(time.Hour)
		require.NotContains(t, r.logs.String(), `"level":"warn"`, "there is nothing to write yet")
	})
}

func TestStaleReadsTakeNothingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		v := shared.view(t)
		r := startReplica(t, replicaConfig{storage: v.config()})
		document, kid := r.document(), r.signs()

		// The storage forgets everything, or lists it only after hours.
		v.set(func(v *view) { v.stale = []string{} })
		time.Sleep(3 * time.Hour)
		require.Equal(t, document, r.document())
		require.Equal(t, kid, r.signs())
		require.Equal(t, 2, shared.stored)

		// A replica that starts with such a storage makes keys of its own, but not for ever.
		stale := shared.view(t)
		stale.set(func(v *view) { v.stale = []string{} })
		other := startReplica(t, replicaConfig{storage: stale.config()})
		settle()
		settle()
		require.Len(t, other.kids(), 2)
		require.Equal(t, 4, shared.stored)

		// Once both see everything, they agree again.
		for _, v := range []*view{v, stale} {
			v.set(func(v *view) { v.stale = nil })
		}
		settle()
		require.Equal(t, r.document(), other.document())
		require.Equal(t, r.signs(other), other.signs(r))
		require.Len(t, r.kids(), 4)
	})
}

func TestAKeyThatSomebodyDeletedIsPublishedUntilARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		r := startReplica(t, replicaConfig{storage: shared.view(t).config()})
		document := r.document()
		for _, name := range shared.keys() {
			shared.remove(name)
		}
		settle()
		require.Equal(t, document, r.document())
	})
}

func TestADamagedKeyIsNamedAndNotOverwritten(t *testing.T) {
	edit := func(change func(map[string]any)) func(*testing.T, []byte) []byte {
		return func(t *testing.T, object []byte) []byte {
			var members map[string]any
			require.NoError(t, json.Unmarshal(object, &members))
			change(members)
			edited, err := json.Marshal(members)
			require.NoError(t, err)
			return edited
		}
	}
	key := func(change func(map[string]any)) func(*testing.T, []byte) []byte {
		return edit(func(m map[string]any) { change(m["key"].(map[string]any)) })
	}
	other := ecKey(t, elliptic.P256())
	otherJWK := make(map[string]any)
	require.NoError(t, json.Unmarshal(jwk(t, other, jose.ES256), &otherJWK))

	damages := map[string]struct {
		damage func(*testing.T, []byte) []byte
		says   string
	}{
		"truncated":                        {func(_ *testing.T, o []byte) []byte { return o[:len(o)/2] }, "it is not whole JSON"},
		"empty":                            {func(*testing.T, []byte) []byte { return nil }, "it is not whole JSON"},
		"not JSON":                         {func(*testing.T, []byte) []byte { return []byte("hello") }, "it is not whole JSON"},
		"two objects":                      {func(_ *testing.T, o []byte) []byte { return append(slices.Clone(o), o...) }, "it is not whole JSON"},
		"an array":                         {func(*testing.T, []byte) []byte { return []byte("[1]") }, "it is not whole JSON"},
		"null":                             {func(*testing.T, []byte) []byte { return []byte("null") }, "its version is 0"},
		"of a newer release":               {edit(func(m map[string]any) { m["version"] = 2 }), "its version is 2 and this release reads version 1: was it written by a newer one?"},
		"without a version":                {edit(func(m map[string]any) { delete(m, "version") }), "its version is 0"},
		"with a member that we lack":       {edit(func(m map[string]any) { m["hsm"] = true }), "its members are not those of a stored key"},
		"with an instant that is none":     {edit(func(m map[string]any) { m["created"] = "yesterday" }), "its members are not those of a stored key"},
		"without an instant":               {edit(func(m map[string]any) { delete(m, "created") }), "its instants are missing or impossible"},
		"without a turn":                   {edit(func(m map[string]any) { m["turn"] = 0 }), "its instants are missing or impossible"},
		"with a negative grace":            {edit(func(m map[string]any) { m["grace_seconds"] = -1 }), "its instants are missing or impossible"},
		"with an endless grace":            {edit(func(m map[string]any) { m["grace_seconds"] = int64(1) << 62 }), "its instants are missing or impossible"},
		"with the last of all turns":       {edit(func(m map[string]any) { m["turn"] = int64(1) << 62 }), "its instants are missing or impossible"},
		"with another kid":                 {edit(func(m map[string]any) { m["kid"] = "another" }), `its kid is \"another\"`},
		"with another key":                 {edit(func(m map[string]any) { m["key"], m["kid"] = otherJWK, thumbprint(t, other) }), "it holds the key " + thumbprint(t, other)},
		"without its key":                  {edit(func(m map[string]any) { delete(m, "key") }), "its key is not a valid private JWK"},
		"with a public key":                {key(func(k map[string]any) { delete(k, "d") }), "its key is not a valid private JWK"},
		"with a private half of another":   {key(func(k map[string]any) { k["d"] = otherJWK["d"] }), "private"},
		"with a public half of another":    {key(func(k map[string]any) { k["x"], k["y"] = otherJWK["x"], otherJWK["y"] }), ""},
		"with a point that is on no curve": {key(func(k map[string]any) { k["x"] = k["y"] }), "its key is not a valid private JWK"},
		"with an algorithm of another":     {key(func(k map[string]any) { k["alg"] = "RS256" }), "signs with ES256, not with RS256"},
		"with an algorithm for secrets":    {key(func(k map[string]any) { k["alg"] = "HS256" }), "unknown algorithm"},
		"with a secret":                    {edit(func(m map[string]any) { m["key"] = map[string]any{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"} }), "its key is not a valid private JWK"},
	}
	for name, d := range damages {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := newMemory()
				first := startReplica(t, replicaConfig{storage: shared.view(t).config()})
				kids, signs := first.kids(), first.signs()
				first.stop()
				signing := "elasticsearch_jwt/default/" + signs + ".json"
				kids = slices.DeleteFunc(kids, func(kid string) bool { return kid == signs })
				require.Len(t, kids, 1)
				whole := shared.read(signing)
				damaged := d.damage(t, whole)
				shared.write(signing, damaged)

				// With its successor there is a key to sign with.
				r := startReplica(t, replicaConfig{storage: shared.view(t).config()})
				time.Sleep(time.Hour)
				require.Equal(t, kids[0], r.signs())
				requireSays(t, r, signing, d.says, whole)
				require.Equal(t, 1, strings.Count(r.logs.String(), "the others go on"), "it is said once")
				require.Equal(t, damaged, shared.read(signing))
				r.stop()

				// Alone, it must be looked at by somebody: a new key could mean that the storage
				// is not the one that the cluster's keys are in.
				for _, name := range shared.keys() {
					if name != signing {
						shared.remove(name)
					}
				}
				before := shared.stored
				r = startReplica(t, replicaConfig{storage: shared.view(t).config()})
				settle()
				r.noKeys(0)
				requireSays(t, r, signing, d.says, whole)
				require.Contains(t, r.logs.String(), "restore it from a backup")
				require.Equal(t, damaged, shared.read(signing))
				require.Equal(t, before, shared.stored, "nothing is overwritten, and nothing is added")

				shared.write(signing, whole)
				settle()
				require.Equal(t, signs, r.signs(), "restored from a backup")
			})
		})
	}
}

// requireSays checks that the log names a stored object and what is wrong with it, and shows
// nothing of the key.
func requireSays(t *testing.T, r *replica, name, says string, object []byte) {
	t.Helper()
	log := r.logs.String()
	require.Contains(t, log, name)
	require.Contains(t, log, says)
	require.Contains(t, log, "is not usable")
	var stored struct {
		Key struct {
			D string `json:"d"`
		} `json:"key"`
	}
	require.NoError(t, json.Unmarshal(object, &stored))
	require.NotEmpty(t, stored.Key.D)
	require.NotContains(t, log, stored.Key.D)
	require.NotContains(t, log, `\"d\"`)
}

func TestWhatElseLiesInTheFolderIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		for _, name := range []string{"README", "notes.txt", "x.json.bak", ".json.swp"} {
			shared.write("elasticsearch_jwt/default/"+name, []byte("hello"))
		}
		shared.write("elasticsearch_jwt/default/old/x.json", []byte("hello"))
		r := startReplica(t, replicaConfig{storage: shared.view(t).config()})
		require.NotEmpty(t, r.signs())
		require.NotContains(t, r.logs.String(), "not usable")
		require.Equal(t, []byte("hello"), shared.read("elasticsearch_jwt/default/notes.txt"))
	})
}

func TestAFailingLockIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory()
		shared.locks["elasticsearch_jwt_default"] = true // of a replica that is gone, in a storage that never notices
		r := startReplica(t, replicaConfig{storage: shared.view(t).config()})
		time.Sleep(time.Minute)
		r.noKeys(0)
		require.Contains(t, r.logs.String(), "to make a key")
		require.Contains(t, r.logs.String(), context.DeadlineExceeded.Error())

		shared.mu.Lock()
		delete(shared.locks, "elasticsearch_jwt_default")
		shared.mu.Unlock()
		settle()
		require.NotEmpty(t, r.signs())
	})
}

func TestRequestsThatComeBeforeTheFirstKeyWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newMemory().view(t)
		hang := make(chan struct{})
		v.set(func(v *view) { v.hang = hang })
		r := startReplica(t, replicaConfig{storage: v.config()})
		var clients sync.WaitGroup
		for range 50 {
			clients.Go(func() {
				_, err := r.authorization()
				if err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(5 * time.Second)
		v.set(func(v *view) { v.hang = nil })
		close(hang)
		clients.Wait()
	})
}

func TestStoppingDoesNotWaitForAStorageThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newMemory().view(t)
		hang := make(chan struct{})
		v.set(func(v *view) { v.hang = hang })
		r := startReplica(t, replicaConfig{storage: v.config()})
		synctest.Wait()
		stopped := time.Now()
		r.stop()
		require.Less(t, time.Since(stopped), 10*time.Second)
		close(hang)
	})
}

// TestAStorageThatIsReadByHalvesIsReadAgain: a replica that starts does not sign with an old key,
// nor publish a part of the keys, because it could not read the others yet.
func TestAStorageThatIsReadByHalvesIsReadAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		shared := newMemory()
		settings := storageKeys(`,"rotate_every":"2h"`)
		first := startReplica(t, replicaConfig{storage: shared.view(t).config(), keys: settings})
		time.Sleep(2*time.Hour + 10*time.Minute)
		document, signs := first.document(), first.signs()
		require.Len(t, first.kids(), 3)
		unreadable := func() *view {
			v := shared.view(t)
			v.set(func(v *view) { v.unreadable = "elasticsearch_jwt/default/" + signs + ".json" })
			return v
		}

		v := unreadable()
		r := startReplica(t, replicaConfig{storage: v.config(), keys: settings})
		synctest.Wait()
		r.unavailable()
		require.Contains(t, r.logs.String(), "make it reachable and readable for Caddy")
		v.set(func(v *view) { v.unreadable = "" })
		time.Sleep(5 * time.Second)
		require.Equal(t, document, r.document())
		require.Equal(t, signs, r.signs(first))

		// One that Caddy may never read must not keep it from serving for ever.
		r = startReplica(t, replicaConfig{storage: unreadable().config(), keys: settings})
		time.Sleep(time.Minute)
		require.Len(t, r.kids(), 2)
		require.Equal(t, 1, strings.Count(r.logs.String(), "the others go on"))
	})
}
