package keyset

import (
	"slices"
	"sort"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// instants are instants in their order.
type instants []time.Time

// instants are some instants of each record, without the zero time.
func (s *Schedule) instants(of func(*keys.Timed) []time.Time) instants {
	var all instants
	for i := range s.Records {
		all = append(all, of(&s.Records[i])...)
	}
	all = slices.DeleteFunc(all, time.Time.IsZero)
	slices.SortStableFunc(all, time.Time.Compare)
	return all
}

// after is the first of them after t; the zero time if there is none.
func (all instants) after(t time.Time) time.Time {
	if i := all.reached(t); i < len(all) {
		return all[i]
	}
	return time.Time{}
}

// until is the last of them that is not after t; the zero time if there is none.
func (all instants) until(t time.Time) time.Time {
	if i := all.reached(t); i > 0 {
		return all[i-1]
	}
	return time.Time{}
}

// reached is how many of them are not after t.
func (all instants) reached(t time.Time) int {
	return sort.Search(len(all), func(i int) bool { return all[i].After(t) })
}
