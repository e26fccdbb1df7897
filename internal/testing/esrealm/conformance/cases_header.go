package conformance

import (
	"fmt"
	"strings"
)

// headerCases are about the JOSE header.
func headerCases() []Case {
	header := func(m Members) Token { return Token{Realm: realmTeleport, Header: m} }
	text := func(s string) Token {
		return Token{Realm: realmTeleport, HeaderText: func(string) string { return s }}
	}
	cases := []Case{
		taken("header: alg, kid and typ", Token{Realm: realmTeleport}),

		taken("typ: absent", header(Members{"typ": Absent})),
		taken("typ: null", header(Members{"typ": nil})),
		taken("typ: in lower case", header(Members{"typ": "jwt"})),
		taken("typ: in mixed case", header(Members{"typ": "JwT"})),
		refused("typ: empty", header(Members{"typ": ""})),
		refused("typ: JOSE", header(Members{"typ": "JOSE"})),
		refused("typ: with a space", header(Members{"typ": "JWT "})),
		refused("typ: at+jwt in an id_token realm", header(Members{"typ": "at+jwt"})),
		refused("typ: application/jwt", header(Members{"typ": "application/jwt"})),
		notJWT("typ: a number", header(Members{"typ": 1})),
		notJWT("typ: an array", header(Members{"typ": []string{"JWT"}})),

		notJWT("alg: none", header(Members{"alg": "none"})),
		notJWT("alg: none with an empty signature", Token{
			Realm: realmTeleport, Header: Members{"alg": "none"},
			Compact: func(s string) string { return s[:strings.LastIndex(s, ".")+1] },
		}),
		refused("alg: NONE", header(Members{"alg": "NONE"})),
		notJWT("alg: absent", header(Members{"alg": Absent})),
		notJWT("alg: null", header(Members{"alg": nil})),
		notJWT("alg: a number", header(Members{"alg": 1})),
		refused("alg: empty", header(Members{"alg": ""})),
		refused("alg: in lower case", header(Members{"alg": "rs256"})),
		refused("alg: with a space", header(Members{"alg": "RS256 "})),
		refused("alg: EdDSA", header(Members{"alg": "EdDSA"})),
		refused("alg: ES256K", header(Members{"alg": "ES256K"})),
		refused("alg: of an encryption, without enc", header(Members{"alg": "RSA-OAEP"})),
		notJWT("alg: of an encryption, with enc", header(Members{"alg": "dir", "enc": "A128GCM"})),
		notJWT("enc: beside RS256", header(Members{"enc": "A128GCM"})),
		notJWT("enc: null", header(Members{"enc": nil})),
		refused("alg: allowed by RFC 7518 but not by the realm", Token{Realm: realmTeleport, Alg: "RS384"}),
		refused("alg: HS256 in a realm that has no symmetric key",
			Token{Realm: realmTeleport, Alg: "HS256", Key: keyHMAC256}),

		taken("kid: absent", header(Members{"kid": Absent})),
		taken("kid: null", header(Members{"kid": nil})),
		notJWT("kid: a number", header(Members{"kid": 1})),

		refused("crit: names a member", header(Members{"crit": []string{"exp"}, "exp": 1})),
		refused("crit: names something unknown", header(Members{"crit": []string{"x"}, "x": 1})),
		refused("crit: names what is not there", header(Members{"crit": []string{"x"}})),
		refused("crit: names alg", header(Members{"crit": []string{"alg"}})),
		refused("crit: names b64 and something else", header(Members{"crit": []string{"b64", "x"}, "b64": true})),
		taken("crit: empty", header(Members{"crit": []string{}})),
		taken("crit: null", header(Members{"crit": nil})),
		taken("crit: names b64", header(Members{"crit": []string{"b64"}, "b64": true})),
		taken("crit: names b64, which is not there", header(Members{"crit": []string{"b64"}})),
		notJWT("crit: a string", header(Members{"crit": "exp"})),
		notJWT("crit: holds a number", header(Members{"crit": []any{1}})),
		refused("crit: holds null", header(Members{"crit": []any{nil}})),

		taken("b64: true", header(Members{"b64": true})),
		refused("b64: false, with the signature over the encoded payload", header(Members{"b64": false})),
		taken("b64: false, with the signature over the payload itself", Token{
			Realm: realmTeleport, Header: Members{"b64": false},
			Signer: func(input, payload []byte) []byte {
				first, _, _ := strings.Cut(string(input), ".")
				return keys()[keyRSA].sign("RS256", append([]byte(first+"."), payload...))
			},
		}),
		notJWT("b64: a string", header(Members{"b64": "true"})),
		notJWT("b64: null", header(Members{"b64": nil})),

		taken("jku: ignored", header(Members{"jku": "https://evil.example.com/jwks.json"})),
		notJWT("jku: no URI", header(Members{"jku": "https://not a uri"})),
		notJWT("jku: a number", header(Members{"jku": 1})),
		taken("x5u: ignored", header(Members{"x5u": "https://evil.example.com/cert.pem"})),
		notJWT("x5u: no URI", header(Members{"x5u": "<>"})),
		taken("x5c: ignored", header(Members{"x5c": []string{"AAAA"}})),
		taken("x5c: null", header(Members{"x5c": nil})),
		notJWT("x5c: a string", header(Members{"x5c": "AAAA"})),
		notJWT("x5c: holds a number", header(Members{"x5c": []any{1}})),
		taken("x5t: ignored", header(Members{"x5t": "AAAA", "x5t#S256": "AAAA"})),
		notJWT("x5t: a number", header(Members{"x5t": 1})),
		taken("cty: ignored", header(Members{"cty": "JWT"})),
		notJWT("cty: a number", header(Members{"cty": 1})),
		taken("zip: ignored", header(Members{"zip": "DEF"})),
		taken("header: unknown members", header(Members{"foo": map[string]any{"a": []int{1}}, "bar": nil})),

		taken("jwk: another public key is ignored", header(Members{"jwk": jwk(keyRSAUnknown, nil)})),
		taken("jwk: an EC key", header(Members{"jwk": jwk(keyES256, nil)})),
		taken("jwk: null", header(Members{"jwk": nil})),
		refused("jwk: does not make the key trusted",
			Token{Realm: realmTeleport, Key: keyRSAUnknown, Header: Members{"jwk": jwk(keyRSAUnknown, nil)}}),
		notJWT("jwk: malformed", header(Members{"jwk": Members{"kty": "RSA"}})),
		notJWT("jwk: a string", header(Members{"jwk": "x"})),
		notJWT("jwk: symmetric", header(Members{"jwk": Members{"kty": "oct", "k": "AAAA"}})),
		notJWT("jwk: of an unknown type", header(Members{"jwk": Members{"kty": "AKP"}})),

		notJWT("header: empty object", text(`{}`)),
		notJWT("header: empty text", text(``)),
		notJWT("header: an array", text(`["RS256"]`)),
		taken("header: an array of pairs", text(`[["alg","RS256"]]`)),
		taken("header: a byte order mark", text("\ufeff"+`{"alg":"RS256"}`)),
		taken("header: white space around it", text(` {"alg":"RS256"}`+"\n")),
		notJWT("header: a duplicate member", text(`{"alg":"RS256","alg":"RS256"}`)),
		notJWT("header: a duplicate unknown member", text(`{"alg":"RS256","x":1,"x":1}`)),
		notJWT("header: text after it", text(`{"alg":"RS256"}x`)),
		taken("header: 8,000 bytes", text(`{"alg":"RS256","x":"`+strings.Repeat("x", 8000)+`"}`)),
	}
	for _, uri := range []string{
		"", "x", "%41", "a:b", "//h", "http://h:port/", "http://[::1]/", "a#b", "\u00e9",
		"a?b", "a?b?c", "file:///x", "mailto:a@b", "a/:b", "a@b", "~", "http://h:-1/", "?[x]", "#[x]", "a:[x]", "///",
	} {
		cases = append(cases, taken(fmt.Sprintf("jku: the URI %q", uri), header(Members{"jku": uri})))
	}
	for _, text := range []string{
		"%", "%zz", "%4", ":x", "//", "http://", "http://[::1", "[", "a#b#c", "\u00a0", "\u2028", "a|b", "{x}", "a^b",
		"a\u0085b", "\\", "http:", "1:2", "a:", "/[", "http://h/[x]", "http://h[::1]", "http://[::1]x/", "http://[x]/",
		"http://[]/", "x[y]:z?", "a b", "\"", "`", "\x7f",
	} {
		cases = append(cases, notJWT(fmt.Sprintf("jku: %q is no URI", text), header(Members{"jku": text})))
	}
	null := notJWT("header: null", text(`null`))
	null.Want.Reason = "error attempting to authenticate request"
	return append(cases, null)
}
