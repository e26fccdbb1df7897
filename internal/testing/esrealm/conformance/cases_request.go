package conformance

import "strings"

// requestCases are about the headers and the other parts of a request.
func requestCases() []Case {
	good := Token{Realm: realmTeleport}
	other := Token{Realm: realmTeleport, Claims: Members{"sub": "bob"}}
	status := func(status int, reason string) func(*Case) {
		return func(c *Case) { c.Want = Want{Status: status, Reason: reason} }
	}
	none := func(c *Case) { c.Want = Want{Status: 401, Reason: "missing authentication credentials"} }
	path := func(method, path string) func(*Case) {
		return func(c *Case) { c.Method, c.Path = method, path }
	}
	// A real node fails in another way, as it has no .security index in which to look for API keys.
	loose := func(c *Case) { c.Loose = true }
	anonymous := func(c *Case) { c.Anonymous = true }
	return []Case{
		taken("request: no Authorization", good, anonymous, none),
		taken("request: an empty Authorization", good, with("Authorization:"), none),
		taken("request: the header in lower case", good, with("authorization: Bearer {{token}}")),
		taken("request: the header in upper case", good, with("AUTHORIZATION: Bearer {{token}}")),
		notJWT("request: the scheme in lower case", good, with("Authorization: bearer {{token}}")),
		notJWT("request: the scheme in upper case", good, with("Authorization: BEARER {{token}}")),
		taken("request: spaces after the scheme", good, with("Authorization: Bearer    {{token}}")),
		taken("request: spaces after the token", good, with("Authorization: Bearer {{token}}   ")),
		taken("request: a tab after the scheme", good, with("Authorization: Bearer\t{{token}}"), none),
		taken("request: the token without the scheme", good, with("Authorization: {{token}}"), none),
		taken("request: the scheme alone", good, with("Authorization: Bearer"), none),
		taken("request: another scheme", good, with("Authorization: JWT {{token}}"), none),
		taken("request: twice the same token", good,
			with("Authorization: Bearer {{token}}", "Authorization: Bearer {{token}}")),
		taken("request: two tokens", good, with("Authorization: Bearer {{token}}", "Authorization: Bearer x"),
			status(400, "")),
		taken("request: a token and a password", good,
			with("Authorization: Bearer {{token}}", "Authorization: Basic cm9vdDpyb290LXBhc3N3b3Jk"), status(400, "")),
		taken("request: a token and an empty one", good, with("Authorization: Bearer {{token}}", "Authorization:"),
			status(400, "")),
		notJWT("request: joined by a comma", good, with("Authorization: Bearer {{token}}, Bearer {{token}}")),
		refused("request: joined with a password by a comma", good,
			with("Authorization: Bearer {{token}}, Basic cm9vdDpyb290LXBhc3N3b3Jk")),
		notJWT("request: a comma after the token", good, with("Authorization: Bearer {{token}},x.y.z")),
		taken("request: underscores are other headers", good,
			with("es_client_authentication: x", "es_security_runas_user: bob")),
		taken("request: an access_token parameter is not looked at", good, anonymous,
			path("GET", "/_security/_authenticate?access_token={{token}}"), none),
		taken("request: an unknown parameter", good, path("GET", "/_security/_authenticate?access_token=x"),
			status(400, "")),
		taken("request: a known parameter", good, path("GET", "/_security/_authenticate?pretty")),
		taken("request: a Proxy-Authorization is not looked at", good, anonymous,
			with("Proxy-Authorization: Bearer {{token}}", "X-Authorization: Bearer {{token}}"), none, anonymous),
		taken("request: X-Forwarded-For changes nothing", good,
			with("X-Forwarded-For: 10.0.0.1", "X-Forwarded-User: root", "X-Remote-User: root", "X-Proxy-User: root")),
		taken("request: X-Opaque-Id", good, with("X-Opaque-Id: x")),
		taken("request: two different X-Opaque-Id", good, with("X-Opaque-Id: x", "X-Opaque-Id: y"), status(400, "")),
		taken("request: X-elastic-product-origin", good, with("X-elastic-product-origin: kibana")),
		taken("request: _xpack_security_authentication", good, with("_xpack_security_authentication: AAAA")),

		taken("request: Connection names the header", good, with("Connection: Authorization, close")),
		taken("request: trailers are not looked at", good,
			with("Connection: close", "Transfer-Encoding: chunked", "Trailer: es-security-runas-user, Authorization"),
			func(c *Case) {
				c.Raw, c.Body = true, "0\r\nes-security-runas-user: bob\r\nAuthorization: Basic x\r\n\r\n"
			}),
		taken("request: an API key that nobody made", good,
			with("Authorization: ApiKey VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw=="),
			status(401, ""), loose),
		taken("request: a malformed API key", good, with("Authorization: ApiKey x"), status(401, ""), loose),
		taken("request: an empty API key", good, with("Authorization: ApiKey "), status(401, "")),
		taken("request: an unknown scheme with a value", good, with("Authorization: Negotiate YII="), none),

		taken("secondary: a good token", good, with("es-secondary-authorization: Bearer {{token}}")),
		taken("secondary: a password", good, with("es-secondary-authorization: Basic cm9vdDpyb290LXBhc3N3b3Jk")),
		taken("secondary: a wrong password", good, with("es-secondary-authorization: Basic cm9vdDp4"), status(401, "")),
		taken("secondary: garbage", good, with("es-secondary-authorization: Bearer x"), status(401, "")),
		taken("secondary: an unknown scheme", good, with("es-secondary-authorization: x"), status(401, "")),
		taken("secondary: empty", good, with("es-secondary-authorization:")),
		taken("secondary: two different ones", good,
			with("es-secondary-authorization: Bearer {{token}}", "es-secondary-authorization: Basic x"),
			status(400, "")),
		taken("secondary: without a first", good, anonymous, with("es-secondary-authorization: Bearer {{token}}"), none,
			anonymous),
		taken("secondary: does not change who the user is", other,
			with("es-secondary-authorization: Basic cm9vdDpyb290LXBhc3N3b3Jk"), as("bob")),
		taken("secondary: needs the shared secret too", good, func(c *Case) { c.Token = Token{Realm: realmSecret} },
			with("Authorization: Basic cm9vdDpyb290LXBhc3N3b3Jk",
				"es-secondary-authorization: Bearer {{token}}"), status(401, "")),
		taken("secondary: the shared secret in the header for it", good,
			func(c *Case) { c.Token = Token{Realm: realmSecret} },
			with("Authorization: Basic cm9vdDpyb290LXBhc3N3b3Jk", "es-secondary-authorization: Bearer {{token}}",
				"es-secondary-x-client-authentication: SharedSecret "+clientSecret), status(401, "")),
		taken("secondary: the shared secret of the first", good, func(c *Case) { c.Token = Token{Realm: realmSecret} },
			with("Authorization: Basic cm9vdDpyb290LXBhc3N3b3Jk", "es-secondary-authorization: Bearer {{token}}",
				"ES-Client-Authentication: SharedSecret "+clientSecret), status(401, "")),

		taken("size: a token of 12,000 bytes",
			Token{Realm: realmTeleport, Claims: Members{"x": strings.Repeat("x", 8000)}}),
		taken("size: 16,000 bytes of headers", good, with("X-Padding: "+strings.Repeat("x", 14500))),
		taken("size: more than 16,384 bytes of headers", good, with("X-Padding: "+strings.Repeat("x", 16000)),
			status(400, "HTTP header is larger than 16384 bytes.")),
		taken("size: 16,384 bytes of headers", good, func(c *Case) { c.PadTo = 16384 }),
		taken("size: 16,385 bytes of headers", good, func(c *Case) { c.PadTo = 16385 },
			status(400, "HTTP header is larger than 16384 bytes.")),
		taken("size: 16,385 bytes of headers, without credentials", good, anonymous, func(c *Case) { c.PadTo = 16385 },
			status(400, "HTTP header is larger than 16384 bytes.")),
		taken("size: a request line of 4,096 bytes", good, path("GET", "/_security/_authenticate?pretty="),
			func(c *Case) { c.PadLineTo = 4096 }, status(400, "Failed to parse value")),
		taken("size: a request line of 4,097 bytes", good, path("GET", "/_security/_authenticate?pretty="),
			func(c *Case) { c.PadLineTo = 4097 }, status(400, "An HTTP line is larger than 4096 bytes.")),
		taken("size: 300 short headers", good, with(strings.Split(strings.Repeat("X-P: x\n", 300)[:300*7-1], "\n")...)),
		taken("size: more than 16,384 bytes of short headers", good,
			with(strings.Split(strings.Repeat("X-P: x\n", 2800)[:2800*7-1], "\n")...),
			status(400, "HTTP header is larger than 16384 bytes.")),

		taken("route: another method", good, path("POST", "/_security/_authenticate"), status(405, "")),
		taken("route: another method, without credentials", good, anonymous, path("POST", "/_security/_authenticate"),
			none, anonymous),
		taken("route: unknown", good, path("GET", "/_security/_no_such/thing/at/all"), status(400, "")),
		taken("route: unknown, without credentials", good, anonymous, path("GET", "/_security/_no_such/thing/at/all"),
			none, anonymous),
		taken("route: an index that starts with an underscore", good, path("GET", "/_no_such"), status(400, "")),
		taken("route: an index that does not exist", good, path("GET", "/logs-none"), status(404, "")),
		taken("route: a slash at the end", good, path("GET", "/_security/_authenticate/")),
	}
}
