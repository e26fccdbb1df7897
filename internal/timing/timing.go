// Package timing has the times that tokens and rotations depend on. They also depend on each other, so they are in
// one place:
//
//	a token lives for 10 minutes     so its key stays published for longer than that after a rotation
//	caches keep the JWKS for 1 min   so a key is published for longer than that before it signs
//	clocks differ by up to 1 min     so a token is valid from a minute before it is made
package timing

import "time"

// TimeScale and RotationScale are 1, except in a build for tests that must see rotations on real nodes.
const (
	// PollInterval is the time between two polls of a key source. Each wait is up to a tenth longer or shorter.
	PollInterval = 30 * time.Second / TimeScale

	// PollTimeout is how long one poll may take, so that a storage that hangs is noticed.
	PollTimeout = 25 * time.Second

	// FirstKeysTimeout is how long a request waits for the first keys of a set.
	FirstKeysTimeout = 10 * time.Second

	// StopTimeout is how long the end of a configuration waits for a key source that goes on although its
	// context has ended.
	StopTimeout = 5 * time.Second

	// DefaultMaxAge is how long a cache may keep a JWKS if max_age is not set, and MaxMaxAge the longest time
	// that can be set.
	DefaultMaxAge = time.Minute
	MaxMaxAge     = 24 * time.Hour

	// SignatureTimeout is how long a request waits for its token to be signed.
	SignatureTimeout = 10 * time.Second

	// ClockSkew is how far a clock may be off. A token is valid from this long before its window begins.
	// Elasticsearch's allowed_clock_skew has the same default.
	ClockSkew = time.Minute / TimeScale

	// CredentialTimeout is how long a request waits for a credential that the cluster makes.
	CredentialTimeout = 10 * time.Second

	// MinRemaining is how long a token must still be valid when it is put into a request: as long as a clock may
	// be off, and time for the proxy to send the request once more. A token that ends together with the
	// certificate may have less left.
	MinRemaining = ClockSkew + 30*time.Second/TimeScale

	// The lifetime of a token.
	DefaultLifetime = 10 * time.Minute / TimeScale
	MinLifetime     = 5 * time.Minute / TimeScale
	MaxLifetime     = 24 * time.Hour

	// How long a key signs, and how long it stays published after its last token has expired.
	DefaultRotateEvery = 720 * time.Hour
	MinRotateEvery     = time.Hour / RotationScale
	DefaultRetireAfter = time.Hour / TimeScale

	// ForgetAfter is how long the storage keeps a retired key. It keeps the keys of the last KeepTurns turns in
	// any case. The reason is a replica whose clock is months ahead: until its operator notices, it makes a key
	// or two, and it must not delete the keys that the other replicas sign with.
	ForgetAfter = 30 * 24 * time.Hour
	KeepTurns   = 5
)

// LeadTime returns how long a key must be published before it signs. Every replica must have read it, every cache
// must have dropped a JWKS without it, and clocks may differ. With a max_age of one minute this is
// 2 * 30s + 1m + 1m = 3m.
func LeadTime(maxAge time.Duration) time.Duration { return 2*PollInterval + maxAge + ClockSkew }
