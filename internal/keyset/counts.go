package keyset

import (
	"sync/atomic"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// keyCounts are what has happened to the keys of a set since it was first used in this process.
type keyCounts struct {
	rotations atomic.Uint64
	failures  [len(keys.Failures)]atomic.Uint64
}

func (c *keyCounts) failed(kind keys.Failure) { c.failures[kind].Add(1) }
