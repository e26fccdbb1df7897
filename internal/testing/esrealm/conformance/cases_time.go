package conformance

import "time"

// timeCases are about the dates. The allowed skew is a minute. Cases keep some
// seconds away from it.
func timeCases() []Case {
	claims := func(m Members) Token { return Token{Realm: realmTeleport, Claims: m} }
	in := func(realm string, m Members) Token { return Token{Realm: realm, Claims: m} }
	const s, h = At(time.Second), At(time.Hour)
	return []Case{
		refused("exp: absent", claims(Members{"exp": Absent})),
		refused("exp: null", claims(Members{"exp": nil}), notJWT8),
		notJWT("exp: a string", claims(Members{"exp": "4102444800"})),
		notJWT("exp: an array", claims(Members{"exp": []int{4102444800}})),
		notJWT("exp: a boolean", claims(Members{"exp": true})),
		taken("exp: with a fraction", claims(Members{"exp": JSON("4102444800.9")})),
		taken("exp: with an exponent", claims(Members{"exp": JSON("4.1024448e9")})),
		taken("exp: in a hundred years", claims(Members{"exp": 100 * 365 * 24 * h})),
		taken("exp: 30 s ago is within the skew", claims(Members{"exp": -30 * s})),
		refused("exp: 90 s ago", claims(Members{"exp": -90 * s})),
		refused("exp: zero", claims(Members{"exp": 0})),
		refused("exp: negative", claims(Members{"exp": -1})),
		taken("exp: in milliseconds", claims(Members{"exp": JSON("4102444800000")})),
		refused("exp: the largest long overflows", claims(Members{"exp": JSON("9223372036854775807")})),
		refused("exp: a number too large for a long overflows", claims(Members{"exp": JSON("1e30")})),
		taken("exp: before iat, as long as both are within the skew", claims(Members{"iat": 30 * s, "exp": -30 * s})),

		refused("iat: absent", claims(Members{"iat": Absent})),
		refused("iat: null", claims(Members{"iat": nil}), notJWT8),
		notJWT("iat: a string", claims(Members{"iat": "1700000000"})),
		taken("iat: with a fraction", claims(Members{"iat": JSON("1700000000.5")})),
		taken("iat: long ago", claims(Members{"iat": 1})),
		taken("iat: 30 s ahead is within the skew", claims(Members{"iat": 30 * s})),
		refused("iat: 90 s ahead", claims(Members{"iat": 90 * s})),
		refused("iat: after exp", claims(Members{"iat": 2 * h, "exp": h})),

		taken("nbf: absent", claims(Members{"nbf": Absent})),
		taken("nbf: null", claims(Members{"nbf": nil}), notJWT8),
		taken("nbf: past", claims(Members{"nbf": -h})),
		taken("nbf: 30 s ahead is within the skew", claims(Members{"nbf": 30 * s})),
		refused("nbf: 90 s ahead", claims(Members{"nbf": 90 * s})),
		notJWT("nbf: a string", claims(Members{"nbf": "1700000000"})),

		taken("auth_time: past", claims(Members{"auth_time": 1700000000}),
			metadata(map[string]any{"jwt_claim_auth_time": 1700000000})),
		taken("auth_time: null", claims(Members{"auth_time": nil})),
		taken("auth_time: with a fraction", claims(Members{"auth_time": 1.5}),
			metadata(map[string]any{"jwt_claim_auth_time": 1.5})),
		refused("auth_time: 90 s ahead", claims(Members{"auth_time": 90 * s})),
		refused("auth_time: a string", claims(Members{"auth_time": "1700000000"})),
		refused("auth_time: a list", claims(Members{"auth_time": []int{1700000000}})),

		taken("dates: are no metadata", claims(Members{"nbf": -h}), metadata(map[string]any{
			"jwt_claim_exp": nil, "jwt_claim_iat": nil, "jwt_claim_nbf": nil,
		})),

		taken("skew of 5 min: exp 4 min ago", in(realmPatterns, Members{"exp": -240 * s}), as("alice")),
		refused("skew of 5 min: exp 6 min ago", in(realmPatterns, Members{"exp": -360 * s})),
		taken("skew of 5 min: iat 4 min ahead", in(realmPatterns, Members{"iat": 240 * s}), as("alice")),
		refused("skew of 5 min: iat 6 min ahead", in(realmPatterns, Members{"iat": 360 * s})),
		refused("no skew: exp 5 s ago", in(realmSubjects, Members{"exp": -5 * s})),
		refused("no skew: iat 30 s ahead", in(realmSubjects, Members{"iat": 30 * s})),
		refused("no skew: nbf 30 s ahead", in(realmSubjects, Members{"nbf": 30 * s})),
		taken("no skew: iat 5 s ago", in(realmSubjects, Members{"iat": -5 * s})),
	}
}
