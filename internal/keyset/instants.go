package keyset

import (
	"slices"
	"sort"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// instants is a sorted list of points in time.
type instants []time.Time

// instantsOf collects some points in time of each record, without the zero time.
func (s *Schedule) instantsOf(times func(*keys.Timed) []time.Time) instants {
	var all instants
	for i := range s.Records {
		all = append(all, times(&s.Records[i])...)
	}
	all = slices.DeleteFunc(all, time.Time.IsZero)
	slices.SortStableFunc(all, time.Time.Compare)
	return all
}

// firstAfter returns the first instant after t; the zero time if there is none.
func (all instants) firstAfter(t time.Time) time.Time {
	if i := all.countUntil(t); i < len(all) {
		return all[i]
	}
	return time.Time{}
}

// lastUntil returns the last instant that is not after t; the zero time if there is none.
func (all instants) lastUntil(t time.Time) time.Time {
	if i := all.countUntil(t); i > 0 {
		return all[i-1]
	}
	return time.Time{}
}

// countUntil returns how many of the instants are not after t.
func (all instants) countUntil(t time.Time) int {
	return sort.Search(len(all), func(i int) bool { return all[i].After(t) })
}
