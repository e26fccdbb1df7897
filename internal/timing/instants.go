package timing

import (
	"time"
)

// Reached reports whether an instant has come by the time t. The zero time stands for never.
func Reached(instant, t time.Time) bool { return !instant.IsZero() && !instant.After(t) }

// EarliestAfter returns the earliest of the instants that are after t; the zero time if there is none. As the zero
// time stands for never, EarliestAfter(time.Time{}, a, b) is the earlier one of a and b.
func EarliestAfter(t time.Time, instants ...time.Time) time.Time {
	var earliest time.Time
	for _, i := range instants {
		if i.After(t) && (earliest.IsZero() || i.Before(earliest)) {
			earliest = i
		}
	}
	return earliest
}

// Later returns the later of two instants.
func Later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
