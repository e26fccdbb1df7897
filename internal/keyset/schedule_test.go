package keyset

import (
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// epoch is when the sets of these tests began.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// at is an instant after the epoch.
func at(d time.Duration) time.Time { return epoch.Add(d) }

// fakeKey is a key that nobody signs with.
func fakeKey(id string) *keys.Key {
	return &keys.Key{ID: id, Algorithm: jose.ES256, Public: &jose.JSONWebKey{KeyID: id}}
}

// turn is the record of a key whose turn begins some time after the epoch. It was made an hour
// before, and stays for an hour after its successor began.
func turn(id string, n int, begins time.Duration) keys.Timed {
	return keys.Timed{Key: fakeKey(id), Turn: n, Created: at(begins - time.Hour), SignsFrom: at(begins), Grace: time.Hour}
}

func with(r keys.Timed, change func(*keys.Timed)) keys.Timed {
	change(&r)
	return r
}

func idOf(r *keys.Timed) string {
	if r == nil {
		return ""
	}
	return r.ID
}

func idsOf(records []*keys.Timed) []string {
	ids := []string{}
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	return ids
}

const hour = time.Hour

func TestWhichKeySigns(t *testing.T) {
	abc := []keys.Timed{turn("a", 1, 0), turn("b", 2, 10*hour), turn("c", 3, 20*hour)}
	byHand := []keys.Timed{turn("a", 1, 0), with(turn("b", 2, 0), func(r *keys.Timed) { r.SignsFrom = time.Time{} })}
	revoked := func(i int, when time.Duration) []keys.Timed {
		records := slices.Clone(abc)
		records[i].Revoked = at(when)
		return records
	}
	tests := map[string]struct {
		records []keys.Timed
		want    map[time.Duration]string
	}{
		"no key":  {nil, map[time.Duration]string{0: ""}},
		"one key": {abc[:1], map[time.Duration]string{-hour: "a", 0: "a", 1000 * hour: "a"}},
		"each in its turn": {abc, map[time.Duration]string{
			0: "a", 10*hour - 1: "a", 10 * hour: "b", 20*hour - 1: "b", 20 * hour: "c", 1000 * hour: "c",
		}},
		"the order of the records does not matter": {[]keys.Timed{abc[2], abc[0], abc[1]}, map[time.Duration]string{
			0: "a", 10 * hour: "b", 20 * hour: "c",
		}},
		"a clock that was set back": {abc, map[time.Duration]string{-100 * hour: "a"}},
		"the first keys are gone":   {abc[1:], map[time.Duration]string{0: "b", 10 * hour: "b", 20 * hour: "c"}},
		"a turn is missing": {
			[]keys.Timed{abc[0], abc[2]}, map[time.Duration]string{10 * hour: "a", 20 * hour: "c"},
		},
		"by hand": {byHand, map[time.Duration]string{0: "a", 1000 * hour: "a"}},
		"by hand, and it is promoted": {
			[]keys.Timed{byHand[0], with(byHand[1], func(r *keys.Timed) { r.Promoted = at(5 * hour) })},
			map[time.Duration]string{5*hour - 1: "a", 5 * hour: "b"},
		},
		"promoted before its turn": {
			[]keys.Timed{abc[0], with(abc[1], func(r *keys.Timed) { r.Promoted = at(5 * hour) })},
			map[time.Duration]string{5*hour - 1: "a", 5 * hour: "b"},
		},
		"promoted when it signs anyway": {
			[]keys.Timed{abc[0], with(abc[1], func(r *keys.Timed) { r.Promoted = at(15 * hour) })},
			map[time.Duration]string{10*hour - 1: "a", 10 * hour: "b"},
		},
		"the key that signs is revoked": {
			revoked(0, 5*hour), map[time.Duration]string{5*hour - 1: "a", 5 * hour: "b", 10 * hour: "b", 20 * hour: "c"},
		},
		"the successor is revoked": {
			revoked(1, 5*hour), map[time.Duration]string{5 * hour: "a", 10 * hour: "a", 20*hour - 1: "a", 20 * hour: "c"},
		},
		"the last one is revoked": {revoked(2, 25*hour), map[time.Duration]string{25*hour - 1: "c", 25 * hour: "b"}},
		"all are revoked": {[]keys.Timed{
			with(abc[0], func(r *keys.Timed) { r.Revoked = at(5 * hour) }),
			with(abc[1], func(r *keys.Timed) { r.Revoked = at(5 * hour) }),
		}, map[time.Duration]string{5*hour - 1: "a", 5 * hour: ""}},
		"two for one turn: the older": {
			[]keys.Timed{turn("z", 1, 0), turn("a", 1, time.Minute)}, map[time.Duration]string{0: "z", hour: "z"},
		},
		"two for one turn, equally old: the lower kid": {
			[]keys.Timed{turn("z", 1, 0), turn("a", 1, 0)}, map[time.Duration]string{0: "a", hour: "a"},
		},
		"two for one turn, and one is revoked": {[]keys.Timed{with(turn("a", 1, 0),
			func(r *keys.Timed) { r.Revoked = at(hour) }), turn("z", 1, 0)}, map[time.Duration]string{
			0: "a", hour: "z",
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := NewSchedule(test.records)
			for instant, want := range test.want {
				require.Equal(t, want, idOf(s.Signing(at(instant))), "after %s", instant)
			}
		})
	}
}

func TestWhichKeysArePublished(t *testing.T) {
	abc := []keys.Timed{turn("a", 1, 0), turn("b", 2, 10*hour), turn("c", 3, 20*hour)}
	secret := abc[1]
	secret.Key = &keys.Key{ID: "b"}
	tests := map[string]struct {
		records []keys.Timed
		want    map[time.Duration][]string
	}{
		"no key":                {nil, map[time.Duration][]string{0: {}}},
		"the successor as well": {abc[:2], map[time.Duration][]string{0: {"a", "b"}}},
		"one from the future":   {abc[:1], map[time.Duration][]string{-100 * hour: {"a"}}},
		"until its tokens ended": {
			abc, map[time.Duration][]string{
				11*hour - 1: {"a", "b", "c"}, 11 * hour: {"b", "c"}, 21*hour - 1: {"b", "c"},
				21 * hour: {"c"}, 1000 * hour: {"c"},
			},
		},
		"not a secret": {[]keys.Timed{abc[0], secret}, map[time.Duration][]string{0: {"a"}}},
		"by hand": {
			[]keys.Timed{abc[0], with(abc[1], func(r *keys.Timed) { r.SignsFrom = time.Time{} })},
			map[time.Duration][]string{1000 * hour: {"a", "b"}},
		},
		"promoted": {
			[]keys.Timed{abc[0], with(abc[1], func(r *keys.Timed) { r.Promoted = at(5 * hour) })},
			map[time.Duration][]string{
				6*hour - 1: {"a", "b"}, 6 * hour: {"b"},
			},
		},
		"revoked: until it is withdrawn": {[]keys.Timed{with(abc[0],
			func(r *keys.Timed) { r.Revoked, r.Withdrawn = at(3*hour), at(4*hour) }), abc[1]}, map[time.Duration][]string{
			4*hour - 1: {"a", "b"}, 4 * hour: {"b"},
		}},
		"revoked after its turn": {[]keys.Timed{with(abc[0],
			func(r *keys.Timed) { r.Revoked, r.Withdrawn = at(10*hour), at(30*hour) }), abc[1]}, map[time.Duration][]string{
			11*hour - 1: {"a", "b"}, 11 * hour: {"b"},
		}},
		// A successor that was revoked before it signed supersedes nobody.
		"the successor was revoked": {[]keys.Timed{abc[0], with(abc[1],
			func(r *keys.Timed) { r.Revoked, r.Withdrawn = at(3*hour), at(4*hour) }), abc[2]}, map[time.Duration][]string{
			3 * hour: {"a", "b", "c"}, 4 * hour: {"a", "c"}, 12 * hour: {"a", "c"}, 21*hour - 1: {"a", "c"}, 21 * hour: {"c"},
		}},
		"two for one turn": {
			[]keys.Timed{turn("a", 1, 0), turn("z", 1, 0), abc[1]},
			map[time.Duration][]string{0: {"a", "z", "b"}, 11 * hour: {"b"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := NewSchedule(test.records)
			for instant, want := range test.want {
				require.Equal(t, want, idsOf(s.Published(at(instant))), "after %s", instant)
			}
		})
	}
}

// TestAKeyThatReplacesOthersRevokesThem: they stop signing when it says, and leave the JWKS when it
// enters it; every client moves to it when it begins.
func TestAKeyThatReplacesOthersRevokesThem(t *testing.T) {
	a, b := turn("a", 1, 0), turn("b", 2, 100*hour)
	fresh := with(turn("c", 3, 7*hour), func(r *keys.Timed) {
		r.Created, r.ReplacesFrom, r.Appears, r.Replaces = at(3*hour), at(4*hour), at(5*hour), []string{"a"}
	})
	s := NewSchedule([]keys.Timed{a, b, fresh})
	for instant, signs := range map[time.Duration]string{
		4*hour - 1: "a", 4 * hour: "b", 7*hour - 1: "b", 7 * hour: "c",
		200 * hour: "c",
	} {
		require.Equal(t, signs, idOf(s.Signing(at(instant))), "after %s", instant)
	}
	for instant, shows := range map[time.Duration][]string{
		4 * hour: {"a", "b"}, 5*hour - 1: {"a", "b"},
		5 * hour: {"b", "c"},
	} {
		require.Equal(t, shows, idsOf(s.Published(at(instant))), "after %s", instant)
	}
	require.Equal(t, at(4*hour), s.NextEmergency(at(0)))
	require.Equal(t, at(7*hour), s.NextEmergency(at(4*hour)))

	all := with(turn("d", 4, 6*hour), func(r *keys.Timed) {
		r.Created, r.Replaces = at(6*hour), []string{keys.ReplacesAll}
	})
	s = NewSchedule([]keys.Timed{a, b, fresh, all})
	require.Equal(t, "d", idOf(s.Signing(at(6*hour))))
	require.Equal(t, []string{"d"}, idsOf(s.Published(at(6*hour))))
	require.Equal(t, []string{"d"}, idsOf(s.Published(at(6*hour-timing.ClockSkew))), "to one whose clock is behind, too")
}

// TestAFreshKeyThatHasToSignEarlyIsInNoJWKSWithARevokedOne: no other key is left, and nodes read the JWKS
// with its first token.
func TestAFreshKeyThatHasToSignEarlyIsInNoJWKSWithARevokedOne(t *testing.T) {
	a := with(turn("a", 1, 0), func(r *keys.Timed) { r.Revoked, r.Withdrawn = at(4*hour), at(6*hour) })
	fresh := with(turn("f", 2, 7*hour), func(r *keys.Timed) {
		r.Created, r.Appears, r.Replaces = at(3*hour), at(6*hour), []string{"x"}
	})
	s := NewSchedule([]keys.Timed{a, fresh})
	for instant, shows := range map[time.Duration][]string{
		4*hour - 1: {"a"}, 4 * hour: {"f"}, 6 * hour: {"f"},
		8 * hour: {"f"},
	} {
		require.Equal(t, shows, idsOf(s.Published(at(instant))), "after %s", instant)
	}
}

func TestWhichKeySignsForAWindow(t *testing.T) {
	abc := []keys.Timed{turn("a", 1, 0), turn("b", 2, 10*hour), turn("c", 3, 20*hour)}
	s := NewSchedule(abc)
	require.Equal(t, "a", idOf(s.SigningFor(at(10*hour-time.Second), at(10*hour+time.Minute))),
		"a rotation waits for the window's end")
	require.Equal(t, "b", idOf(s.SigningFor(at(10*hour), at(10*hour+time.Minute))))

	promoted := slices.Clone(abc)
	promoted[1].Promoted = at(5 * hour)
	s = NewSchedule(promoted)
	require.Equal(t, "a", idOf(s.SigningFor(at(5*hour-time.Minute), at(5*hour-1))))
	require.Equal(t, "b", idOf(s.SigningFor(at(5*hour-time.Minute), at(5*hour))), "an emergency does not")
	require.Equal(t, at(5*hour), s.NextEmergency(at(0)))
	require.True(t, s.NextEmergency(at(5*hour)).IsZero())

	revoked := slices.Clone(abc)
	revoked[0].Revoked, revoked[0].Withdrawn = at(5*hour), at(6*hour)
	s = NewSchedule(revoked)
	require.Equal(t, "b", idOf(s.SigningFor(at(5*hour-time.Minute), at(5*hour))))
	require.True(t, s.Trusts(abc[0].Key, at(5*hour-1)))
	require.False(t, s.Trusts(abc[0].Key, at(5*hour)), "though it is published still")
	require.True(t, s.Trusts(abc[1].Key, at(5*hour)))
	require.False(t, s.Trusts(fakeKey("x"), at(0)))

	s = newFixedSchedule([]keys.Fixed{{Key: fakeKey("a"), Signs: true}}, at(2*hour))
	require.Equal(t, at(2*hour), s.lastEmergency(at(3*hour)), "a file was replaced")
	require.True(t, s.lastEmergency(at(hour)).IsZero())
}

func TestWhichKeyIsMadeNext(t *testing.T) {
	const every, lead = 10 * hour, 3 * time.Minute
	a, b := turn("a", 1, 0), turn("b", 2, 10*hour)
	byHand := with(b, func(r *keys.Timed) { r.SignsFrom = time.Time{} })
	revoked := func(r keys.Timed) keys.Timed { return with(r, func(r *keys.Timed) { r.Revoked = at(-hour) }) }
	none := Plan{}
	tests := map[string]struct {
		records []keys.Timed
		now     time.Duration
		every   time.Duration
		want    Plan
	}{
		"the first one, at once": {nil, 0, every, Plan{Turn: 1, SignsFrom: at(0)}},
		"its successor": {
			[]keys.Timed{a}, 0, every, Plan{Turn: 2, SignsFrom: at(every)},
		},
		"a successor by hand":               {[]keys.Timed{a}, 0, 0, Plan{Turn: 2}},
		"nothing, for there is a successor": {[]keys.Timed{a, b}, 5 * hour, every, none},
		"nothing, for there is one by hand": {[]keys.Timed{a, byHand}, 5 * hour, 0, none},
		"one that rotates after one by hand": {
			[]keys.Timed{a, byHand}, 5 * hour, every, Plan{Turn: 3, SignsFrom: at(every)},
		},
		"the successor's successor, when its turn began": {
			[]keys.Timed{a, b}, 10 * hour, every, Plan{Turn: 3, SignsFrom: at(20 * hour)},
		},
		"the successor, late, but not before all know it": {
			[]keys.Timed{a}, 50 * hour, every, Plan{Turn: 2, SignsFrom: at(50*hour + lead)},
		},
		"the successor, just in time": {
			[]keys.Timed{a}, 10*hour - time.Minute, every, Plan{Turn: 2, SignsFrom: at(10*hour - time.Minute + lead)},
		},
		"one for a successor that is revoked": {
			[]keys.Timed{a, revoked(b)}, 0, every, Plan{Turn: 3, SignsFrom: at(every)},
		},
		"the first one anew, when all are revoked": {
			[]keys.Timed{revoked(a), revoked(b)}, 2 * hour, every, Plan{Turn: 3, SignsFrom: at(2 * hour)},
		},
		"the one after that which the revoked one gave way to": {
			[]keys.Timed{revoked(a), b}, 0, every, Plan{Turn: 3, SignsFrom: at(20 * hour)},
		},
		"a clock that was set back makes none": {[]keys.Timed{a, b}, -100 * hour, every, none},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan, missing := NewSchedule(test.records).Missing(at(test.now), test.every, lead)
			require.Equal(t, test.want, plan)
			require.Equal(t, test.want.Turn != 0, missing)
		})
	}
}

