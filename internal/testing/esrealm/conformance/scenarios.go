package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Scenarios returns all scenarios.
func Scenarios() []Scenario {
	return slices.Concat(fetchScenarios(), keySetScenarios(), fileScenarios(), timeScenarios(), documentScenarios())
}

// fresh returns a token for the realm "rotating" that no cache has.
func fresh(key, id string) Token {
	return Token{Realm: realmRotating, Key: key, Claims: Members{"jti": id}}
}

// step returns a step that sends a token.
func step(name string, t Token, status, fetches int) Step {
	c := taken(name, t)
	if status != http.StatusOK {
		c = refused(name, t)
	}
	return Step{Case: c, Fetches: fetches}
}

func serving(d Document, s Step) Step {
	s.Keys = &d
	return s
}

// firstStep returns a step after which the realm "rotating" has the first set.
func firstStep() Step {
	return serving(Document{Body: firstKeys()},
		step("an unknown key fetches the first set", fresh(keyRSAUnknown, "first"), 401, 1))
}

// fetchScenarios are about when a realm fetches its JWK set.
func fetchScenarios() []Scenario {
	both := Document{Body: jwks(jwk(keyRSA, nil), jwk(keyRSANext, nil))}
	next := Document{Body: jwks(jwk(keyRSANext, nil))}
	never := func(name string, t Token) Step {
		t.Realm = realmRotating
		return step(name, t, 401, 0)
	}
	notJWT := func(name string, header Members) Step {
		return Step{Case: notJWT(name, Token{Realm: realmRotating, Header: header})}
	}
	flood := []Step{firstStep()}
	for i := range 50 {
		flood = append(flood, step("each bad token fetches", fresh(keyRSAUnknown, fmt.Sprint("flood", i)), 401, 1))
	}
	parallel := serving(Document{Body: firstKeys(), Delay: time.Second},
		step("parallel failures fetch once", fresh(keyRSAUnknown, "p"), 401, 1))
	parallel.Parallel = 10
	parallelNext := serving(Document{Body: both.Body, Delay: time.Second},
		step("parallel first tokens of a new key fetch once", fresh(keyRSANext, "p"), 200, 1))
	parallelNext.Parallel = 10
	return []Scenario{
		{"a new key is accepted on its first request", []Step{
			firstStep(),
			step("the first key", fresh(keyRSA, "1"), 200, 0),
			serving(both, step("the new key's first token fetches", fresh(keyRSANext, "1"), 200, 1)),
			step("the new key", fresh(keyRSANext, "2"), 200, 0),
			step("the first key still", fresh(keyRSA, "2"), 200, 0),
		}},
		{"a removed key works until something makes the realm fetch", []Step{
			firstStep(),
			step("the first key", fresh(keyRSA, "1"), 200, 0),
			serving(next, step("a cached token of the removed key", fresh(keyRSA, "1"), 200, 0)),
			step("a fresh token of the removed key", fresh(keyRSA, "2"), 200, 0),
			step("an unknown kid fetches", fresh(keyRSAUnknown, "1"), 401, 1),
			step("a cached token of the removed key", fresh(keyRSA, "1"), 401, 1),
			step("a fresh token of the removed key", fresh(keyRSA, "3"), 401, 1),
			step("the next key", fresh(keyRSANext, "1"), 200, 0),
		}},
		{"what fails before the signature does not fetch", []Step{
			firstStep(),
			never("typ", Token{Key: keyRSAUnknown, Header: Members{"typ": "JOSE"}}),
			never("alg", Token{Key: keyRSAUnknown, Alg: "RS512"}),
			never("iss", Token{Key: keyRSAUnknown, Claims: Members{"iss": "https://elsewhere.example.com"}}),
			never("aud", Token{Key: keyRSAUnknown, Claims: Members{"aud": "x"}}),
			never("sub", Token{Key: keyRSAUnknown, Claims: Members{"sub": Absent}}),
			never("exp", Token{Key: keyRSAUnknown, Claims: Members{"exp": 1}}),
			never("iat", Token{Key: keyRSAUnknown, Claims: Members{"iat": Absent}}),
			never("nbf", Token{Key: keyRSAUnknown, Claims: Members{"nbf": At(time.Hour)}}),
			notJWT("the form", Members{"alg": "none"}),
			notJWT("the header", Members{"kid": 1}),
		}},
		{"what fails at the signature fetches", []Step{
			firstStep(),
			step("an unknown kid", fresh(keyRSAUnknown, "1"), 401, 1),
			step("an empty kid", Token{Realm: realmRotating, Header: Members{"kid": ""}}, 401, 1),
			step("a known kid with a bad signature",
				Token{Realm: realmRotating, Key: keyRSAUnknown, Header: Members{"kid": keyRSA}}, 401, 1),
			step("crit", Token{Realm: realmRotating, Header: Members{"crit": []string{"x"}, "x": 1}}, 401, 1),
			step("groups come after the signature",
				Token{Realm: realmRotating, Key: keyRSAUnknown, Claims: Members{"roles": 1}}, 401, 1),
		}},
		{"every signature failure fetches, without a limit", flood},
		{
			"parallel failures fetch once",
			[]Step{firstStep(), parallel, serving(both, step("the set has not changed", fresh(keyRSA, "1"), 200, 0))},
		},
		{"parallel first tokens of a new key fetch once", []Step{firstStep(), parallelNext}},
	}
}

