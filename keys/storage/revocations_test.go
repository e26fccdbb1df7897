package storage

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// objects is a storage in memory, some of whose objects cannot be loaded.
type objects struct {
	certmagic.Storage // has no more than what follows

	held   map[string][]byte
	closed map[string]bool
}

func newObjects() *objects { return &objects{held: map[string][]byte{}, closed: map[string]bool{}} }

func (*objects) Lock(context.Context, string) error   { return nil }
func (*objects) Unlock(context.Context, string) error { return nil }

func (o *objects) Store(_ context.Context, name string, object []byte) error {
	o.held[name] = slices.Clone(object)
	return nil
}

func (o *objects) Load(_ context.Context, name string) ([]byte, error) {
	object, ok := o.held[name]
	switch {
	case o.closed[name]:
		return nil, fs.ErrPermission
	case !ok:
		return nil, fs.ErrNotExist
	}
	return object, nil
}

func (o *objects) Delete(_ context.Context, name string) error {
	delete(o.held, name)
	return nil
}

func (o *objects) List(context.Context, string, bool) ([]string, error) { return o.names(), nil }

func (o *objects) names() []string { return slices.Sorted(maps.Keys(o.held)) }

// after is the same storage, after something was done to it.
func (o *objects) after(do func(*objects)) *objects {
	other := &objects{held: maps.Clone(o.held), closed: maps.Clone(o.closed)}
	do(other)
	return other
}

// started is a source of keys of a process that starts.
func started(t testing.TB, storage certmagic.Storage) *Source {
	t.Helper()
	s := &Source{Algorithm: "ES256", logger: zap.NewNop()}
	s.setFolder(newFolder(storage, zap.NewNop()))
	s.SetName("default")
	require.NoError(t, s.check())
	s.setDefaults()
	return s
}

// logged has what a source warns of.
func logged(s *Source) *observer.ObservedLogs {
	core, logs := observer.New(zapcore.WarnLevel)
	s.folder.logger = zap.New(core)
	return logs
}

func needsAt(since time.Duration) keys.Needs {
	return keys.Needs{Now: instant(since), Lifetime: 10 * time.Minute, MaxAge: time.Minute}
}

// asked is what a source says: of a storage that is read by halves, when it was asked for long enough.
func asked(t testing.TB, s *Source, needs keys.Needs) *keyset.Schedule {
	t.Helper()
	for range patience - 1 {
		if records, err := keysOf(t, s, needs); err == nil {
			return keyset.NewSchedule(records)
		}
	}
	records, err := keysOf(t, s, needs)
	require.NoError(t, err)
	return keyset.NewSchedule(records)
}

// emergency is a set in which a key was revoked an hour after it began.
type emergency struct {
	storage      *objects
	source       *Source
	before       *objects // what was stored before
	revoked      []string
	stays        string // the successor that was there before, if it is not revoked
	fresh        string
	since, until time.Duration // the revocation holds; the fresh key signs
}

var revokers = map[string]func(*Source, context.Context, string, keys.Needs) (keys.Rotation, error){
	"revoke": func(s *Source, ctx context.Context, kid string, needs keys.Needs) (keys.Rotation, error) {
		return s.Revoke(ctx, kid, false, needs)
	},
	"revoke --now": func(s *Source, ctx context.Context, kid string, needs keys.Needs) (keys.Rotation, error) {
		return s.Revoke(ctx, kid, true, needs)
	},
	"revoke --all": func(s *Source, ctx context.Context, _ string, needs keys.Needs) (keys.Rotation, error) {
		return s.RevokeAll(ctx, needs)
	},
}

func newEmergency(t testing.TB, command string) *emergency {
	t.Helper()
	e := &emergency{storage: newObjects(), since: time.Hour, until: time.Hour + 10*time.Minute}
	e.source = started(t, e.storage)
	all := asked(t, e.source, needsAt(0))
	signing := all.Signing(instant(0)).ID
	e.stays = all.Records[1].ID
	e.before = e.storage.after(func(*objects) {})
	r, err := revokers[command](e.source, t.Context(), signing, needsAt(e.since))
	require.NoError(t, err)
	e.revoked, e.fresh = r.Revoked, r.Fresh
	if command == "revoke --all" {
		e.stays = ""
	}
	require.Contains(t, e.revoked, signing)
	return e
}

// name is the name of a stored object of a kind.
func objectName(kid, kind string) string { return path.Join("elasticsearch_jwt/default", kid+kind) }

