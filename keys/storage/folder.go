package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// folder is the folder of a key set in Caddy's storage, with what was read of it. There are two kinds of objects:
//
//	<kid>.json            a key, and what it says of other keys: see keyObject
//	<kid>.revokes.json    a copy of what that key revokes: see revocation
//
// An object is written once and never changes, so it is read once. A folder is used by one goroutine at a time.
type folder struct {
	storage certmagic.Storage
	set     string
	logger  *zap.Logger

	keys        map[string]keyObject // by the name of the object
	copies      map[string]bool      // names of the copies of revocations that were read or stored
	revocations []revocation         // all that were read, or that a key in use has said
	damaged     []string             // names of the objects that could not be read the last time

	inUse   map[string]bool // kids of the keys that the set had when it asked last
	signing string          // the kid of the key that signed then

	wasRead    bool // whether everything was read once
	incomplete int  // how often in a row some of the objects could not be loaded
}

func newFolder(storage certmagic.Storage, logger *zap.Logger) *folder {
	return &folder{
		storage: storage, logger: logger,
		keys: make(map[string]keyObject), copies: make(map[string]bool),
	}
}

func (f *folder) path() string { return path.Join("elasticsearch_jwt", f.set) }

// name returns the name of the object of a key. The kind is keySuffix or revokesSuffix.
func (f *folder) name(kid, kind string) string { return path.Join(f.path(), kid+kind) }

// where names the storage in an error. If the storage cannot name itself, it says the type alone, since the fields
// could have a password in them.
func (f *folder) where() string {
	if named, ok := f.storage.(fmt.Stringer); ok {
		return "the storage " + named.String()
	}
	return fmt.Sprintf("the storage %T", f.storage)
}

// records returns the keys that were read so far. It returns none before everything was read once: those that were
// read could all be old keys, and to sign with these, or to publish no others, is worse than to wait.
func (f *folder) records() []keys.Timed {
	if !f.wasRead {
		return nil
	}
	records := make([]keys.Timed, 0, len(f.keys))
	for _, key := range f.keys {
		key.Promoted = f.promoted(key.ID)
		records = append(records, key.Timed)
	}
	f.revoke(records)
	f.suspend(records)
	return records
}

// read reads the objects that are not known yet. An error in unusable names the objects that cannot be used. The
// others can be, and nothing is ever overwritten. After err, what was read before has to do.
func (f *folder) read(ctx context.Context, needs keys.Needs) (unusable, err error) {
	names, err := f.storage.List(ctx, f.path(), false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, keys.Failed(keys.StorageUnreachable,
			fmt.Errorf("listing %s in %s: make it reachable and readable for Caddy: %w", f.path(), f.where(), err))
	}
	var bad, notLoaded []error
	var damaged []string
	for _, name := range names {
		if f.has(name) {
			continue
		}
		object, err := f.load(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another replica has deleted it since
		}
		if err != nil {
			notLoaded, damaged = append(notLoaded, err), append(damaged, name)
			continue
		}
		if err := f.decode(name, object); err != nil {
			bad, damaged = append(bad, err), append(damaged, name)
		}
	}
	if len(notLoaded) == 0 {
		f.incomplete = 0
	} else if f.incomplete++; f.incomplete < patience {
		return nil, errors.Join(notLoaded...)
	}
	f.wasRead, f.damaged = true, damaged
	f.loadUnlisted(ctx, needs)
	f.storeCopies(ctx, names)
	return errors.Join(append(bad, notLoaded...)...), nil
}

// patience is how often in a row some of the objects may fail to load before the others have to do. That is long
// enough for a storage to recover, and short enough that one object which Caddy may not read does not keep it from
// serving.
const patience = 5

// has reports whether an object is known already, or is none of ours.
func (f *folder) has(name string) bool {
	_, kind := splitName(name)
	_, key := f.keys[name]
	return kind == "" || key || f.copies[name]
}

