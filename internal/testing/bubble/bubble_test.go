package bubble_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// Under GODEBUG=fips140=only this panics in a bubble of synctest alone.
func TestManyGoroutinesMakeKeysInABubble(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		runtime.GC()
		runtime.GC()
		var makers sync.WaitGroup
		for range 32 {
			makers.Go(func() {
				for range 32 {
					_, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
					assert.NoError(t, err)
				}
			})
		}
		makers.Wait()
	})
}
