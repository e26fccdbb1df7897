package esjwt_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// settle lets the replicas poll their storage once more.
func settle() { time.Sleep(soon) }

// storageKeys are the settings of a default set with keys that are quick to make.
func storageKeys(settings string) map[string]string {
	return map[string]string{"default": `{"source":"storage","algorithm":"ES256"` + settings + `}`}
}

func TestKeysAreMadeOnFirstUseAndStoredOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		cluster := make([]*replica, count)
		for i := range cluster {
			cluster[i] = newReplica(t, replicaConfig{storage: shared.view(t).config()})
		}
		for _, r := range cluster {
			r.start()
			t.Cleanup(r.stop)
		}
		settle() // the first key counts as soon as it is read, before there is a successor
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
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		var cluster []*replica
		for range count {
			v := shared.view(t)
			v.set(func(v *view) { v.brokenLock = true })
			cluster = append(cluster, newReplica(t, replicaConfig{
				storage: v.config(),
				keys:    storageKeys(`,"rotate_every":"2h"`),
			}))
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
	bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		v := shared.view(t)
		sets := storageKeys("")
		sets["inner"] = `{"source":"storage","algorithm":"ES256"}`
		r := startReplica(t, replicaConfig{storage: v.config(), keys: sets, jwks: `"keys":["inner"]`})
		synctest.Wait()
		authorization, err := r.authorization()
		require.NoError(t, err)
		jws, err := jose.ParseSignedCompact(strings.TrimPrefix(authorization, "Bearer "),
			[]jose.SignatureAlgorithm{jose.ES256})
		require.NoError(t, err)
		inner := r.published()
		_, err = jws.Verify(&inner)
		require.Error(t, err)
		require.Len(t, shared.keys(), 4)
	})
}

func TestTheDefaultSetIsThereOnlyIfSomebodyUsesIt(t *testing.T) {
	key := keyFile(t, rsaKey())
	bubble.Test(t, func(t *testing.T) {
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

func TestKeysThatNeverRotateHaveASuccessorAllTheSame(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := startReplica(t, replicaConfig{storage: newMemory().view(t).config(), keys: storageKeys(`,"rotate_every":-1`)})
		document, kid := r.document(), r.signs()
		require.Len(t, r.kids(), 2)
		time.Sleep(5 * 24 * time.Hour)
		require.Equal(t, document, r.document())
		require.Equal(t, kid, r.signs())
	})
}