func TestWhatWasOnceReadStays(t *testing.T) {
	a, b := turn("a", 1, 0), turn("b", 2, 10*hour)
	revoked := with(a, func(r *keys.Timed) { r.Revoked, r.Withdrawn = at(5*hour), at(6*hour) })
	known := NewSchedule([]keys.Timed{revoked, b})

	ids := func(s *Schedule) []string {
		ids := []string{}
		for _, r := range s.Records {
			ids = append(ids, r.ID)
		}
		return ids
	}
	require.Equal(t, []string{"a", "b"}, ids(merge(known, nil, at(0))), "a stale read takes no key away")
	require.Equal(t, []string{"b"}, ids(merge(known, nil, at(6*hour))), "that has not retired")
	c := turn("c", 3, 20*hour)
	require.Equal(t, []string{"a", "b", "c"}, ids(merge(known, []keys.Timed{c}, at(0))))

	merged := merge(known, []keys.Timed{a, b}, at(0))
	require.Equal(t, at(5*hour), merged.Records[0].Revoked, "nor a revocation")
	require.Equal(t, at(6*hour), merged.Records[0].Withdrawn)

	file := newFixedSchedule([]keys.Fixed{{Key: fakeKey("f"), Signs: true}, {Key: fakeKey("g")}}, time.Time{})
	require.Len(t, updateFixed(file, []keys.Fixed{{Key: fakeKey("f"), Signs: true}}, at(0)).Records, 1,
		"a source of fixed keys says everything, every time")
}

