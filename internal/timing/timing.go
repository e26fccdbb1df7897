// Package timing has the times that rotations and tokens are made of. They depend on each other, so they are in
// one place.
package timing

import "time"

// The times that rotations and tokens are made of, in one place since they depend on each
// other. TimeScale and RotationScale are 1, but in a build for tests that must see rotations
// happen on real nodes.
const (
	// PollInterval is how often a key source is asked, give or take a tenth.
	PollInterval = 30 * time.Second / TimeScale

	// PollTimeout bounds one such question, so that a storage which hangs is noticed.
	PollTimeout = 25 * time.Second

	// FirstKeysTimeout is how long a request waits for the first keys of a set.
	FirstKeysTimeout = 10 * time.Second

	// StopTimeout bounds how long the end of a configuration waits for a storage that does not heed its
	// context.
	StopTimeout = 5 * time.Second

	// DefaultMaxAge is how long a cache may keep a JWKS, where that is not configured.
	DefaultMaxAge = time.Minute
	MaxMaxAge     = 24 * time.Hour

	// SignatureTimeout is how long a request waits for its token to be signed.
	SignatureTimeout = 10 * time.Second

	// ClockSkew is how far a clock may be off: a realm's allowed_clock_skew defaults to as
	// much. A token is valid from this long before its window.
	ClockSkew = time.Minute / TimeScale

	// MinRemaining is how much of its life a token must have left to be handed out: the clock
	// skew, and time for the proxy to retry. A token that ends with the certificate is exempt.
	MinRemaining = ClockSkew + 30*time.Second/TimeScale

	DefaultLifetime = 10 * time.Minute / TimeScale
	MinLifetime     = 5 * time.Minute / TimeScale
	MaxLifetime     = 24 * time.Hour

	DefaultRotateEvery = 720 * time.Hour
	MinRotateEvery     = time.Hour / RotationScale
	DefaultRetireAfter = time.Hour / TimeScale

	// ForgetAfter is how long a retired key is kept in the storage; the last keepTurns are kept
	// in any case. A replica whose clock is months ahead makes a key or two before its operator
	// notices, and must not delete those that the others sign with.
	ForgetAfter = 30 * 24 * time.Hour
	KeepTurns   = 5
)

// LeadTime is how long a key must be published before it signs: every replica must have polled
// it, and every HTTP cache must have let go of a JWKS without it. The rest is for clocks that
// differ.
func LeadTime(maxAge time.Duration) time.Duration { return 2*PollInterval + maxAge + ClockSkew }
