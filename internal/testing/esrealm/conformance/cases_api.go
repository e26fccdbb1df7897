package conformance

// apiCases are about the rights of roles, in requests that change no document.
func apiCases() []Case {
	request := func(name, group, method, path, body string, status int, edits ...func(*Case)) Case {
		return edited(Case{
			Name:  "rights: " + name,
			Token: Token{Realm: realmTeleport, Claims: Members{"roles": []string{group}}},
			Request: Request{
				Method: method, Path: path, Body: body,
				Headers: []string{"Content-Type: application/json"},
			},
			Want: Want{Status: status},
		}, edits)
	}
	return []Case{
		request("a viewer may search what does not exist", "analysts", "GET", "/logs-none/_search", "", 404),
		request("a reader may search what does not exist", "readers", "GET", "/logs-none/_search", "", 404),
		request("a reader may not search elsewhere", "readers", "GET", "/secret-1/_search", "", 403),
		request("a stranger may search nothing", "strangers", "GET", "/logs-none/_search", "", 403),
		request("a stranger may not even ask for everything", "strangers", "GET", "/_search", "", 403),
		request("a reader may not write", "readers", "PUT", "/logs-none/_doc/1", "{}", 403),
		request("a reader may not delete a document", "readers", "DELETE", "/logs-none/_doc/1", "", 403),
		request("a reader may not create an index", "readers", "PUT", "/logs-none", "", 403),
		request("a reader may not delete an index", "readers", "DELETE", "/logs-none", "", 403),
		request("a reader may not send a bulk request", "readers", "POST", "/_bulk",
			"{\"index\":{\"_index\":\"logs-none\"}}\n{}\n", 403),
		request("a reader may not refresh", "readers", "POST", "/logs-none/_refresh", "", 403),
		request("a reader may not see an index's settings", "readers", "GET", "/logs-none", "", 403),
		request("a reader may not see the cluster's health", "readers", "GET", "/_cluster/health", "", 403),
		request("a reader may read a document that does not exist", "readers", "GET", "/logs-none/_doc/1", "", 404),
		request("a reader may not read a document elsewhere", "readers", "GET", "/secret-1/_doc/1", "", 403),
		request("a viewer may not read what starts with a dot", "analysts", "GET", "/.hidden/_search", "", 403),
		request("a feeder may not delete", "feeders", "DELETE", "/logs-none/_doc/1", "", 403),
		request("a feeder may not make an index by writing to it", "feeders", "POST", "/logs-none/_doc", "{}", 403),
		request("a manager may see the settings of what does not exist", "managers", "GET", "/logs-none", "", 404),
		request("a manager may not search", "managers", "GET", "/logs-none/_search", "", 403),
		request("a manager may see the cluster's health", "managers", "HEAD", "/_cluster/health", "", 405),
		request("a superuser may search what does not exist", "admins", "GET", "/secret-1/_search", "", 404),
		request("a superuser's wildcard finds nothing", "admins", "GET", "/none-*/_search", "", 200),
		request("a reader's wildcard finds nothing", "readers", "GET", "/none-*/_search", "", 200),
		request("a name in upper case", "admins", "PUT", "/Logs", "", 400),
		request("a name with a bad character", "admins", "PUT", "/lo,gs", "", 400, func(c *Case) { c.Loose = true }),
		request("a name that starts with an underscore", "admins", "PUT", "/_logs", "", 400),
		request("an unknown query", "admins", "GET", "/_search", `{"query":{"no_such_query":{}}}`, 400),
		request("a bulk request without the last line's end", "admins", "POST", "/_bulk",
			"{\"index\":{\"_index\":\"logs-none\"}}\n{}", 400),
		request("a bulk request with an unknown action", "admins", "POST", "/_bulk",
			"{\"push\":{\"_index\":\"logs-none\"}}\n{}\n", 400),
		{
			Name:    "rights: a role that does not exist gives none",
			Request: Request{Path: "/logs-none/_search", Headers: []string{basic("nobody:nobody-password")}},
			Want:    Want{Status: 403, Reason: "(assigned roles [no-such-role] were not found)"},
		},
		{
			Name:    "rights: a user without roles has none",
			Request: Request{Path: "/logs-none/_search", Headers: []string{basic("plain:plain-password")}},
			Want:    Want{Status: 403, Reason: "with effective roles []"},
		},
	}
}
