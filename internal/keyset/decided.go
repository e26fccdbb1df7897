package keyset

import (
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// Decided returns a time of the schedule as people should read it. Where somebody gave a key up at once, the schedule
// goes by a time that is a little earlier, for clocks that are behind: see [RevokeReplaced].
//
//	D replaces B at once, and is created at 9:00
//	B is revoked, and its successor signs   as of 8:59
//	Decided                                 9:00, when somebody revoked B
func (s *Schedule) Decided(t time.Time) time.Time {
	for i := range s.Records {
		by := &s.Records[i]
		if len(by.Replaces) > 0 && by.Appears.IsZero() && t.Equal(by.Created.Add(-timing.ClockSkew)) {
			return by.Created
		}
	}
	return t
}