// requireRevoked requires that what was revoked does not sign in a process that starts now, nor later,
// and is not in the JWKS once it should have left it.
func (e *emergency) requireRevoked(t *testing.T, storage *objects) *keyset.Schedule {
	t.Helper()
	s := started(t, storage)
	var all *keyset.Schedule
	for _, since := range []time.Duration{
		e.since, e.since + time.Minute, e.until, e.until + 10*time.Minute,
		2 * 24 * time.Hour,
	} {
		all = asked(t, s, needsAt(since))
		signing := all.Signing(instant(since))
		require.NotNil(t, signing)
		require.NotContains(t, e.revoked, signing.ID, "it signs again after %s", since)
		if since >= e.until {
			require.Empty(t, intersection(e.revoked, shown(all.Published(instant(since)))))
		}
	}
	return all
}

func intersection(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(id string) bool { return !slices.Contains(b, id) })
}

// damages are what can happen to a stored object.
var damages = map[string]func(o *objects, name string){
	"gone":       func(o *objects, name string) { delete(o.held, name) },
	"truncated":  func(o *objects, name string) { o.held[name] = o.held[name][:len(o.held[name])/2] },
	"empty":      func(o *objects, name string) { o.held[name] = nil },
	"unreadable": func(o *objects, name string) { o.closed[name] = true },
	"rotten": func(o *objects, name string) {
		o.held[name] = bytes.Replace(o.held[name], []byte(`"replaces": [`), []byte(`"replaces": ["x",`), 1)
		o.held[name] = bytes.Replace(o.held[name], []byte(`"sha256": "`), []byte(`"sha256": "0`), 1)
	},
	"of a newer release": func(o *objects, name string) {
		o.held[name] = ofVersion(o.held[name], storedVersion+1)
	},
}

// TestARevocationOutlivesEachObject: the one that holds a revocation can be truncated, not Caddy's to
// read (root's, after a restore) or gone when Caddy starts again. So can each other one.
func TestARevocationOutlivesEachObject(t *testing.T) {
	for command := range revokers {
		for how, damage := range damages {
			t.Run(command+", "+how, func(t *testing.T) {
				e := newEmergency(t, command)
				e.requireRevoked(t, e.storage.after(func(*objects) {}))
				for _, name := range e.storage.names() {
					e.requireRevoked(t, e.storage.after(func(o *objects) { damage(o, name) }))
				}
			})
		}
	}
}

// TestYoungerKeysRestateARevocation: it outlives the loss of both of its objects.
func TestYoungerKeysRestateARevocation(t *testing.T) {
	for command := range revokers {
		for how, damage := range damages {
			t.Run(command+", "+how, func(t *testing.T) {
				e := newEmergency(t, command)
				asked(t, e.source, needsAt(e.until)) // the fresh key signs, and its successor is made
				e.requireRevoked(t, e.storage.after(func(o *objects) {
					damage(o, objectName(e.fresh, keySuffix))
					damage(o, objectName(e.fresh, revokesSuffix))
				}))
			})
		}
	}
}

// TestNoOldKeyBeginsToSignWhileAnObjectCannotBeRead that could revoke it, nor once that is removed: the
// newest that can be read does.
func TestNoOldKeyBeginsToSignWhileAnObjectCannotBeRead(t *testing.T) {
	for how, damage := range damages {
		if how == "gone" {
			continue
		}
		for _, command := range []string{"revoke", "revoke --now"} {
			t.Run(command+", "+how, func(t *testing.T) {
				e := newEmergency(t, command)
				fresh, copied := objectName(e.fresh, keySuffix), objectName(e.fresh, revokesSuffix)
				storage := e.storage.after(func(o *objects) { damage(o, fresh); damage(o, copied) })
				for range 5 { // each restart decides the same, and makes no more keys
					s := started(t, storage)
					require.Equal(t, e.stays, asked(t, s, needsAt(e.since)).Signing(instant(e.since)).ID)
					require.ErrorContains(t, s.problem, fresh)
				}
				require.Len(t, storage.held, 5, "the two keys, what cannot be read, and a successor for the one that signs")
				removed := storage.after(func(o *objects) { delete(o.held, fresh); delete(o.held, copied) })
				for _, since := range []time.Duration{e.since, e.until, 24 * time.Hour} {
					s := started(t, removed)
					require.Equal(t, e.stays, asked(t, s, needsAt(since)).Signing(instant(since)).ID)
				}
				// Restored, it counts again.
				storage.held[fresh], storage.closed = e.storage.held[fresh], nil
				all := asked(t, started(t, storage), needsAt(e.until))
				require.Contains(t, kids(all.Records), e.fresh)
				require.Equal(t, e.fresh, all.Signing(instant(e.until)).ID)
			})
		}
	}
}

