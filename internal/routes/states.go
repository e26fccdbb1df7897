package routes

import (
	"maps"
	"slices"
)

// states are what can be true of a request at a point of its way, by the handler that has let it in last. The
// handler nil stands for none. No states at all mean that no request comes to that point.
//
// They are values: a function that changes them works on a copy.
type states map[*Handler]state

// state is what can be true of the requests that one handler has let in.
type state struct {
	// The changes that handlers behind it may have made to its headers.
	changes []*change

	// The groups of routes of which one may have matched already. Another one of these routes may then be skipped.
	groups []string

	// Routes of any group may have matched: something has happened that is not followed in its order.
	anyGroup bool
}

// begin are the states of a request that has just come.
func begin() states { return states{nil: {}} }

// join returns the states of requests that come from either of two ways.
func (s states) join(other states) states {
	if len(s) == 0 {
		return other
	}
	joined := maps.Clone(s)
	for handler, state := range other {
		joined[handler] = joined[handler].join(state)
	}
	return joined
}

func (s state) join(other state) state {
	return state{
		changes:  union(s.changes, other.changes),
		groups:   union(s.groups, other.groups),
		anyGroup: s.anyGroup || other.anyGroup,
	}
}

// size grows whenever join adds something.
func (s states) size() int {
	size := len(s)
	for _, state := range s {
		size += len(state.changes) + len(state.groups)
		if state.anyGroup {
			size++
		}
	}
	return size
}

// inGroup returns the states of requests that have matched a route of a group.
func (s states) inGroup(group string) states {
	if group == "" {
		return s
	}
	in := make(states, len(s))
	for handler, state := range s {
		state.groups = union(state.groups, []string{group})
		in[handler] = state
	}
	return in
}

// later returns the states of requests that come back to a point of their way, or to error routes, after others.
func (s states) later() states {
	later := make(states, len(s))
	for handler, state := range s {
		state.anyGroup = true
		later[handler] = state
	}
	return later
}

// mayHaveMatched returns the states of those requests that may have matched a route of a group before.
func (s states) mayHaveMatched(group string) states {
	matched := make(states)
	for handler, state := range s {
		if group != "" && (state.anyGroup || slices.Contains(state.groups, group)) {
			matched[handler] = state
		}
	}
	return matched
}

// union returns a, and what b has beside it.
func union[T comparable](a, b []T) []T {
	joined := slices.Clip(a)
	for _, element := range b {
		if !slices.Contains(joined, element) {
			joined = append(joined, element)
		}
	}
	return joined
}