// keySetScenarios are about the keys of a realm after a fetch.
func keySetScenarios() []Scenario {
	kept := func(name string, d Document) Scenario {
		return Scenario{"keys stay: " + name, []Step{
			firstStep(),
			serving(d, step("the fetch fails", fresh(keyRSANext, "1"), 401, 1)),
			step("the first key works on", fresh(keyRSA, "1"), 200, 0),
			step("the fetch fails again", fresh(keyRSANext, "2"), 401, 1),
		}}
	}
	wiped := func(name string, d Document) Scenario {
		return Scenario{"keys go: " + name, []Step{
			firstStep(),
			step("the first key", fresh(keyRSA, "1"), 200, 0),
			serving(d, step("the fetch succeeds", fresh(keyRSAUnknown, "1"), 401, 1)),
			step("the first key's cached token", fresh(keyRSA, "1"), 401, 1),
			serving(Document{Body: firstKeys()}, step("until there is a good set", fresh(keyRSA, "2"), 200, 1)),
		}}
	}
	taken := func(name string, d Document) Scenario {
		return Scenario{"keys are taken: " + name, []Step{
			firstStep(),
			serving(d, step("the new key", fresh(keyRSANext, "1"), 200, 1)),
		}}
	}
	both := []map[string]any{jwk(keyRSA, nil), jwk(keyRSANext, nil)}
	body := func(more ...map[string]any) Document {
		return Document{Body: jwks(append(slices.Clone(both), more...)...)}
	}
	status := func(code int) Document { return Document{Status: code, Body: jwks(both...)} }
	redirect := func(code int) Document {
		return Document{Status: code, Header: map[string]string{"Location": elsewhere}, Body: "{}"}
	}
	slow := kept("more than 5 s", Document{Body: jwks(both...), Delay: 7 * time.Second})
	slow.Steps = slow.Steps[:3]
	slow.Steps[2].Sleep = 3 * time.Second // until the late answer has come, which has no effect
	var all []Scenario
	for _, code := range []int{201, 203, 204, 206, 304, 400, 401, 403, 404, 410, 421, 429, 500, 502, 503} {
		all = append(all, kept(fmt.Sprint("status ", code), status(code)))
	}
	for _, code := range []int{301, 302, 303, 307} {
		all = append(all, taken(fmt.Sprint("redirect ", code), redirect(code)))
	}
	bad := func(name string, more map[string]any) Scenario { return kept("a malformed key: "+name, body(more)) }
	good := func(name string, more map[string]any) Scenario { return taken(name, body(more)) }
	return append(
		all,
		slow,
		kept("not JSON", Document{Body: "<html>"}),
		kept("cut off", Document{Body: jwks(both...)[:100]}),
		kept("no keys member", Document{Body: `{"key":[]}`}),
		kept("keys is null", Document{Body: `{"keys":null}`}),
		kept("keys is an object", Document{Body: `{"keys":{}}`}),
		kept("keys holds a string", Document{Body: `{"keys":["x"]}`}),
		kept("an array", Document{Body: "[]"}),
		kept("null", Document{Body: "null"}),
		kept("a duplicate member", Document{Body: `{"keys":[],"keys":[]}`}),
		wiped("an empty set", Document{Body: `{"keys":[]}`}),
		wiped("an empty body", Document{Body: ""}),
		wiped("a blank body", Document{Body: " \n\t"}),
		wiped("a set without usable keys", Document{Body: jwks(jwk(keyES256, nil), jwk(keyRSASmall, nil))}),
		wiped("another set", Document{Body: jwks(jwk(keyRSANext, nil))}),

		bad("RSA without n", map[string]any{"kty": "RSA", "e": "AQAB"}),
		bad("RSA without e", jwk(keyRSANext, map[string]any{"e": nil})),
		bad("RSA with a number for n", jwk(keyRSANext, map[string]any{"n": 1})),
		bad("EC without y", jwk(keyES256, map[string]any{"y": nil})),
		bad("EC without crv", jwk(keyES256, map[string]any{"crv": nil})),
		bad("EC on another curve", jwk(keyES256, map[string]any{"crv": "P-384"})),
		bad("EC off the curve", jwk(keyES256, map[string]any{"x": "AAAA"})),
		bad("EC on an unknown curve", jwk(keyES256, map[string]any{"crv": "P-999"})),
		bad("no kty", jwk(keyRSANext, map[string]any{"kty": nil})),
		bad("kty is a number", jwk(keyRSANext, map[string]any{"kty": 1})),
		bad("kid is a number", jwk(keyRSANext, map[string]any{"kid": 1})),
		bad("alg is a number", jwk(keyRSANext, map[string]any{"alg": 1})),
		bad("use is empty", jwk(keyRSANext, map[string]any{"use": ""})),
		bad("use is a number", jwk(keyRSANext, map[string]any{"use": 1})),
		bad("key_ops is a string", jwk(keyRSANext, map[string]any{"key_ops": "verify"})),
		bad("key_ops is unknown", jwk(keyRSANext, map[string]any{"key_ops": []string{"dance"}})),
		bad("key_ops contradicts use", jwk(keyRSANext, map[string]any{"use": "sig", "key_ops": []string{"encrypt"}})),
		bad("OKP without x", map[string]any{"kty": "OKP", "crv": "Ed25519"}),
		bad("oct without k", map[string]any{"kty": "oct"}),
		bad("x5c is a string", jwk(keyRSANext, map[string]any{"x5c": "AAAA"})),
		bad("x5c holds no certificate", jwk(keyRSANext, map[string]any{"x5c": []string{"AAAA"}})),
		bad("x5c is for another key", jwk(keyRSANext, map[string]any{"x5c": []string{certificate(keyRSA)}})),
		bad("OKP on an unknown curve", map[string]any{"kty": "OKP", "crv": "Ed999", "x": "AAAA"}),
		bad("x5t is a number", jwk(keyRSANext, map[string]any{"x5t": 1})),
		bad("x5u is no URI", jwk(keyRSANext, map[string]any{"x5u": "a b"})),

		good("OKP beside it", map[string]any{
			"kty": "OKP", "crv": "Ed25519",
			"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
		}),
		good("oct beside it", jwk(keyHMAC256, nil)),
		good("an unknown type beside it", map[string]any{"kty": "AKP", "pub": "AAAA"}),
		good("a short key beside it", jwk(keyRSASmall, nil)),
		good("a kid twice", jwk(keyRSANext, map[string]any{"n": jwk(keyRSAUnknown, nil)["n"]})),
		good("an unknown use", jwk(keyRSA, map[string]any{"use": "tls"})),
		good("an unknown alg", jwk(keyRSA, map[string]any{"alg": "XY999"})),
		good("unknown members", jwk(keyRSA, map[string]any{"foo": map[string]any{"a": 1}, "ext": true})),
		good("x5c", jwk(keyRSA, map[string]any{"x5c": []string{certificate(keyRSA)}})),
		good("a null kid", jwk(keyRSA, map[string]any{"kid": JSON("null")})),
		taken("a byte order mark", Document{Body: "\ufeff" + jwks(both...)}),
		taken("white space", Document{Body: "\n\n " + jwks(both...) + "\n"}),
		taken("more members", Document{Body: `{"x":1,` + jwks(both...)[1:]}),
		taken("another media type", Document{
			Body:   jwks(both...),
			Header: map[string]string{"Content-Type": "text/html"},
		}),
		taken("a key in padded standard base64",
			Document{Body: jwks(
				jwk(keyRSA, nil), jwk(keyRSANext, map[string]any{"n": standardBase64(jwk(keyRSANext, nil)["n"])}),
			)}),
		Scenario{"keys of another algorithm only", []Step{
			firstStep(),
			serving(Document{Body: jwks(jwk(keyRSA, map[string]any{"alg": "RS512"}))},
				step("the set is taken", fresh(keyRSAUnknown, "1"), 401, 1)),
			step("and its key does not fit", fresh(keyRSA, "1"), 401, 1),
		}},
	)
}
