package apikey

import (
	"context"
	"sync"
)

// unstored has the keys of a store that could not be stored. They are this process's alone, until the storage is there
// again.
type unstored struct {
	mu   sync.Mutex
	keys map[string]*stored
	name *head
}

// unstoredKeys has those of each store by its place. They outlive a configuration, as the credentials do, and are those
// of all handlers: the one that sweeps would take the keys of others for keys that nobody knows.
var unstoredKeys struct {
	mu    sync.Mutex
	known map[string]*unstored
}

// unstoredOf returns the keys that could not be stored at a place.
func unstoredOf(place string) *unstored {
	unstoredKeys.mu.Lock()
	defer unstoredKeys.mu.Unlock()
	if unstoredKeys.known == nil {
		unstoredKeys.known = make(map[string]*unstored)
	}
	u := unstoredKeys.known[place]
	if u == nil {
		u = new(unstored)
		unstoredKeys.known[place] = u
	}
	return u
}

// id returns what the store is called in the metadata of keys that are not in it. Those are this process's alone, and
// no other replica that sweeps takes them for keys that nobody has stored.
func (u *unstored) id() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.name == nil {
		u.name = newHead()
	}
	return u.name.ID
}

func (u *unstored) add(key *stored) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.keys == nil {
		u.keys = make(map[string]*stored)
	}
	u.keys[key.ID] = key
}

func (u *unstored) remove(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.keys, id)
}

// has reports whether a key could not be stored.
func (u *unstored) has(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ok := u.keys[id]
	return ok
}

// list returns those that have not ended.
func (u *unstored) list(now int64) []*stored {
	u.mu.Lock()
	defer u.mu.Unlock()
	var keys []*stored
	for id, key := range u.keys {
		if key.Until <= now {
			delete(u.keys, id)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// keep stores a key. Without a storage the key is used all the same, and stored later.
func (m *making) keep(ctx context.Context, key *stored) {
	if err := m.store.save(ctx, key); err != nil {
		m.warn("API keys cannot be stored, so that only this replica has them: "+
			"make Caddy's storage writable for Caddy", err)
		m.disown(key)
		m.store.unstored.add(key)
		return
	}
	m.store.unstored.remove(key.ID)
}

// disown takes a key that is not stored out of the store, by its metadata.
func (m *making) disown(key *stored) {
	own := m.store.unstored.id()
	if key.Store == own {
		return
	}
	key.Store = own
	id, about, asked := key.ID, m.aboutKey(m.client, own), m.api
	m.later(func(ctx context.Context) bool { return asked.describe(ctx, id, about) == nil })
}
