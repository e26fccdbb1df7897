package conformance

import "time"

// accessCases are about access_token realms, allowed subjects, required claims and
// fallback claims.
func accessCases() []Case {
	access := func(m Members) Token { return Token{Realm: realmAccess, Claims: m} }
	fallback := func(m Members) Token { return Token{Realm: realmFallback, Claims: m} }
	subjects := func(m Members) Token { return Token{Realm: realmSubjects, Claims: m} }
	typ := func(typ string) Token { return Token{Realm: realmAccess, Header: Members{"typ": typ}} }
	before819 := func(c *Case) { c.Want8 = &Want{Status: 401, Reason: "unable to authenticate user ["} }
	return []Case{
		taken("access: an allowed subject", access(nil), metadata(map[string]any{"jwt_token_type": "access_token"})),
		taken("access: a subject that matches a wildcard", access(Members{"sub": "svc-logs"}), as("svc-logs")),
		taken("access: a subject that matches a wildcard with nothing", access(Members{"sub": "svc-"}), as("svc-")),
		taken("access: a subject that matches a regular expression", access(Members{"sub": "x42"}), as("x42")),
		taken("access: a subject that matches a question mark", access(Members{"sub": "u1"}), as("u1")),
		refused("access: another subject", access(Members{"sub": "bob"})),
		refused("access: an allowed subject in another case", access(Members{"sub": "Alice"})),
		refused("access: a pattern in another case", access(Members{"sub": "SVC-logs"})),
		refused("access: a part of a pattern's match", access(Members{"sub": "x42y"})),
		refused("access: a pattern's text", access(Members{"sub": "/x[0-9]+/"})),
		refused("access: two characters for a question mark", access(Members{"sub": "u12"})),
		refused("access: no subject", access(Members{"sub": Absent})),
		refused("access: an empty subject", access(Members{"sub": ""})),
		taken("access: typ JWT", typ("JWT")),
		taken("access: no typ", Token{Realm: realmAccess, Header: Members{"typ": Absent}}),
		taken("access: typ at+jwt", typ("at+jwt"), before819),
		taken("access: typ AT+JWT", typ("AT+JWT"), before819),
		refused("access: typ application/at+jwt", typ("application/at+jwt")),
		refused("access: iat is required", access(Members{"iat": Absent})),
		refused("access: exp is required", access(Members{"exp": Absent})),
		refused("access: iat 90 s ahead", access(Members{"iat": At(90 * time.Second)})),
		refused("access: exp 90 s ago", access(Members{"exp": At(-90 * time.Second)})),
		taken("access: nbf is not looked at", access(Members{"nbf": At(90 * time.Second)})),
		taken("access: auth_time is not looked at", access(Members{"auth_time": At(90 * time.Second)})),
		taken("access: auth_time may be a string", access(Members{"auth_time": "1"})),
		notJWT("access: nbf is a string", access(Members{"nbf": "1"})),
		refused("access: another audience", access(Members{"aud": "https://elsewhere.example.com"})),
		refused("access: a fallback claim where none is configured",
			access(Members{"sub": Absent, "client_id": "alice"})),

		taken("fallback: for sub and aud", fallback(nil), roles("viewer"), metadata(map[string]any{
			"jwt_claim_client_id": "alice", "jwt_claim_scope": audience, "jwt_claim_sub": nil,
			"jwt_token_type": "access_token",
		})),
		taken("fallback: an array for aud", fallback(Members{"scope": []string{"x", audience}})),
		taken("fallback: the claims themselves",
			fallback(Members{"sub": "carol", "aud": audience, "client_id": Absent, "scope": Absent}), as("carol")),
		taken("fallback: the claims themselves first", fallback(Members{"sub": "carol", "aud": audience, "scope": "x"}),
			as("carol")),
		taken("fallback: null counts as absent", fallback(Members{"sub": nil, "aud": nil})),
		refused("fallback: an empty aud does not", fallback(Members{"aud": []string{}})),
		refused("fallback: an aud that does not match does not", fallback(Members{"aud": "x"})),
		refused("fallback: an empty sub does not", fallback(Members{"sub": ""})),
		refused("fallback: for sub absent", fallback(Members{"client_id": Absent})),
		refused("fallback: for aud absent", fallback(Members{"scope": Absent})),
		refused("fallback: a number for sub", fallback(Members{"client_id": 5})),
		refused("fallback: an array for sub", fallback(Members{"client_id": []string{"alice"}})),
		refused("fallback: a number in the array for aud", fallback(Members{"scope": []any{audience, 1}})),
		refused("fallback: several scopes in one string", fallback(Members{"scope": "openid " + audience})),

		taken("required claim: the other value", fallback(Members{"token_use": "service"})),
		taken("required claim: one of an array", fallback(Members{"token_use": []string{"x", "access"}})),
		refused("required claim: absent", fallback(Members{"token_use": Absent})),
		refused("required claim: null", fallback(Members{"token_use": nil})),
		refused("required claim: another value", fallback(Members{"token_use": "id"})),
		refused("required claim: in another case", fallback(Members{"token_use": "Access"})),
		refused("required claim: an empty array", fallback(Members{"token_use": []string{}})),
		refused("required claim: a number", fallback(Members{"token_use": 1})),
		refused("required claim: a boolean", fallback(Members{"token_use": true})),
		refused("required claim: an object", fallback(Members{"token_use": Members{"access": true}})),
		refused("required claim: a number in the array", fallback(Members{"token_use": []any{"access", 1}})),

		taken("subjects: an allowed one", subjects(nil)),
		taken("subjects: an allowed one with a space", subjects(Members{"sub": "bob smith"}), as("bob smith")),
		taken("subjects: a pattern's", subjects(Members{"sub": "svc-1"}), as("svc-1")),
		refused("subjects: another", subjects(Members{"sub": "carol"})),
		refused("subjects: two in one string", subjects(Members{"sub": "alice,bob smith"})),
		taken("subjects: the other version", subjects(Members{"version": "1.0"})),
		refused("subjects: the version as a number", subjects(Members{"version": JSON("2.0")})),
		refused("subjects: one of two required claims", subjects(Members{"token_use": Absent})),
	}
}
