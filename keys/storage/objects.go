package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// storedKeys is what a storage holds of a key set: keys, and copies of what keys revoke. Each is an object that
// is written once and never changed, so it is read once. A storedKeys is for one goroutine at a time.
type storedKeys struct {
	storage certmagic.Storage
	set     string
	logger  *zap.Logger

	keys        map[string]storedKey // by name
	copies      map[string]bool      // of revocations
	revocations []keyRevocation      // that anything says, or has said
	inUse       map[string]bool      // kids of the keys that were there when this was last asked
	signing     string               // the kid of the one that signed then
	damaged     []string             // names of the objects that could not be read when all were

	wasRead  bool // everything was, once
	halfRead int  // how often in a row some of it was not
}

func newStoredKeys(storage certmagic.Storage, logger *zap.Logger) *storedKeys {
	return &storedKeys{
		storage: storage, logger: logger,
		keys: make(map[string]storedKey), copies: make(map[string]bool),
	}
}

func (k *storedKeys) folder() string { return path.Join("elasticsearch_jwt", k.set) }

// name is what the object of a kind is called that is about a key.
func (k *storedKeys) name(kid, kind string) string { return path.Join(k.folder(), kid+kind) }

// where names the storage in an error. A storage that cannot name itself could show its
// password.
func (k *storedKeys) where() string {
	if named, ok := k.storage.(fmt.Stringer); ok {
		return "the storage " + named.String()
	}
	return fmt.Sprintf("the storage %T", k.storage)
}

// all returns the keys that were read so far: none, before everything was read once. Some of the
// keys may be old ones, and to sign with those, or to publish only those, is worse than to wait.
func (k *storedKeys) all() []keys.Timed {
	if !k.wasRead {
		return nil
	}
	records := make([]keys.Timed, 0, len(k.keys))
	for _, r := range k.keys {
		r.Promoted = k.promoted(r.ID)
		records = append(records, r.Timed)
	}
	k.revoke(records)
	k.hold(records)
	return records
}

// read reads what is stored and not known yet. An object that is not usable is named; it is never
// overwritten, and the others go on. After err, what was read before must do.
func (k *storedKeys) read(ctx context.Context, needs keys.Needs) (unusable, err error) {
	names, err := k.storage.List(ctx, k.folder(), false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, keys.Failed(keys.StorageUnreachable, fmt.Errorf("listing %s in %s: make it reachable and readable for Caddy: %w", k.folder(), k.where(), err))
	}
	var bad, unread []error
	var damaged []string
	for _, name := range names {
		if k.has(name) {
			continue
		}
		object, err := k.load(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // forgotten by another replica in the meantime
		}
		if err != nil {
			unread, damaged = append(unread, err), append(damaged, name)
			continue
		}
		if err := k.learn(name, object); err != nil {
			bad, damaged = append(bad, err), append(damaged, name)
		}
	}
	if len(unread) == 0 {
		k.halfRead = 0
	} else if k.halfRead++; k.halfRead < patience {
		return nil, errors.Join(unread...)
	}
	k.wasRead, k.damaged = true, damaged
	k.seek(ctx, needs)
	k.restate(ctx, names)
	return errors.Join(append(bad, unread...)...), nil
}

// patience is how often in a row some of what is stored may not be readable before the rest must
// do. It takes as long as a storage needs to come back, and not so long that one object that Caddy
// may not read keeps it from serving.
const patience = 5

// has reports whether an object is known already, or none of ours.
func (k *storedKeys) has(name string) bool {
	_, kind := splitStoredName(name)
	_, key := k.keys[name]
	return kind == "" || key || k.copies[name]
}

// learn takes up a stored object.
func (k *storedKeys) learn(name string, object []byte) error {
	kid, kind := splitStoredName(name)
	var err error
	switch kind {
	case revokesSuffix:
		var copied keyRevocation
		if copied, err = decodeRevocation(kid, object); err == nil {
			k.copies[name] = true
			k.learnRevocation(copied)
		}
	default:
		var key storedKey
		key, err = decodeStoredKey(object)
		switch {
		case err != nil:
		case key.ID != kid:
			err = fmt.Errorf("it holds the key %s", key.ID)
		default:
			k.learnKey(name, key)
		}
	}
	if err != nil {
		return keys.Failed(keys.KeyUnusable, fmt.Errorf("%s in %s is not usable: restore it from a backup; or, if no cluster needs its key any more, remove it: %w", name, k.where(), err))
	}
	return nil
}

// learnKey takes up a key, and what it says of others.
func (k *storedKeys) learnKey(name string, key storedKey) {
	k.keys[name] = key
	if revokes, ok := revocationBy(&key.Timed); ok {
		k.learnRevocation(revokes)
	}
	for _, revokes := range key.Revocations {
		k.learnRevocation(revokes)
	}
}

// add stores a new key.
func (k *storedKeys) add(ctx context.Context, record keys.Timed, promotes promotion, private any) error {
	key := storedKey{record, promotes, k.look(record.Replaces)}
	object, err := encodeStoredKey(key, private)
	if err != nil {
		return err
	}
	name := k.name(record.ID, keySuffix)
	if err := k.store(ctx, name, object); err != nil {
		return err
	}
	k.learnKey(name, key) // a storage may list it only later
	return nil
}

// promoted is when a rotation by hand makes the turn of a key begin; the zero time if none does.
func (k *storedKeys) promoted(kid string) time.Time {
	var from time.Time
	for _, key := range k.keys {
		if key.Promotes == kid {
			from = timing.EarliestAfter(time.Time{}, from, key.PromotesFrom)
		}
	}
	return from
}

// forget deletes a key, and reports whether it is gone. What it revoked stays.
func (k *storedKeys) forget(ctx context.Context, kid string) bool {
	name := k.name(kid, keySuffix)
	if err := k.storage.Delete(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.logger.Warn("a key that retired long ago could not be deleted", zap.String("kid", kid), zap.Error(err))
		return false
	}
	delete(k.keys, name)
	return true
}

func (k *storedKeys) load(ctx context.Context, name string) ([]byte, error) {
	object, err := k.storage.Load(ctx, name)
	if err != nil {
		return nil, keys.Failed(keys.StorageUnreachable, fmt.Errorf("loading %s from %s: make it reachable and readable for Caddy: %w", name, k.where(), err))
	}
	return object, nil
}

// store stores an object, unless it took so long to come to it that nobody waits for it any more:
// its instants would be too early.
func (k *storedKeys) store(ctx context.Context, name string, object []byte) error {
	if err := context.Cause(ctx); err != nil {
		return keys.Failed(keys.StorageUnreachable, fmt.Errorf("%w: it took %s too long to answer: %w", errNothingStored, k.where(), err))
	}
	if err := k.storage.Store(ctx, name, object); err != nil {
		return keys.Failed(keys.StorageNotWritable, fmt.Errorf("storing %s in %s: make it writable for Caddy: %w", name, k.where(), err))
	}
	return nil
}

// errNothingStored says that what was to be stored did not even get to the storage.
var errNothingStored = errors.New("nothing was stored")

// splitStoredName splits the name of a stored object into a kid and what it is: keySuffix, revokesSuffix
// or "".
func splitStoredName(name string) (kid, kind string) {
	base := path.Base(name)
	for _, kind := range []string{revokesSuffix, keySuffix} {
		if kid, ok := strings.CutSuffix(base, kind); ok {
			return kid, kind
		}
	}
	return base, ""
}
