package storage

import (
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// instant is some time after the beginning of a test's set.
func instant(since time.Duration) time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(since)
}

// shown are the kids of keys.
func shown(records []*keys.Timed) []string {
	ids := []string{}
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	return ids
}
