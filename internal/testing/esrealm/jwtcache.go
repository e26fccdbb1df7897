package esrealm

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

// jwtCache remembers whom a token authenticates, by the hash of the token's
// text. When it is full, the entry that was not used for the longest time goes.
type jwtCache struct {
	ttl  time.Duration
	size int // 0 where the cache is turned off

	mu         sync.Mutex
	entries    map[[sha256.Size]byte]*list.Element
	recent     *list.List // of *cachedUser, the last used one in front
	generation uint64     // raised by clear
	hits       uint64
}

type cachedUser struct {
	hash    [sha256.Size]byte
	user    *user
	expiry  time.Time // of the token
	written time.Time
}

func newJWTCache(settings JWTCache) *jwtCache {
	c := &jwtCache{ttl: settings.TTL}
	if settings.TTL > 0 {
		c.size = max(settings.Size, 0)
	}
	c.clear()
	return c
}

// get returns the user of a token that is not expired.
func (c *jwtCache) get(hash [sha256.Size]byte, now time.Time, skew time.Duration) (*user, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[hash]
	if !ok {
		return nil, false
	}
	e, ok := element.Value.(*cachedUser)
	if !ok || now.Sub(e.written) >= c.ttl || !e.expiry.After(now.Add(-skew)) {
		return nil, false
	}
	c.recent.MoveToFront(element)
	c.hits++
	return e.user, true
}

// current is the generation to hand to put, taken before the user is made.
func (c *jwtCache) current() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation
}

// put remembers a user, unless the cache was cleared since the generation.
func (c *jwtCache) put(generation uint64, e *cachedUser) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size == 0 || c.generation != generation {
		return
	}
	if old, ok := c.entries[e.hash]; ok {
		c.recent.Remove(old)
	}
	c.entries[e.hash] = c.recent.PushFront(e)
	if len(c.entries) > c.size {
		oldest := c.recent.Back()
		c.recent.Remove(oldest)
		if e, ok := oldest.Value.(*cachedUser); ok {
			delete(c.entries, e.hash)
		}
	}
}

func (c *jwtCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	c.entries, c.recent = map[[sha256.Size]byte]*list.Element{}, list.New()
}

func (c *jwtCache) hitCount() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits
}
