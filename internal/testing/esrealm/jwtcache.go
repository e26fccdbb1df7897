package esrealm

import (
	"crypto/sha256"
	"sync"
	"time"
)

// jwtCache has the users of tokens that were accepted, by the hash of the token.
type jwtCache struct {
	mu         sync.Mutex
	entries    map[[sha256.Size]byte]cachedUser
	generation int // raised by clear
}

type cachedUser struct {
	user   *user
	expiry time.Time // of the token
}

// get returns the user of a token that expires after some time.
func (c *jwtCache) get(hash [sha256.Size]byte, at time.Time) (*user, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[hash]
	return e.user, ok && e.expiry.After(at)
}

// current returns the generation for put. Call it before the user is made.
func (c *jwtCache) current() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation
}

// put adds a user, unless the cache has been cleared since the generation.
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
