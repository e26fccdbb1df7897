package esjwt_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

func TestAKeyThatSomebodyDeletedIsPublishedUntilARestart(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
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
			delete(members, "sha256") // of all other members, by name
			rest, err := json.Marshal(members)
			require.NoError(t, err)
			sum := sha256.Sum256(rest)
			members["sha256"] = hex.EncodeToString(sum[:])
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
		"truncated": {func(_ *testing.T, o []byte) []byte { return o[:len(o)/2] }, "it is not whole JSON"},
		"empty":     {func(*testing.T, []byte) []byte { return nil }, "it is not whole JSON"},
		"not JSON":  {func(*testing.T, []byte) []byte { return []byte("hello") }, "it is not whole JSON"},
		"two objects": {
			func(_ *testing.T, o []byte) []byte { return append(slices.Clone(o), o...) }, "it is not whole JSON",
		},
		"an array": {func(*testing.T, []byte) []byte { return []byte("[1]") }, "it is not whole JSON"},
		"null":     {func(*testing.T, []byte) []byte { return []byte("null") }, "its version is 0"},
		"of an older release": {
			edit(func(m map[string]any) { m["version"] = 2 }),
			"its version is 2 and this release reads version 3: was it written by an older one?",
		},
		"edited by hand": {func(_ *testing.T, o []byte) []byte {
			return bytes.Replace(o, []byte(`"turn": 1`), []byte(`"turn": 7`), 1)
		}, "its checksum does not fit"},
		"with a bit that is wrong": {func(_ *testing.T, o []byte) []byte {
			return bytes.Replace(o, []byte(`"created": "2`), []byte(`"created": "3`), 1)
		}, "its checksum does not fit"},
		"without its checksum": {func(_ *testing.T, o []byte) []byte {
			return bytes.Replace(o, []byte(`"sha256": "`), []byte(`"sha256": "x`), 1)
		}, "its checksum does not fit"},
		"with less than it had": {
			func(t *testing.T, o []byte) []byte { return without(t, o, "signs_from") }, "its checksum does not fit",
		},
		"with a key that nobody knows": {
			edit(func(m map[string]any) { m["replaces"] = []string{"nobody"} }), "which is no key that it knows",
		},
		"of a newer release": {
			edit(func(m map[string]any) { m["version"] = 4 }),
			"its version is 4 and this release reads version 3: was it written by a newer one?",
		},
		"without a version": {edit(func(m map[string]any) { delete(m, "version") }), "its version is 0"},
		"with a member that we lack": {
			edit(func(m map[string]any) { m["hsm"] = true }), "its members are not those of such an object",
		},
		"with a member twice, of which the last one fits the checksum": {func(_ *testing.T, o []byte) []byte {
			return bytes.Replace(o, []byte(`"turn": 1`), []byte(`"turn": 7, "turn": 1`), 1)
		}, "its members are not those of such an object"},
		"with an instant that is none": {
			edit(func(m map[string]any) { m["created"] = "yesterday" }), "its members are not those of such an object",
		},
		"without an instant": {
			edit(func(m map[string]any) { delete(m, "created") }), "its instants are missing or impossible",
		},
		"without a turn": {
			edit(func(m map[string]any) { m["turn"] = 0 }), "its instants are missing or impossible",
		},
		"with a negative grace": {
			edit(func(m map[string]any) { m["grace_seconds"] = -1 }), "its instants are missing or impossible",
		},
		"with an endless grace": {
			edit(func(m map[string]any) { m["grace_seconds"] = int64(1) << 62 }), "its instants are missing or impossible",
		},
		"with the last of all turns": {
			edit(func(m map[string]any) { m["turn"] = int64(1) << 62 }), "its instants are missing or impossible",
		},
		"with another kid": {edit(func(m map[string]any) { m["kid"] = "another" }), `its kid is \"another\"`},
		"with another key": {
			edit(func(m map[string]any) { m["key"], m["kid"] = otherJWK, thumbprint(t, other) }), "it holds the key " +
				thumbprint(t, other),
		},
		"without its key": {
			edit(func(m map[string]any) { delete(m, "key") }), "its key is not a valid private JWK",
		},
		"with a public key": {
			key(func(k map[string]any) { delete(k, "d") }), "its key is not a valid private JWK",
		},
		"with a private half of another": {key(func(k map[string]any) { k["d"] = otherJWK["d"] }), "private"},
		"with a public half of another": {
			key(func(k map[string]any) { k["x"], k["y"] = otherJWK["x"], otherJWK["y"] }), "",
		},
		"with a point that is on no curve": {
			key(func(k map[string]any) { k["x"] = k["y"] }), "its key is not a valid private JWK",
		},
		"with an algorithm of another": {
			key(func(k map[string]any) { k["alg"] = "RS256" }), "signs with ES256, not with RS256",
		},
		"with an algorithm for secrets": {key(func(k map[string]any) { k["alg"] = "HS256" }), "unknown algorithm"},
		"with a secret": {
			edit(func(m map[string]any) { m["key"] = map[string]any{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"} }),
			"its key is not a valid private JWK",
		},
	}
	for name, d := range damages {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
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

// without is an object that lost a member, and is whole JSON still.
func without(t *testing.T, object []byte, member string) []byte {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(object, &members))
	require.Contains(t, members, member)
	delete(members, member)
	less, err := json.Marshal(members)
	require.NoError(t, err)
	return less
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
	bubble.Test(t, func(t *testing.T) {
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

// TestAStorageThatIsReadByHalvesIsReadAgain: a replica that starts does not sign with an old key,
// nor publish a part of the keys, because it could not read the others yet.
func TestAStorageThatIsReadByHalvesIsReadAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
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

// TestAStoredRotationIsReadWithCare: if the key that says it is damaged, it is not taken for something else, nor
// overwritten. A replica that could not read it signs with no older key than one that could.
func TestAStoredRotationIsReadWithCare(t *testing.T) {
	for name, damage := range map[string]func(object []byte) []byte{
		"truncated":     func(o []byte) []byte { return o[:len(o)/2] },
		"empty":         func([]byte) []byte { return nil },
		"more than one": func(o []byte) []byte { return slices.Concat(o, o) },
		"a newer version": func(o []byte) []byte {
			return bytes.Replace(o, []byte(`"version": 3`), []byte(`"version": 4`), 1)
		},
		"of another key": func(o []byte) []byte {
			return bytes.Replace(o, []byte(`"promotes": "`), []byte(`"promotes": "x`), 1)
		},
		"without a time": func(o []byte) []byte {
			return bytes.Replace(o, []byte(`"promotes_from"`), []byte(`"when"`), 1)
		},
		"no instant": func(o []byte) []byte {
			return bytes.Replace(o, []byte(`"promotes_from": "`), []byte(`"promotes_from": "x`), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				shared := newMemory()
				a := startOperated(t, replicaConfig{storage: shared.view(t).config()})
				synctest.Wait()
				time.Sleep(time.Hour)
				kid, before := a.next(), shared.keys()
				a.rotate()
				made := slices.DeleteFunc(shared.keys(), func(name string) bool { return slices.Contains(before, name) })
				require.Len(t, made, 1, "a rotation is one object")
				damaged := damage(shared.read(made[0]))
				require.NotEqual(t, shared.read(made[0]), damaged)
				shared.write(made[0], damaged)

				b := startOperated(t, replicaConfig{storage: shared.view(t).config()})
				synctest.Wait()
				time.Sleep(10 * time.Minute)
				require.Contains(t, b.logs.String(), path.Base(made[0]))
				require.Equal(t, kid, a.signs(b.replica), "who has read it knows")
				require.Equal(t, kid, b.signs(a.replica), "and who has not signs with no key that is older")
				require.Equal(t, string(damaged), string(shared.read(made[0])))
			})
		})
	}
}

// TestADamagedRevocationIsShownAndHolds: a copy of it holds when Caddy starts again, the clients are served,
// and the API says which object is to be looked at.
func TestADamagedRevocationIsShownAndHolds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		before := startOperated(t, replicaConfig{storage: shared.view(t).config()})
		synctest.Wait()
		time.Sleep(time.Hour)
		stolen := before.signs()
		fresh := "elasticsearch_jwt/default/" + before.revoke(stolen).Fresh + ".json"
		before.stop()
		truncated := shared.read(fresh)[:100]
		shared.write(fresh, truncated)

		r := startOperated(t, replicaConfig{storage: shared.view(t).config()})
		synctest.Wait()
		for range 10 {
			require.NotEqual(t, stolen, r.signs())
			require.Contains(t, r.status().Problem, fresh)
			time.Sleep(time.Minute)
		}
		require.NotContains(t, r.kids(), stolen)
		require.Equal(t, "retired", r.state(stolen))
		require.NotZero(t, r.counted("key_unusable"))
		require.Equal(t, truncated, shared.read(fresh), "it is not overwritten")
	})
}
