package esrealm

import (
	"crypto/sha256"
	"sync"
	"time"
)

// jwtCache remembers whom a token authenticates, by the hash of the token's
// text.
type jwtCache struct {
	mu         sync.Mutex
	entries    map[[sha256.Size]byte]cachedUser
	generation int // raised by clear
}

type cachedUser struct {
	user   *user
	expiry time.Time // of the token
}

// get returns the user of a token that had not expired at some time.
func (c *jwtCache) get(hash [sha256.Size]byte, at time.Time) (*user, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[hash]
	return e.user, ok && e.expiry.After(at)
}

// current is the generation to hand to put, taken before the user is made.
func (c *jwtCache) current() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation
}

// put remembers a user, unless the cache was cleared since the generation.
func (c *jwtCache) put(generation int, hash [sha256.Size]byte, e cachedUser) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation != generation {
		return
	}
	if c.entries == nil {
		c.entries = map[[sha256.Size]byte]cachedUser{}
	}
	c.entries[hash] = e
}

func (c *jwtCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	c.entries = nil
}