// decode decodes an object, and adds what it says to what is known.
func (f *folder) decode(name string, object []byte) error {
	kid, kind := splitName(name)
	var err error
	switch kind {
	case revokesSuffix:
		var copied revocation
		if copied, err = decodeRevocation(kid, object); err == nil {
			f.copies[name] = true
			f.addRevocation(copied)
		}
	default:
		var key keyObject
		key, err = decodeKey(object)
		switch {
		case err != nil:
		case key.ID != kid:
			err = fmt.Errorf("it holds the key %s", key.ID)
		default:
			f.addKey(name, key)
		}
	}
	if err != nil {
		return keys.Failed(keys.KeyUnusable, fmt.Errorf("%s in %s is not usable: restore it from a backup; "+
			"or, if no cluster needs its key any more, remove it: %w", name, f.where(), err))
	}
	return nil
}

// addKey adds a key to those that are known, and the revocations that it has.
func (f *folder) addKey(name string, key keyObject) {
	f.keys[name] = key
	if v, ok := revocationBy(&key.Timed); ok {
		f.addRevocation(v)
	}
	for _, v := range key.Revocations {
		f.addRevocation(v)
	}
}

// storeKey stores a new key.
func (f *folder) storeKey(ctx context.Context, record keys.Timed, promotes promotion, private any) error {
	key := keyObject{record, promotes, f.historyFor(record.Replaces)}
	object, err := encodeKey(key, private)
	if err != nil {
		return err
	}
	name := f.name(record.ID, keySuffix)
	if err := f.store(ctx, name, object); err != nil {
		return err
	}
	f.addKey(name, key) // some storages list a new object only later
	return nil
}

// promoted returns when a key was promoted; the zero time if it was not. If there are two promotions, the earlier one
// holds: they were made by replicas that did not see each other's.
func (f *folder) promoted(kid string) time.Time {
	var from time.Time
	for _, key := range f.keys {
		if key.Promotes == kid {
			from = timing.EarliestAfter(time.Time{}, from, key.PromotesFrom)
		}
	}
	return from
}

// deleteKey deletes a key, and reports whether it is gone. The copy of what it revokes stays.
func (f *folder) deleteKey(ctx context.Context, kid string) bool {
	name := f.name(kid, keySuffix)
	if err := f.storage.Delete(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.logger.Warn("a key that retired long ago could not be deleted", zap.String("kid", kid), zap.Error(err))
		return false
	}
	delete(f.keys, name)
	return true
}

func (f *folder) load(ctx context.Context, name string) ([]byte, error) {
	object, err := f.storage.Load(ctx, name)
	if err != nil {
		return nil, keys.Failed(keys.StorageUnreachable,
			fmt.Errorf("loading %s from %s: make it reachable and readable for Caddy: %w", name, f.where(), err))
	}
	return object, nil
}

// store stores an object, unless the context has ended. Nobody waits for the object then, and the times in it are too
// early.
func (f *folder) store(ctx context.Context, name string, object []byte) error {
	if err := context.Cause(ctx); err != nil {
		return keys.Failed(keys.StorageUnreachable,
			fmt.Errorf("%w: it took %s too long to answer: %w", errNothingStored, f.where(), err))
	}
	if err := f.storage.Store(ctx, name, object); err != nil {
		return keys.Failed(keys.StorageNotWritable,
			fmt.Errorf("storing %s in %s: make it writable for Caddy: %w", name, f.where(), err))
	}
	return nil
}

// errNothingStored says that the storage was not even asked to store an object.
var errNothingStored = errors.New("nothing was stored")

// splitName splits the name of an object into a kid and the kind of the object: keySuffix, revokesSuffix, or "" if the
// object is none of ours. Other programs put objects beside ours, with names like these:
//
//	._<kid>.json                          macOS, on a folder of a network
//	<kid>.sync-conflict-20261127.json     a program that synchronizes folders
func splitName(name string) (kid, kind string) {
	base := path.Base(name)
	for _, kind := range []string{revokesSuffix, keySuffix} {
		if kid, ok := strings.CutSuffix(base, kind); ok && thumbprint.MatchString(kid) {
			return kid, kind
		}
	}
	return base, ""
}

// thumbprint matches the kid of a key: a SHA-256 in base64url (RFC 7638).
var thumbprint = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