// TestTheTokensOfAnEarlierConfigurationCountUntilTheyExpire, and a key's retirement does not grow by
// loading one for a minute.
func TestTheTokensOfAnEarlierConfigurationCountUntilTheyExpire(t *testing.T) {
	graced := func(grace time.Duration) []keys.Timed {
		records := []keys.Timed{turn("a", 1, 0), turn("b", 2, 100*hour)}
		for i := range records {
			records[i].Grace = grace
		}
		return records
	}
	const usual, long = 70 * time.Minute, 25 * hour
	tests := map[string]struct {
		longFrom, longUntil time.Duration
		retires             time.Duration
	}{
		"never":                     {300 * hour, 300 * hour, 100*hour + usual},
		"for a minute, long before": {10 * hour, 10*hour + time.Minute, 100*hour + usual},
		"for a minute, just before": {99 * hour, 99*hour + time.Minute, 99*hour + time.Minute + long},
		"from then on":              {99 * hour, 300 * hour, 100*hour + long},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &State{answered: make(chan struct{})}
			for since := time.Duration(0); since < 101*hour; since += time.Minute {
				grace := usual
				if since >= test.longFrom && since < test.longUntil {
					grace = long
				}
				s.Update(keys.Answer{Timed: graced(grace)}, at(since))
			}
			current := s.Current()
			require.Equal(t, at(test.retires), current.Retires(&current.Records[0]))
			require.Contains(t, idsOf(current.Published(at(test.retires-1))), "a")
			require.NotContains(t, idsOf(current.Published(at(test.retires))), "a")
		})
	}
}
