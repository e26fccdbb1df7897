// Package bubble runs tests in a bubble of testing/synctest, in Go's FIPS
// 140-3 mode too.
package bubble

import (
	"crypto/fips140"
	"crypto/rand"
	mathrand "math/rand/v2"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
)

// Test calls [synctest.Test] for a test that needs random bytes.
//
// In FIPS 140-3 mode, Go takes its entropy from the jitter of the clock. In a
// bubble, the clock stands still while a goroutine runs. So Go panics with "failed
// to obtain initial entropy" when it makes a new generator of random bytes. That is
// rare: it does so when two goroutines need random bytes at the same time, or after a
// garbage collection. So in this mode, Test gives the test another generator. (The
// module v1.0.0 does not support that, but takes its entropy from the operating
// system.)
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if fips140.Enabled() && fips140.Version() != "v1.0.0" {
		reader := rand.Reader
		cryptotest.SetGlobalRandom(t, mathrand.Uint64()) //nolint:gosec // keys of a test
		// With fips140=only, this is the only reader with which a key signs. It
		// takes its bytes from the new generator too.
		rand.Reader = reader
	}
	synctest.Test(t, f)
}
