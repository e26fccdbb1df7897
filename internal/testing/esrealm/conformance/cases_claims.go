package conformance

import (
	"slices"
	"strings"
)

// claimCases are about iss, sub, aud and jti in an id_token realm with default
// settings.
func claimCases() []Case {
	claims := func(m Members) Token { return Token{Realm: realmTeleport, Claims: m} }
	return slices.Concat([]Case{
		refused("iss: absent", claims(Members{"iss": Absent})),
		refused("iss: null", claims(Members{"iss": nil})),
		refused("iss: empty", claims(Members{"iss": ""})),
		refused("iss: another", claims(Members{"iss": "https://elsewhere.example.com"})),
		refused("iss: with a slash at its end", claims(Members{"iss": issuer(realmTeleport) + "/"})),
		refused("iss: in another case", claims(Members{"iss": "https://Teleport.example.com"})),
		refused("iss: with a space", claims(Members{"iss": issuer(realmTeleport) + " "})),
		notJWT("iss: a number", claims(Members{"iss": 1})),
		notJWT("iss: an array", claims(Members{"iss": []string{issuer(realmTeleport)}})),

		taken("sub: another", claims(Members{"sub": "bob"}), as("bob")),
		taken("sub: with spaces and punctuation", claims(Members{"sub": "CN=Doe, John/ä 日本 😀"}),
			as("CN=Doe, John/ä 日本 😀")),
		taken("sub: a number becomes text", claims(Members{"sub": 5}), as("5")),
		taken("sub: a fraction becomes text", claims(Members{"sub": JSON("1.50")}), as("1.5")),
		taken("sub: a large number becomes text", claims(Members{"sub": JSON("12345678901234567890")}),
			as("1.2345678901234567E19")),
		taken("sub: a very long one", claims(Members{"sub": long}), as(long)),
		refused("sub: absent", claims(Members{"sub": Absent})),
		refused("sub: null", claims(Members{"sub": nil})),
		refused("sub: empty", claims(Members{"sub": ""})),
		refused("sub: a space", claims(Members{"sub": " "})),
		refused("sub: white space", claims(Members{"sub": "\t\u2003\n"})),
		taken("sub: a no-break space", claims(Members{"sub": "\u00a0"}), as("\u00a0")),
		taken("sub: surrounded by spaces", claims(Members{"sub": " alice "}), as(" alice ")),
		notJWT("sub: an array", claims(Members{"sub": []string{"alice"}})),
		notJWT("sub: a boolean", claims(Members{"sub": true})),
		notJWT("sub: an object", claims(Members{"sub": Members{"a": 1}})),

		taken("aud: an array of one", claims(Members{"aud": []string{audience}}),
			metadata(map[string]any{"jwt_claim_aud": []string{audience}})),
		taken("aud: a string", claims(Members{"aud": audience}),
			metadata(map[string]any{"jwt_claim_aud": []string{audience}})),
		taken("aud: another of the allowed", claims(Members{"aud": "other audience"})),
		taken("aud: one of several", claims(Members{"aud": []string{"https://elsewhere.example.com", audience}})),
		taken("aud: null beside it", claims(Members{"aud": []any{nil, audience}}),
			metadata(map[string]any{"jwt_claim_aud": nil})),
		refused("aud: absent", claims(Members{"aud": Absent})),
		refused("aud: null", claims(Members{"aud": nil})),
		refused("aud: empty", claims(Members{"aud": ""})),
		refused("aud: an empty array", claims(Members{"aud": []string{}})),
		refused("aud: an array of null", claims(Members{"aud": []any{nil}})),
		refused("aud: another", claims(Members{"aud": []string{"https://elsewhere.example.com"}})),
		refused("aud: with a slash at its end", claims(Members{"aud": audience + "/"})),
		refused("aud: in another case", claims(Members{"aud": "https://Elasticsearch.example.com:9200"})),
		refused("aud: two in one string", claims(Members{"aud": audience + " other audience"})),
		notJWT("aud: a number", claims(Members{"aud": 1})),
		notJWT("aud: a number beside it", claims(Members{"aud": []any{audience, 1}})),
		notJWT("aud: an object", claims(Members{"aud": Members{"a": audience}})),

		taken("jti: a string", claims(Members{"jti": "x"}), metadata(map[string]any{"jwt_claim_jti": "x"})),
		taken("jti: null", claims(Members{"jti": nil}), metadata(map[string]any{"jwt_claim_jti": nil})),
		notJWT("jti: a number", claims(Members{"jti": 1})),
		taken("claims: unknown ones", claims(Members{"azp": "x", "scope": "a b", "cnf": Members{"x5t#S256": "AAAA"}}),
			metadata(map[string]any{
				"jwt_claim_azp": "x", "jwt_claim_scope": "a b", "jwt_claim_cnf": nil,
			})),
	})
}

var long = "a-very-long-name-" + strings.Repeat("0123456789", 20)
