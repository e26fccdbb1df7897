package conformance

import "encoding/base64"

// runAsCases are about es-security-runas-user.
func runAsCases() []Case {
	group := func(name string) Token {
		return Token{Realm: realmTeleport, Claims: Members{"sub": "alice", "roles": []string{name}}}
	}
	forbidden := func(c *Case) { c.Want = Want{Status: 403, Reason: "is unauthorized to run as"} }
	return []Case{
		taken("run as: a superuser may", group("admins"), with("es-security-runas-user: bob"), as("bob"),
			roles("readers")),
		taken("run as: the header in another case", group("admins"), with("ES-SECURITY-RUNAS-USER: bob"), as("bob"),
			roles("readers")),
		taken("run as: by a pattern of the role", group("runners"), with("es-security-runas-user: bobby"), as("bobby"),
			roles("writers")),
		taken("run as: a user without roles", group("admins"), with("es-security-runas-user: plain"), as("plain"),
			roles()),
		taken("run as: outside the role's pattern", group("runners"), with("es-security-runas-user: root"), forbidden),
		taken("run as: without the right", group("analysts"), with("es-security-runas-user: bob"), forbidden),
		taken("run as: without any role", group("strangers"), with("es-security-runas-user: bob"), forbidden),
		taken("run as: a user whom no realm knows", group("admins"), with("es-security-runas-user: nosuchuser"),
			forbidden),
		taken("run as: a user whom no realm knows, without the right", group("analysts"),
			with("es-security-runas-user: nosuchuser"), forbidden),
		taken("run as: oneself is not in a realm that can look up", group("admins"),
			with("es-security-runas-user: alice"), forbidden),
		taken("run as: a pattern is a name", group("admins"), with("es-security-runas-user: bob*"), forbidden),
		refused("run as: nobody", group("admins"), with("es-security-runas-user:")),
		taken("run as: two different users", group("admins"),
			with("es-security-runas-user: bob", "es-security-runas-user: bobby"),
			func(c *Case) { c.Want = Want{Status: 400} }),
		taken("run as: twice the same user", group("admins"),
			with("es-security-runas-user: bob", "es-security-runas-user: bob"), as("bob")),
		taken("run as: two users joined by a comma", group("admins"), with("es-security-runas-user: bob,bobby"),
			forbidden),
		refused("run as: with a bad token", Token{Realm: realmTeleport, Key: keyRSAUnknown},
			with("es-security-runas-user: bob")),
		{
			Name:    "run as: without credentials",
			Request: Request{Anonymous: true, Headers: []string{"es-security-runas-user: bob"}},
			Want:    Want{Status: 401, Reason: "missing authentication credentials"},
		},
		{
			Name:    "run as: a file user as another",
			Request: Request{Headers: []string{basic("root:root-password"), "es-security-runas-user: bob"}},
			Want:    Want{Status: 200, Username: "bob", Realm: "default_file"},
		},
		{
			Name: "run as: the other user's rights count", Token: group("admins"),
			Request: Request{Path: "/secret-1/_search", Headers: []string{"es-security-runas-user: bob"}},
			Want:    Want{Status: 403, Reason: "run as [bob]"},
		},
	}
}

// basicCases are about users of the file realm.
func basicCases() []Case {
	login := func(name, header string, status int, username string, edits ...func(*Case)) Case {
		return edited(Case{
			Name: name, Request: Request{Headers: []string{header}},
			Want: Want{Status: status, Username: username},
		}, edits)
	}
	return []Case{
		login("basic: a file user", basic("bob:bob-password"), 200, "bob", roles("readers")),
		login("basic: the scheme in lower case",
			"Authorization: basic "+base64.StdEncoding.EncodeToString([]byte("bob:bob-password")), 200, "bob"),
		login("basic: a password with a colon", basic("colon:pass:word"), 200, "colon", roles()),
		login("basic: a wrong password", basic("bob:wrong"), 401, ""),
		login("basic: an unknown user", basic("mallory:x"), 401, ""),
		login("basic: a name in another case", basic("Bob:bob-password"), 401, ""),
		login("basic: no colon", basic("bob"), 401, ""),
		login("basic: not base64", "Authorization: Basic %%%", 401, ""),
		login("basic: nothing", "Authorization: Basic ", 401, ""),
		login("basic: an empty password", basic("bob:"), 401, ""),
		login("basic: an empty name", basic(":x"), 401, ""),
		login("basic: a token", basic("Bearer {{token}}"), 401, ""),
	}
}

func basic(credentials string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}
