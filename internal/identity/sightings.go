package identity

import (
	"crypto/x509"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Sightings remembers which certificates were used lately, and when they end. It keeps a few numbers of each, and not
// the certificate. The zero value is ready to use, by many handlers at once.
type Sightings struct {
	mu      sync.Mutex
	seen    map[uint64]sighting // by the hash of the certificate
	cleared int64               // when the old ones were forgotten
}

// sighting is when a certificate was used last, and when it ends. Both are Unix seconds.
type sighting struct{ last, end int64 }

const (
	// Lately is how long ago a certificate was used at most that [Sightings] counts. It covers clients that come
	// now and then, and a certificate that was renewed is soon not counted any more.
	Lately = time.Hour

	// Horizon is how far [Sightings] looks ahead.
	Horizon = 30 * 24 * time.Hour

	// sightingInterval is how often a certificate on one connection is noted, in seconds.
	sightingInterval = 5 * 60

	// clearInterval is how often the old sightings are forgotten, in seconds.
	clearInterval = 60

	// maxSightings bounds the memory, to some ten megabytes.
	maxSightings = 200_000
)

// seen is when a client was noted as seen the last time, and as what.
type seen struct {
	hash uint64
	at   atomic.Int64 // Unix seconds
}

var sightingSeed = maphash.MakeSeed()

// hashOf returns what tells a certificate from others. The signature has no part in it: anybody can write some of
// them in another way.
func hashOf(cert *x509.Certificate) uint64 {
	return maphash.Bytes(sightingSeed, cert.RawTBSCertificate)
}

// note notes that a client was seen, and when its certificate, or one above it, ends. Almost every time it only
// finds out that this was noted a while ago. If s is nil, nothing is noted.
func (s *Sightings) note(client *Client, end, now int64) {
	if since := now - client.seen.at.Load(); s == nil || since >= 0 && since < sightingInterval {
		return
	}
	client.seen.at.Store(now)
	if end-now > int64(Horizon/time.Second) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = make(map[uint64]sighting)
	}
	s.forget(now)
	if _, known := s.seen[client.seen.hash]; known || len(s.seen) < maxSightings {
		s.seen[client.seen.hash] = sighting{now, end}
	}
}

// forget removes the sightings that no longer count, if that was not done just now.
func (s *Sightings) forget(now int64) {
	if since := now - s.cleared; since >= 0 && since < clearInterval {
		return
	}
	s.cleared = now
	for hash, one := range s.seen {
		if !one.counts(now) {
			delete(s.seen, hash)
		}
	}
}

func (one sighting) counts(now int64) bool {
	return now-one.last < int64(Lately/time.Second) && one.end > now
}

// Ending returns how many certificates that were used lately end within each of these times. A time must not be
// longer than [Horizon].
func (s *Sightings) Ending(now time.Time, within ...time.Duration) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	ending := make([]int, len(within))
	for _, one := range s.seen {
		if !one.counts(now.Unix()) {
			continue
		}
		for i, soon := range within {
			if one.end-now.Unix() <= int64(soon/time.Second) {
				ending[i]++
			}
		}
	}
	return ending
}
