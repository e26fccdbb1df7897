package conformance

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Random makes a random case without an expected answer. It is for comparing the
// answers of two nodes.
func Random(r *rand.Rand) Case {
	realm := pick(r, slices.Sorted(maps.Keys(goodTokens)))
	t := Token{Realm: realm, Header: Members{}, Claims: Members{}}
	for range r.IntN(3) {
		t.Claims[pick(r, randomClaims)] = randomValue(r, 2)
	}
	if r.IntN(3) == 0 {
		t.Header[pick(r, randomHeaders)] = randomValue(r, 1)
	}
	if r.IntN(3) == 0 {
		t.Realm = realmAlgorithms
		t.Claims = Members{"roles": []string{randomName(r)}, "dn": randomName(r), "sub": randomName(r)}
	}
	switch r.IntN(6) {
	case 0:
		t.ClaimsText = func(s string) string { return mutate(r, s) }
	case 1:
		t.HeaderText = func(s string) string { return mutate(r, s) }
	case 2:
		t.Compact = func(s string) string { return mutateWith(r, mutateWith(r, s, ".AZaz09-_=+/ ~"), ".A!") }
	}
	c := Case{Name: fmt.Sprintf("random: %s %v %v", t.Realm, t.Header, t.Claims), Token: t}
	if realm == realmSecret {
		c.Headers = []string{"ES-Client-Authentication: SharedSecret " + clientSecret}
	}
	return c
}

var (
	randomClaims = []string{
		"iss", "sub", "aud", "exp", "iat", "nbf", "auth_time", "jti", "roles", "name", "mail", "dn",
		"client_id", "scope", "token_use", "version", "user.name", "realm_access.roles", "x", "",
	}
	randomHeaders = []string{
		"alg", "typ", "kid", "crit", "b64", "jku", "x5u", "x5c", "x5t", "x5t#S256", "cty", "jwk",
		"enc", "zip", "x",
	}
	randomTexts = []string{
		"", " ", "a", "alice", "svc-1", "x1", "JWT", "jwt", "at+jwt", "RS256", "RS512", "none", "rsa", "b64",
		"access", "id", "1.0", audience,
		issuer(realmTeleport), "CN=alice,OU=x", "es-analysts", "analysts", "readers", "\u00a0", "\u2003", "é😀",
		"a\x00b", "https://x/y?z", "http://a b", "%", "AAAA",
	}
	randomNumbers = []JSON{
		"0", "-0", "1", "-1", "5", "1.5", "1e3", "1E-3", "0.1e1", "123456789012", "9223372036854775807",
		"9223372036854775808", "-9223372036854775808",
		"1e19", "1e300", "4102444800", "4102444800000", "1700000000.999", "0.0001", "12345678901234567890123",
		"-1e-7", "1.0", "10000000.0",
	}
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func randomValue(r *rand.Rand, depth int) any {
	switch n := r.IntN(12); {
	case n < 4:
		return pick(r, randomTexts)
	case n < 6:
		return pick(r, randomNumbers)
	case n == 6:
		return nil
	case n == 7:
		return r.IntN(2) == 0
	case n == 8:
		return Absent
	case n < 11 && depth > 0:
		list := []any{}
		for range r.IntN(4) {
			list = append(list, plain(randomValue(r, depth-1)))
		}
		return list
	case depth > 0:
		return map[string]any{pick(r, randomTexts): plain(randomValue(r, depth-1))}
	}
	return pick(r, randomTexts)
}

// plain turns a value into one that can be a part of another value.
func plain(v any) any {
	switch v := v.(type) {
	case absent:
		return nil
	case JSON:
		return rawJSON(v)
	}
	return v
}

// rawJSON is JSON text in another value.
type rawJSON string

// MarshalJSON writes the text.
func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// randomName returns a name that may match one of the probes.
func randomName(r *rand.Rand) string {
	names := []string{
		"Probe Group", "probe-1", "probe-42", "nine-8", "CN=Probe,OU=Groups,DC=example", `CN=Doe\, John,OU=Groups`,
		`CN="Doe, Jane",OU=Groups`,
		"OU=b+CN=a,DC=multi", "x=y,OU=Sub Tree", "a=b,ou=low", "CN=x,DC=Star", "cn=x,dc=lower", "half,OU=dn",
		"CaseABC", "CN=semi;DC=colon",
		"CN=Alice,OU=People,DC=example,DC=com", "cn=a1,ou=people,dc=x", "role=admin", "list-1", "probe*",
		"Probe User", "CN=#414243,OU=low", `CN=\41\42,ou=low`,
	}
	name := pick(r, names)
	for range r.IntN(3) {
		name = mutateWith(r, name, `,;=+"\# *?/<>aA0fz`)
	}
	if r.IntN(4) == 0 {
		name = strings.ToUpper(name)
	}
	return name
}

func mutate(r *rand.Rand, s string) string {
	for range 1 + r.IntN(2) {
		s = mutateWith(r, s, `{}[]:,"'\/ -+.0123456789eEtrufalsn=_~`+"\n\t\x00#;")
	}
	return s
}

// mutateWith removes, repeats, replaces or inserts a character.
func mutateWith(r *rand.Rand, s, alphabet string) string {
	if s == "" {
		return s
	}
	at := r.IntN(len(s))
	c := string(alphabet[r.IntN(len(alphabet))])
	switch r.IntN(4) {
	case 0:
		return s[:at] + s[at+1:]
	case 1:
		return s[:at] + s[at:at+1] + s[at:]
	case 2:
		return s[:at] + c + s[at+1:]
	}
	return s[:at] + c + s[at:]
}