// TestAnObjectThatCannotBeReadTakesNothingFromARunningReplica: the key that signs goes on.
func TestAnObjectThatCannotBeReadTakesNothingFromARunningReplica(t *testing.T) {
	for _, kind := range []string{keySuffix, revokesSuffix} {
		t.Run(kind, func(t *testing.T) {
			storage := newObjects()
			s := started(t, storage)
			all := asked(t, s, needsAt(0))
			signing, next := all.Records[0].ID, all.Records[1].ID
			storage.held[objectName(strings.Repeat("x", 43), kind)] = []byte("hello")
			needs := needsAt(time.Hour)
			needs.Known = all.Records
			all = asked(t, s, needs)
			require.Equal(t, signing, all.Signing(needs.Now).ID)
			require.Len(t, all.Records, 2)

			// So it does for a configuration that is loaded now.
			needs.Known = all.Records
			all = asked(t, started(t, storage), needs)
			require.Equal(t, signing, all.Signing(needs.Now).ID)
			require.Len(t, all.Records, 2)

			// A process that starts knows none that signs.
			require.Equal(t, next, asked(t, started(t, storage), needsAt(time.Hour)).Signing(needs.Now).ID)
		})
	}
}

// TestObjectsOfOtherProgramsAreNoKeys: a file server or a program that synchronizes folders puts objects of its own
// beside the keys, of which none could revoke a key (cryptomator/cryptofs#73, syncthing/syncthing#7857).
func TestObjectsOfOtherProgramsAreNoKeys(t *testing.T) {
	storage := newObjects()
	s := started(t, storage)
	all := asked(t, s, needsAt(0))
	signing := all.Records[0].ID
	object := storage.held[objectName(signing, keySuffix)]
	for _, name := range []string{
		"._" + signing, signing + ".sync-conflict-20261127-120000-ABC", signing + " (1)", "notes", "",
	} {
		storage.held[objectName(name, keySuffix)] = object
		storage.held[objectName(name, revokesSuffix)] = []byte("hello")
	}
	fresh := started(t, storage)
	answer, err := fresh.Keys(t.Context(), needsAt(time.Hour))
	require.NoError(t, err)
	require.NoError(t, answer.Problem)
	require.Equal(t, signing, keyset.NewSchedule(answer.Timed).Signing(instant(time.Hour)).ID)
	require.Len(t, answer.Timed, 2)
}

// TestAnOldObjectThatCannotBeReadChangesNothing: younger keys know what it said.
func TestAnOldObjectThatCannotBeReadChangesNothing(t *testing.T) {
	storage := newObjects()
	s := started(t, storage)
	var all *keyset.Schedule
	for day := range 100 { // three rotations
		all = asked(t, s, needsAt(time.Duration(day)*24*time.Hour))
	}
	now := needsAt(99 * 24 * time.Hour)
	signing := all.Signing(now.Now).ID
	for _, r := range all.Records {
		if r.ID == signing || r.Turn > 4 {
			continue
		}
		for how, damage := range damages {
			t.Run(how, func(t *testing.T) {
				storage := storage.after(func(o *objects) { damage(o, objectName(r.ID, keySuffix)) })
				before := len(storage.held)
				require.Equal(t, signing, asked(t, started(t, storage), now).Signing(now.Now).ID)
				require.Len(t, storage.held, before)
			})
		}
	}
}

// TestABackupThatIsRestoredMeetsWhatRunningReplicasKnow: they store the revocation again, whether they
// have been told to load their configuration again since or not, and say so.
func TestABackupThatIsRestoredMeetsWhatRunningReplicasKnow(t *testing.T) {
	for command := range revokers {
		t.Run(command, func(t *testing.T) {
			e := newEmergency(t, command)
			needs := needsAt(e.until)
			needs.Known = asked(t, e.source, needs).Records
			for name, running := range map[string]*Source{"running": e.source, "reloaded": started(t, e.before)} {
				logs := logged(running)
				storage := e.before.after(func(*objects) {})
				running.folder.storage = storage
				asked(t, running, needs)
				asked(t, running, needs)
				lost := logs.FilterMessageSnippet("has lost a revocation, which is stored again: if a backup was restored, " +
					"revoke again")
				require.Equal(t, 1, lost.Len(), "%s: it says it once", name)
				require.Contains(t, storage.names(), objectName(e.fresh, revokesSuffix))
				e.requireRevoked(t, storage)
			}
		})
	}
}

