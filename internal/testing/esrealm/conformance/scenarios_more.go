package conformance

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

func standardBase64(v any) string {
	b, err := base64.RawURLEncoding.DecodeString(fmt.Sprint(v))
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// fileScenarios are about a JWK set that is a file, and about the shared secret.
func fileScenarios() []Scenario {
	file := func(key, id string) Token { return Token{Realm: realmFile, Key: key, Claims: Members{"jti": id}} }
	writing := func(text string, s Step) Step {
		s.File = &text
		return s
	}
	secret := func(name, value string, status int) Step {
		c := taken(name, Token{Realm: realmSecret, Claims: Members{"jti": name}},
			with("ES-Client-Authentication: SharedSecret "+value))
		if status != 200 {
			c = refused(name, c.Token, with(c.Headers...))
		}
		return Step{Case: c}
	}
	hang := Step{Case: Case{
		Name: "the next failure is never answered", Token: file(keyRSANext, "9"),
		Want: Want{Hangs: true},
	}}
	rolled := secret("the next secret", nextSecret, 200)
	rolled.Secret = nextSecret
	over := secret("the first secret, when the grace period is over", clientSecret, 401)
	over.Sleep = 4 * time.Second
	back := secret("the first secret again", clientSecret, 200)
	back.Secret = clientSecret
	return []Scenario{
		{"a file is read again on a signature failure", []Step{
			step("the first key", file(keyRSA, "1"), 200, 0),
			writing(jwks(jwk(keyRSA, nil), jwk(keyRSANext, nil)), step("the next key", file(keyRSANext, "1"), 200, 0)),
			writing(jwks(jwk(keyRSANext, nil)), step("a removed key works on", file(keyRSA, "2"), 200, 0)),
			step("until a failure", file(keyRSAUnknown, "1"), 401, 0),
			step("then it does not", file(keyRSA, "3"), 401, 0),
			writing("", step("an empty file", file(keyRSA, "5"), 401, 0)),
			step("takes them away", file(keyRSANext, "3"), 401, 0),
			writing(firstKeys(), step("until it is good again", file(keyRSA, "6"), 200, 0)),
		}},
		{"a malformed file is the last one that is read", []Step{
			writing("garbage", step("the first failure reads it", file(keyRSANext, "8"), 401, 0)),
			step("the keys stay", file(keyRSA, "8"), 200, 0),
			writing(firstKeys(), hang),
			step("the keys stay still", file(keyRSA, "9"), 200, 0),
		}},
		{"a shared secret is replaced", []Step{
			secret("the first secret", clientSecret, 200),
			secret("the next secret, too early", nextSecret, 401),
			rolled,
			secret("the first secret, for a while", clientSecret, 200),
			over,
			secret("the next secret still", nextSecret, 200),
			back,
		}},
	}
}

// timeScenarios are about tokens that expire or become valid.
func timeScenarios() []Scenario {
	token := Token{Realm: realmTeleport, Claims: Members{"exp": At(-56 * time.Second)}}
	again := Step{Case: refused("it is refused when exp and the skew are over", token), Sleep: 6 * time.Second}
	early := Token{Realm: realmTeleport, Claims: Members{"nbf": At(63 * time.Second)}}
	later := Step{Case: taken("and taken when the skew reaches it", early), Sleep: 6 * time.Second}
	return []Scenario{
		{"a cached token expires", []Step{
			{Case: taken("it is taken within the skew", token)},
			{Case: taken("and once more from the cache", token)},
			again,
		}},
		{"a refusal is not cached", []Step{{Case: refused("too early", early)}, later}},
	}
}

// ndjson makes the body of a bulk request.
func ndjson(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

// loose marks a step in which the reason of the error differs between nodes: it
// says where their JSON parser stopped.
func loose(s Step) Step {
	s.Loose = true
	return s
}

// documentScenarios are about documents and the rights on them.
func documentScenarios() []Scenario {
	do := func(group, method, path, body string, status int) Step {
		c := Case{
			Name:    group + ": " + method + " " + path,
			Token:   Token{Realm: realmTeleport, Claims: Members{"roles": []string{group}}},
			Request: Request{Method: method, Path: path, Body: body},
			Want:    Want{Status: status},
		}
		if body != "" {
			c.Headers = []string{"Content-Type: application/json"}
		}
		return Step{Case: c}
	}
	return []Scenario{
		{"documents are written, searched and deleted", []Step{
			do("admins", "PUT", "/logs-a", "", 200),
			do("admins", "PUT", "/logs-a", "", 400),
			do("admins", "PUT", "/logs-a/_doc/1", `{"msg":"hello world","user":"alice","n":1}`, 201),
			do("admins", "PUT", "/logs-a/_doc/1", `{"msg":"hello there","user":"alice","n":1}`, 200),
			do("admins", "PUT", "/logs-a/_create/1", `{"msg":"again"}`, 409),
			do("admins", "PUT", "/logs-a/_create/2", `{"msg":"Hello, World!","user":"bob","n":2}`, 201),
			do("admins", "PUT", "/secret-a/_doc/1", `{"msg":"hello secret"}`, 201),
			do("admins", "POST", "/_refresh", "", 200),
			do("readers", "GET", "/logs-a/_doc/1", "", 200),
			do("readers", "GET", "/logs-a/_doc/3", "", 404),
			do("readers", "GET", "/logs-a/_search", "", 200),
			do("readers", "GET", "/logs-a/_search?size=1", "", 200),
			do("readers", "GET", "/logs-a/_search", `{"size":1,"from":1}`, 200),
			do("readers", "GET", "/logs-a/_search", `{"query":{"match_all":{}}}`, 200),
			do("readers", "GET", "/logs-a/_search", `{"query":{"match_none":{}}}`, 200),
			do("readers", "POST", "/logs-a/_search", `{"query":{"match":{"msg":"WORLD"}}}`, 200),
			do("readers", "POST", "/logs-a/_search", `{"query":{"match":{"n":2}}}`, 200),
			do("readers", "POST", "/logs-a/_search", `{"query":{"match":{"user.keyword":"bob"}}}`, 200),
			do("readers", "POST", "/logs-a/_search", `{"query":{"term":{"msg":"world"}}}`, 200),
			do("readers", "POST", "/logs-a/_search", `{"query":{"term":{"msg":"World"}}}`, 200),
			do("readers", "POST", "/logs-a/_search", `{"query":{"term":{"user.keyword":{"value":"alice"}}}}`, 200),
			do("readers", "POST", "/logs-a/_search", `{"query":{"terms":{"n":[2,3]}}}`, 200),
			do("readers", "POST", "/logs-a/_search", `{"query":{"exists":{"field":"user"}}}`, 200),
			do("readers", "POST", "/logs-a/_search", `{"query":{"ids":{"values":["2"]}}}`, 200),
			do("readers", "POST", "/logs-a/_search",
				`{"query":{"bool":{"must":{"match":{"msg":"hello"}},"must_not":[{"term":{"n":1}}]}}}`, 200),
			do("readers", "POST", "/logs-a/_search",
				`{"query":{"bool":{"should":[{"term":{"n":1}},{"term":{"n":5}}]}}}`, 200),
			do("readers", "POST", "/logs-a/_search", `{"query":{"bool":{"filter":[{"term":{"n":2}}]}}}`, 200),
			do("readers", "GET", "/logs-a/_count", "", 200),
			do("readers", "GET", "/logs-*/_count", "", 200),
			do("readers", "GET", "/_search", "", 200),
			do("readers", "GET", "/_all/_count", "", 200),
			do("readers", "GET", "/*/_count", "", 200),
			do("readers", "GET", "/logs-a,secret-a/_search", "", 403),
			do("readers", "GET", "/secret-*/_count", "", 200),
			do("admins", "GET", "/logs-a,secret-a/_count", "", 200),
			do("readers", "HEAD", "/logs-a/_doc/1", "", 200),
			do("readers", "HEAD", "/logs-a/_doc/3", "", 404),
			do("analysts", "HEAD", "/logs-a", "", 200),
			do("analysts", "HEAD", "/logs-b", "", 404),
			do("analysts", "GET", "/secret-a/_count", "", 200),
			do("readers", "DELETE", "/logs-a/_doc/1", "", 403),
			do("writers", "DELETE", "/logs-a/_doc/1", "", 200),
			do("writers", "DELETE", "/logs-a/_doc/1", "", 404),
			do("writers", "PUT", "/logs-b/_doc/1", `{"a":1}`, 201),
			do("writers", "PUT", "/x1/_doc/1", `{"a":1}`, 201),
			do("writers", "PUT", "/x12/_doc/1", `{"a":1}`, 403),
			do("feeders", "PUT", "/logs-a/_create/9", `{"a":1}`, 201),
			do("feeders", "PUT", "/logs-a/_doc/9", `{"a":1}`, 403),
			do("feeders", "PUT", "/logs-c/_create/1", `{"a":1}`, 403),
			do("writers", "POST", "/_bulk",
				ndjson(`{"index":{"_index":"logs-a","_id":"b1"}}`, `{"a":1}`,
					`{"create":{"_index":"logs-a","_id":"b1"}}`, `{"a":1}`, `{"delete":{"_index":"logs-a","_id":"b1"}}`,
					`{"delete":{"_index":"logs-a","_id":"none"}}`), 200),
			do("writers", "POST", "/_bulk",
				ndjson(`{"index":{"_index":"secret-a","_id":"b1"}}`, `{"a":1}`,
					`{"index":{"_index":"logs-a","_id":"b2"}}`, `{"a":1}`), 200),
			do("feeders", "POST", "/logs-a/_bulk",
				ndjson(`{"create":{"_id":"f1"}}`, `{"a":1}`, `{"index":{"_id":"f2"}}`, `{"a":1}`,
					`{"delete":{"_id":"f1"}}`), 200),
			do("readers", "POST", "/_bulk", ndjson(`{"index":{"_index":"logs-a","_id":"b1"}}`, `{"a":1}`), 403),
			do("writers", "PUT", "/secret-a/_doc/2", `{"a":1}`, 403),
			do("writers", "PUT", "/secret-a/_create/2", `{"a":1}`, 403),
			do("writers", "POST", "/secret-a/_doc", `{"a":1}`, 403),
			do("writers", "DELETE", "/secret-a/_doc/1", "", 403),
			do("writers", "DELETE", "/secret-b/_doc/1", "", 404),
			do("writers", "DELETE", "/logs-none/_doc/1", "", 404),
			do("feeders", "PUT", "/secret-a/_create/3", `{"a":1}`, 403),
			do("feeders", "PUT", "/secret-b/_doc/3", `{"a":1}`, 403),
			do("feeders", "PUT", "/logs-a/_doc/10", `{"a":1}`, 403),
			do("feeders", "PUT", "/logs-a/_doc/11?op_type=create", `{"a":1}`, 201),
			do("feeders", "DELETE", "/logs-a/_doc/9", "", 403),
			do("feeders", "POST", "/logs-none/_bulk", ndjson(`{"create":{"_id":"1"}}`, `{"a":1}`), 200),
			do("writers", "POST", "/_bulk", ndjson(`{"delete":{"_index":"logs-none","_id":"1"}}`), 200),
			do("writers", "POST", "/_bulk",
				ndjson(`{"delete":{"_index":"secret-a","_id":"1"}}`,
					`{"delete":{"_index":"secret-b","_id":"1"}}`), 200),
			do("writers", "POST", "/_bulk", ndjson(`{"create":{"_index":"Bad","_id":"1"}}`, `{"a":1}`), 200),
			do("admins", "POST", "/_bulk", ndjson(`{"create":{"_index":"Bad","_id":"1"}}`, `{"a":1}`), 200),
			do("admins", "POST", "/_bulk", ndjson(`{"index":{"_id":"1"}}`, `{"a":1}`), 400),
			loose(do("admins", "POST", "/logs-a/_bulk", "not json\n", 400)),
			do("admins", "PUT", "/logs-a/_doc/empty", "", 400),
			do("managers", "DELETE", "/logs-b", "", 200),
			do("managers", "DELETE", "/logs-b", "", 404),
			do("writers", "DELETE", "/logs-a", "", 403),
			do("admins", "DELETE", "/logs-a", "", 200),
			do("admins", "DELETE", "/secret-a", "", 200),
			do("admins", "DELETE", "/x1", "", 200),
			do("readers", "GET", "/logs-a/_search", "", 404),
		}},
	}
}
