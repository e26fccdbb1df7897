package conformance

import (
	"fmt"
	"slices"
)

// mappingCases are about the user that a realm makes of a good token.
func mappingCases() []Case {
	claims := func(m Members) Token { return Token{Realm: realmAlgorithms, Claims: m} }
	cases := []Case{
		taken("groups: an array", claims(Members{"roles": []string{"analysts", "readers"}}),
			roles("viewer", "readers")),
		taken("groups: an array of one", claims(nil), roles("viewer")),
		taken("groups: a string is one group", claims(Members{"roles": "analysts"}), roles("viewer")),
		taken("groups: a string with a comma is one group", claims(Members{"roles": "analysts,readers"}), roles()),
		taken("groups: a string with a space is one group", claims(Members{"roles": "analysts readers"}), roles()),
		taken("groups: absent", claims(Members{"roles": Absent}), roles()),
		taken("groups: null", claims(Members{"roles": nil}), roles()),
		taken("groups: an empty array", claims(Members{"roles": []string{}}), roles()),
		taken("groups: an empty string is an empty group", claims(Members{"roles": ""}), roles("p-group-empty")),
		taken("groups: an empty string in an array", claims(Members{"roles": []string{""}}), roles("p-group-empty")),
		taken("groups: twice the same", claims(Members{"roles": []string{"analysts", "analysts"}}), roles("viewer")),
		taken("groups: of no mapping", claims(Members{"roles": []string{"strangers"}}), roles()),
		taken("groups: in another case", claims(Members{"roles": []string{"ANALYSTS"}}), roles("viewer")),
		taken("groups: with a space", claims(Members{"roles": []string{" analysts"}}), roles()),
		taken("groups: 600 of them", claims(Members{"roles": manyGroups(600)}), roles("viewer")),
		refused("groups: a number", claims(Members{"roles": 1})),
		refused("groups: a boolean", claims(Members{"roles": true})),
		refused("groups: an object", claims(Members{"roles": Members{"a": "analysts"}})),
		refused("groups: a number in the array", claims(Members{"roles": []any{"analysts", 1}})),
		refused("groups: null in the array", claims(Members{"roles": []any{"analysts", nil}})),
		refused("groups: an array in the array", claims(Members{"roles": []any{[]string{"analysts"}}})),

		taken("name, mail: strings", claims(Members{"name": "Alice A.", "mail": "alice@example.com"}),
			fullName("Alice A.", "alice@example.com")),
		taken("name, mail: the first of several",
			claims(Members{"name": []string{"Alice", "A."}, "mail": []string{"a@x", "b@x"}}), fullName("Alice", "a@x")),
		taken("name, mail: empty", claims(Members{"name": "", "mail": ""})),
		taken("name, mail: null", claims(Members{"name": nil, "mail": nil})),
		taken("name, mail: empty arrays", claims(Members{"name": []string{}, "mail": []string{}})),
		refused("name: a number", claims(Members{"name": 1})),
		refused("mail: an object", claims(Members{"mail": Members{"a": 1}})),
		refused("dn: a boolean", claims(Members{"dn": true})),
		taken("dn: is not in the answer", claims(Members{"dn": "CN=x"}), roles("p-dn-star", "viewer")),

		taken("principal: a dotted claim name", Token{Realm: realmDots}, roles("viewer")),
		refused("principal: a nested claim is not a dotted one",
			Token{Realm: realmDots, Claims: Members{"user.name": Absent, "user": Members{"name": "alice"}}}),
		taken("groups: a nested claim is not a dotted one", Token{Realm: realmDots, Claims: Members{
			"realm_access.roles": Absent, "realm_access": Members{"roles": []string{"analysts"}},
		}}, roles()),
		refused("principal: absent", Token{Realm: realmDots, Claims: Members{"user.name": Absent}}),
		refused("principal: an empty array", Token{Realm: realmDots, Claims: Members{"user.name": []string{}}}),
		refused("principal: empty", Token{Realm: realmDots, Claims: Members{"user.name": ""}}),
		refused("principal: white space", Token{Realm: realmDots, Claims: Members{"user.name": " \t\n"}}),
		taken("principal: the first of several",
			Token{Realm: realmDots, Claims: Members{"user.name": []string{"carol", "dave"}}}, as("carol")),
		refused("principal: a number", Token{Realm: realmDots, Claims: Members{"user.name": 5}}),
		refused("principal: an object", Token{Realm: realmDots, Claims: Members{"user.name": Members{"a": 1}}}),

		taken("metadata: scalars and lists of them", claims(Members{
			"s": "x", "i": 1, "f": 1.25, "t": true, "n": nil, "l": []any{1, "a", true, 2.5}, "e": []any{},
			"o": Members{"a": 1}, "lo": []any{Members{"a": 1}}, "ll": []any{[]any{1}}, "ln": []any{nil},
		}), metadata(map[string]any{
			"jwt_claim_s": "x", "jwt_claim_i": 1, "jwt_claim_f": 1.25, "jwt_claim_t": true, "jwt_claim_n": nil,
			"jwt_claim_l": []any{1, "a", true, 2.5}, "jwt_claim_e": []any{},
			"jwt_claim_o": nil, "jwt_claim_lo": nil, "jwt_claim_ll": nil, "jwt_claim_ln": nil,
			"jwt_token_type": "id_token", "jwt_claim_sub": "alice", "jwt_claim_roles": []string{"analysts"},
		})),
		taken("metadata: turned off", Token{Realm: realmPatterns},
			metadata(map[string]any{"jwt_token_type": "id_token", "jwt_claim_sub": nil})),
		taken("metadata: names with dots and spaces", claims(Members{"a.b c": "x"}),
			metadata(map[string]any{"jwt_claim_a.b c": "x"})),
		taken("metadata: large and small numbers",
			claims(Members{"x": JSON("1e21"), "y": JSON("0.0001"), "z": JSON("123456789.5"), "v": JSON("-1e-7")}),
			metadata(map[string]any{
				"jwt_claim_x": 1e21, "jwt_claim_y": 0.0001, "jwt_claim_z": 123456789.5, "jwt_claim_v": -1e-7,
			})),
		taken("metadata: an unescaped line separator", claims(Members{"x": "a\u2028b</script>"}),
			metadata(map[string]any{"jwt_claim_x": "a\u2028b</script>"})),
	}
	return cases
}