// TestARevokedKeyThatComesBackLongAfterIsRevoked, though nobody has known it for years.
func TestARevokedKeyThatComesBackLongAfterIsRevoked(t *testing.T) {
	for command := range revokers {
		t.Run(command, func(t *testing.T) {
			e := newEmergency(t, command)
			last := 3 * 365 * 24 * time.Hour
			for since := e.since; since < last; since += 24 * time.Hour {
				asked(t, e.source, needsAt(since))
			}
			names := e.storage.names()
			require.NotContains(t, names, objectName(e.fresh, keySuffix))
			require.NotContains(t, names, objectName(e.revoked[0], keySuffix))
			require.Contains(t, names, objectName(e.fresh, revokesSuffix))
			require.Len(t, names, 6)
			for name, object := range e.storage.held {
				require.Less(t, len(object), 2000, "%s: a set that rotates for years does not grow", name)
			}

			maps.Copy(e.storage.held, e.before.held)
			all := asked(t, started(t, e.storage), needsAt(last))
			for i := range all.Records {
				if r := &all.Records[i]; slices.Contains(e.revoked, r.ID) {
					require.True(t, r.RevokedAt(instant(last)))
				}
			}
			for _, name := range e.storage.names() { // and if nothing else is left
				if _, old := e.before.held[name]; !old && !strings.HasSuffix(name, revokesSuffix) {
					delete(e.storage.held, name)
				}
			}
			e.requireRevoked(t, e.storage)
		})
	}
}

// TestAFreshKeyThatIsLostIsMadeAnew: clusters must read the JWKS again, to forget what was revoked.
func TestAFreshKeyThatIsLostIsMadeAnew(t *testing.T) {
	for command := range revokers {
		t.Run(command, func(t *testing.T) {
			e := newEmergency(t, command)
			delete(e.storage.held, objectName(e.fresh, keySuffix))
			s := started(t, e.storage)
			var node []string
			for since := e.since; since < e.since+15*time.Minute; since += 5 * time.Second {
				all := asked(t, s, needsAt(since))
				if signing := all.Signing(instant(since)); !slices.Contains(node, signing.ID) {
					node = shown(all.Published(instant(since)))
					require.Contains(t, node, signing.ID)
				}
			}
			require.Empty(t, intersection(e.revoked, node), "a node trusts it still")
			require.NotContains(t, node, e.fresh)
		})
	}
}

// TestAFreshKeyIsMadeAnewThoughThereIsAYoungerKey: that one was in the JWKS beside the revoked key
// already, so its first token makes no cluster forget. Here the second of two emergencies did not see
// the first yet, its key had to sign early, and the younger one is its successor.
func TestAFreshKeyIsMadeAnewThoughThereIsAYoungerKey(t *testing.T) {
	e := &emergency{storage: newObjects()}
	s := started(t, e.storage)
	first := asked(t, s, needsAt(0))
	signing := first.Signing(instant(0))
	next := first.Successor(signing, instant(0))
	stale := &staleStorage{Storage: e.storage, names: e.storage.names()}
	revocation, err := s.Revoke(t.Context(), next.ID, false, needsAt(time.Hour))
	require.NoError(t, err)
	_, err = started(t, stale).Revoke(t.Context(), signing.ID, true, needsAt(time.Hour-10*time.Second))
	require.NoError(t, err)

	var node []string
	for since := time.Hour; since < time.Hour+15*time.Minute; since += 5 * time.Second {
		if since == time.Hour+time.Minute {
			delete(e.storage.held, objectName(revocation.Fresh, keySuffix))
			s = started(t, e.storage)
		}
		all := asked(t, s, needsAt(since))
		if signing := all.Signing(instant(since)); !slices.Contains(node, signing.ID) {
			node = shown(all.Published(instant(since)))
			require.Contains(t, node, signing.ID)
		}
	}
	require.NotContains(t, node, signing.ID)
	require.NotContains(t, node, next.ID, "a node trusts it still")
}

