package esjwt

import "time"

// The times that rotations and tokens are made of, in one place since they depend on each
// other. timeScale and rotationScale are 1, but in a build for tests that must see rotations
// happen on real nodes.
const (
	// pollInterval is how often a key source is asked, give or take a tenth.
	pollInterval = 30 * time.Second / timeScale

	// pollTimeout bounds one such question, so that a storage which hangs is noticed.
	pollTimeout = 25 * time.Second

	// firstKeysTimeout is how long a request waits for the first keys of a set.
	firstKeysTimeout = 10 * time.Second

	// signatureTimeout is how long a request waits for its token to be signed.
	signatureTimeout = 10 * time.Second

	// clockSkew is how far a clock may be off: a realm's allowed_clock_skew defaults to as
	// much. A token is valid from this long before its window.
	clockSkew = time.Minute / timeScale

	// minRemaining is how much of its life a token must have left to be handed out: the clock
	// skew, and time for the proxy to retry. A token that ends with the certificate is exempt.
	minRemaining = clockSkew + 30*time.Second/timeScale

	defaultLifetime = 10 * time.Minute / timeScale
	minLifetime     = 5 * time.Minute / timeScale
	maxLifetime     = 24 * time.Hour

	defaultRotateEvery = 720 * time.Hour
	minRotateEvery     = time.Hour / rotationScale
	defaultRetireAfter = time.Hour / timeScale

	// forgetAfter is how long a retired key is kept in the storage; the last keepTurns are kept
	// in any case. A replica whose clock is months ahead makes a key or two before its operator
	// notices, and must not delete those that the others sign with.
	forgetAfter = 30 * 24 * time.Hour
	keepTurns   = 5
)

// leadTime is how long a key must be published before it signs: every replica must have polled
// it, and every HTTP cache must have let go of a JWKS without it. The rest is for clocks that
// differ.
func leadTime(maxAge time.Duration) time.Duration { return 2*pollInterval + maxAge + clockSkew }
