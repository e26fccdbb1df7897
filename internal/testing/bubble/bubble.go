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

// Test is [synctest.Test] for tests that need random bytes.
//
// In FIPS 140-3 mode Go takes its entropy from the jitter of the clock. In a
// bubble the clock stands still while anything runs, so whoever needs a new
// generator of random bytes there panics with "failed to obtain initial
// entropy". Only now and then is a new one needed: when two goroutines ask at
// once, or a garbage collection took the old ones. In that mode the test
// therefore gets its random bytes from a generator for tests. (The module
// v1.0.0 cannot have one, and has its entropy from the operating system.)
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if fips140.Enabled() && fips140.Version() != "v1.0.0" {
		reader := rand.Reader
		cryptotest.SetGlobalRandom(t, mathrand.Uint64()) //nolint:gosec // keys of a test
		// With fips140=only nothing signs with another reader than this one,
		// which has its bytes from the generator all the same.
		rand.Reader = reader
	}
	synctest.Test(t, f)
}