// TestWhatServesARevocation: of which keys the first token makes clusters forget what it revoked, if
// its own key is gone. One that waits for its turn for a month does not.
func TestWhatServesARevocation(t *testing.T) {
	needs := needsAt(time.Hour)
	v := revocation{
		By: "fresh", Turn: 3, Created: instant(time.Hour), Appears: instant(time.Hour + 2*time.Minute),
		Replaces: []string{"stolen"}, ReplacesFrom: instant(time.Hour),
	}
	in := func(minutes int) time.Time { return instant(time.Hour + time.Duration(minutes)*time.Minute) }
	for name, c := range map[string]struct {
		key  keys.Timed
		want bool
	}{
		"its own":                  {*v.record(), true},
		"an older one":             {keys.Timed{Turn: 2, Created: in(3), SignsFrom: in(4)}, false},
		"one beside the revoked":   {keys.Timed{Turn: 4, Created: in(1), SignsFrom: in(4)}, false},
		"one after the revoked":    {keys.Timed{Turn: 4, Created: in(2), SignsFrom: in(4)}, true},
		"one that waits long":      {keys.Timed{Turn: 4, Created: in(2), SignsFrom: in(30 * 24 * 60)}, false},
		"one that waits for ever":  {keys.Timed{Turn: 4, Created: in(2)}, false},
		"one that signs, promoted": {keys.Timed{Turn: 4, Created: in(2), Promoted: in(0)}, true},
		"one made in its place": {
			keys.Timed{Turn: 4, Created: in(0), Replaces: []string{"stolen"}, SignsFrom: in(30 * 24 * 60)}, true,
		},
	} {
		require.Equal(t, c.want, fulfills(&c.key, &v, needs), name)
	}
}

// TestAnEmergencyKnowsRevokedKeysThatAreGone: other replicas still publish one that the storage has
// lost, so that a fresh key which does not replace it, too, would be in one JWKS with it.
func TestAnEmergencyKnowsRevokedKeysThatAreGone(t *testing.T) {
	for name, atOnce := range map[string]bool{"revoke": false, "revoke --now": true} {
		t.Run(name, func(t *testing.T) {
			e := newEmergency(t, "revoke")
			gone := e.revoked[0]
			delete(e.storage.held, objectName(gone, keySuffix))
			s := started(t, e.storage)
			needs := needsAt(time.Hour + time.Minute)
			signing := asked(t, s, needs).Signing(needs.Now)
			rotation, err := s.Revoke(t.Context(), signing.ID, atOnce, needs)
			require.NoError(t, err)
			if atOnce {
				require.Contains(t, rotation.Revoked, gone)
			} else {
				require.False(t, rotation.Withdrawn.Before(instant(time.Hour+2*time.Minute)),
					"not before the other has left the JWKS")
			}
			asked(t, started(t, e.storage), needs) // and what it stores can be read
			for object := range e.storage.held {
				if _, kind := splitName(object); kind == keySuffix {
					_, err := decodeKey(e.storage.held[object])
					require.NoError(t, err)
				}
			}
		})
	}
}

// TestTheCopyOfARevocationIsTriedAgain: the emergency has succeeded without it.
func TestTheCopyOfARevocationIsTriedAgain(t *testing.T) {
	e := &emergency{storage: newObjects(), since: time.Hour, until: 2 * time.Hour}
	s := started(t, &full{objects: e.storage, suffix: revokesSuffix})
	logs := logged(s)
	signing := asked(t, s, needsAt(0)).Signing(instant(0)).ID
	r, err := s.Revoke(t.Context(), signing, false, needsAt(e.since))
	require.NoError(t, err)
	require.NotZero(t, logs.FilterMessageSnippet("the copy of a revocation could not be stored; it is tried again").Len())
	require.NotContains(t, e.storage.names(), objectName(r.Fresh, revokesSuffix))
	s.folder.storage = e.storage
	asked(t, s, needsAt(e.since+time.Minute))
	require.Contains(t, e.storage.names(), objectName(r.Fresh, revokesSuffix))
	require.Zero(t, logs.FilterMessageSnippet("has lost").Len())
	e.revoked = r.Revoked
	e.requireRevoked(t, e.storage.after(func(o *objects) { delete(o.held, objectName(r.Fresh, keySuffix)) }))
}

// full is a storage that has no room for some objects.
type full struct {
	*objects
	suffix string
}

func (f *full) Store(ctx context.Context, name string, object []byte) error {
	if strings.HasSuffix(name, f.suffix) {
		return fs.ErrPermission
	}
	return f.objects.Store(ctx, name, object)
}