func fullName(name, mail string) func(*Case) {
	return func(c *Case) { c.Want.FullName, c.Want.Email = name, mail }
}

func manyGroups(n int) []string {
	groups := []string{"analysts"}
	for i := range n - 1 {
		groups = append(groups, fmt.Sprintf("g%d", i))
	}
	return groups
}

// patternCases are about claim_patterns.
func patternCases() []Case {
	claims := func(m Members) Token { return Token{Realm: realmPatterns, Claims: m} }
	return slices.Concat([]Case{
		taken("patterns: the first group of each", claims(nil), fullName("Alice A.", "alice@example.com"),
			roles("viewer", "superuser")),
		taken("principal pattern: matches anywhere", claims(Members{"sub": "OU=x,cn=carol"}), as("carol")),
		taken("principal pattern: the first match", claims(Members{"sub": "CN=dave,CN=eve"}), as("dave")),
		refused("principal pattern: no match", claims(Members{"sub": "alice"})),
		refused("principal pattern: an empty group", claims(Members{"sub": "CN=,OU=x"})),
		refused("principal pattern: a blank group", claims(Members{"sub": "CN= ,OU=x"})),
		taken("principal pattern: stops at the comma, not at the line's end", claims(Members{"sub": "CN=a\nb,OU=x"}),
			as("a\nb")),
		taken("groups pattern: drops what does not match",
			claims(Members{"roles": []string{"es-analysts", "analysts", "es-"}}), roles("viewer")),
		taken("groups pattern: none match", claims(Members{"roles": []string{"readers"}}), roles()),
		taken("groups pattern: a string", claims(Members{"roles": "es-readers"}), roles("readers")),
		taken("groups pattern: the dot matches no line end",
			claims(Members{"roles": []string{"es-read\ners", "es-readers\n"}}), roles("readers")),
		taken("name, mail pattern: no match", claims(Members{"name": "Alice", "mail": "alice@example.com"})),
	})
}
