package conformance

import "strings"

// jsonCases are about the JSON text of the claims set. Elasticsearch 8 reads it
// leniently, and 9 strictly.
func jsonCases() []Case {
	token := func(edit func(string) string) Token { return Token{Realm: realmTeleport, ClaimsText: edit} }
	more := func(s string) Token {
		return token(func(text string) string { return strings.TrimSuffix(text, "}") + "," + s + "}" })
	}
	whole := func(s string) Token { return token(func(string) string { return s }) }
	x := func(v any) func(*Case) { return metadata(map[string]any{"jwt_claim_x": v}) }
	x8 := func(v any) func(*Case) { return taken8(map[string]any{"jwt_claim_x": v}) }
	return []Case{
		notJWT("json: a duplicate member", more(`"x":1,"x":2`)),
		notJWT("json: a duplicate registered member", more(`"sub":"alice"`)),
		taken("json: a duplicate nested member", more(`"x":{"a":1,"a":2}`), x(nil)),
		taken("json: a duplicate member inside an array", more(`"x":[{"a":1,"a":2}]`), x(nil)),
		taken("json: white space around it", token(func(s string) string { return " \n\t" + s + "\r\n" })),
		taken("json: a byte order mark", token(func(s string) string { return "\ufeff" + s })),
		notJWT("json: text after it", token(func(s string) string { return s + "x" })),
		notJWT("json: another object after it", token(func(s string) string { return s + s })),
		notJWT("json: an array around it", token(func(s string) string { return "[" + s + "]" })),
		notJWT("json: cut off", token(func(s string) string { return s[:len(s)-1] })),
		notJWT("json: null", whole("null")),
		notJWT("json: a string", whole(`"alice"`)),
		notJWT("json: a number", whole("1")),
		notJWT("json: white space alone", whole("  ")),
		refused("json: an empty object", whole("{}")),
		notJWT("json: a comma too many", token(func(s string) string { return strings.TrimSuffix(s, "}") + ",}" })),
		notJWT("json: an invalid escape", more(`"x":"\q"`)),

		taken("json: -0", more(`"x":-0`), x(0)),
		taken("json: an exponent", more(`"x":1e2`), x(100)),
		taken("json: a fraction", more(`"x":1.5`), x(1.5)),
		taken("json: the largest long", more(`"x":9223372036854775807`), x(int64(9223372036854775807))),
		taken("json: more than the largest long", more(`"x":9223372036854775808`), x(9223372036854775808.0)),
		taken("json: a very small number", more(`"x":1e-400`), x(0)),
		taken("json: an escaped NUL", more(`"x":"a\u0000b"`), x("a\x00b")),
		taken("json: a surrogate pair", more(`"x":"\ud83d\ude00"`), x("😀")),
		taken("json: an escaped name", more(`"\u0078":1`), x(1)),
		taken("json: an empty name", more(`"":1`), metadata(map[string]any{"jwt_claim_": 1})),
		taken("json: malformed UTF-8",
			token(func(s string) string { return strings.TrimSuffix(s, "}") + ",\"x\":\"\xff\xe2\x82\"}" }),
			x("\ufffd\ufffd")),
		taken("json: nested 254 levels deep", more(`"x":`+strings.Repeat("[", 254)+strings.Repeat("]", 254))),

		notJWT("json: nested 255 levels deep", more(`"x":`+strings.Repeat("[", 255)+strings.Repeat("]", 255)),
			taken8(nil)),
		notJWT("json: a name without quotes", more(`x:1`), x8(1)),
		notJWT("json: single quotes", more(`'x':'y'`), x8("y")),
		notJWT("json: a comment", more(`/* c */"x":1`), x8(1)),
		notJWT("json: a comment to the end of the line", more("\"x\":1 // c\n"), x8(1)),
		notJWT("json: a shell comment", more("\"x\":1 # c\n"), x8(1)),
		notJWT("json: a semicolon for the comma",
			token(func(s string) string { return strings.TrimSuffix(s, "}") + `;"x":1}` }), x8(1)),
		notJWT("json: an equals sign for the colon", more(`"x"=1`), x8(1)),
		notJWT("json: an arrow for the colon", more(`"x"=>1`), x8(1)),
		notJWT("json: a value without quotes", more(`"x":foo`), x8("foo")),
		notJWT("json: an empty slot in an array", more(`"x":[1,,2]`), x8(nil)),
		notJWT("json: a comma too many in an array", more(`"x":[1,]`), x8(nil)),
		notJWT("json: NaN", more(`"x":NaN`), x8("NaN")),
		notJWT("json: TRUE", more(`"x":TRUE`), x8(true)),
		notJWT("json: a leading zero", more(`"x":01`), x8("01")),
		notJWT("json: a leading plus", more(`"x":+1`), x8("+1")),
		notJWT("json: no digit after the point", more(`"x":1.`), x8("1.")),
		notJWT("json: a hexadecimal number", more(`"x":0x1`), x8("0x1")),
		notJWT("json: a number that is too large", more(`"x":1e400`), x8("Infinity")),
		notJWT("json: a tab in a string", more("\"x\":\"a\tb\""), x8("a\tb")),
		notJWT("json: an escaped single quote", more(`"x":"a\'b"`), x8("a'b")),
		notJWT("json: a prefix against inclusion as a script", token(func(s string) string { return ")]}'\n" + s }),
			taken8(nil)),
		notJWT("json: null as a name", more(`null:1`), taken8(map[string]any{"jwt_claim_null": 1})),
	}
}
