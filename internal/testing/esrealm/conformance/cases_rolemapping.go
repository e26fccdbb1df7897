package conformance

import "maps"

// roleMappingCases are about the rules of role mappings. The rules are those of
// probes.
func roleMappingCases() []Case {
	c := func(name string, claims Members, want ...string) Case {
		m := Members{"roles": Absent}
		maps.Copy(m, claims)
		username := "alice"
		if s, ok := claims["sub"].(string); ok {
			username = s
		}
		return taken("rule: "+name, Token{Realm: realmAlgorithms, Claims: m}, as(username), roles(want...))
	}
	group := func(name, group string, want ...string) Case {
		return c("groups "+name, Members{"roles": []string{group}}, want...)
	}
	user := func(name, username string, want ...string) Case {
		return c("username "+name, Members{"sub": username}, want...)
	}
	dn := func(name, value string, want ...string) Case {
		return c("dn "+name, Members{"dn": value}, append(want, "p-dn-star")...)
	}
	meta := func(name string, claims Members, want ...string) Case { return c("metadata "+name, claims, want...) }
	return []Case{
		group("exact", "Probe Group", "p-group-exact"),
		group("exact, in another case", "pROBE gROUP", "p-group-exact"),
		group("not exact", "Probe Group "),
		group("prefix", "probe-x", "p-group-prefix", "p-group-question-any"),
		group("prefix in upper case", "PROBE-X", "p-group-prefix", "p-group-question-any"),
		group("prefix in mixed case", "Probe-x", "p-group-prefix", "p-group-question-any"),
		group("question mark alone is no pattern", "probes"),
		group("question mark as text", "probe?", "p-group-question"),
		group("regular expression", "probe-42", "p-group-prefix", "p-group-question-any", "p-group-regexp"),
		group("complement", "nine-8", "p-group-regexp-not"),
		group("complement, complemented", "nine-9x"),
		group("regular expression tries lower case", "PROBE-42", "p-group-prefix", "p-group-question-any",
			"p-group-regexp"),
		group("regular expression and case", "CaseABC", "p-group-regexp-case"),
		group("regular expression and mixed case", "caseABC"),
		group("list, first", "list one", "p-group-list"),
		group("list, pattern", "list-9", "p-group-list"),
		group("list, none", "list three"),
		group("a number is no group", "7"),
		group("star", "star-marker", "p-group-star"),
		group("name", "CN=Probe,OU=Groups,DC=example", "p-group-dn"),
		group("name, normalised", "cn = probe ; OU=GROUPS,dc=Example", "p-group-dn"),
		group("name, other spaces inside", "CN=Pro be,OU=Groups,DC=example"),
		group("name, longer", "CN=x,CN=Probe,OU=Groups,DC=example"),
		group("name, escaped comma", `CN="Doe, John",ou=groups`, "p-group-dn-escaped"),
		group("name, escaped comma in hex", `CN=Doe\2c John,OU=Groups`, "p-group-dn-escaped"),
		group("name, quoted rule", `cn=Doe\, Jane,OU=Groups`, "p-group-dn-quoted"),
		group("name, hex rule", "CN=été,OU=groups", "p-group-dn-hex"),
		group("name, multi-valued in another order", "CN=a+OU=b,DC=multi", "p-group-dn-multi"),
		group("name, semicolons", "cn=semi,dc=colon", "p-group-semicolon"),
		group("name, spaces", "CN=spaced out,DC=x", "p-group-spaces"),
		group("name, spaces as in the rule", "CN = spaced  out , DC = x", "p-group-spaces"),
		group("name, plain text with an equals sign", "ROLE = Admin", "p-group-plain-equals"),
		group("subtree", "CN=x,OU=Sub Tree", "p-group-subtree"),
		group("subtree, normalised", "a=b, ou = sub  tree", "p-group-subtree"),
		group("subtree, half a name", "a,OU=Sub Tree", "p-group-subtree"),
		group("subtree, half a name in lower case", "a,ou=sub tree"),
		group("subtree in lower case, half a name", "a,ou=low", "p-group-subtree-low"),
		group("subtree in lower case, half a name in upper case", "A,OU=LOW", "p-group-subtree-low"),
		group("subtree in lower case, half a name in mixed case", "A,ou=Low", "p-group-subtree-low"),
		group("subtree, the base itself", "OU=Sub Tree"),
		group("subtree, an escaped comma", `CN=x\,OU=Sub Tree`, "p-group-subtree"),
		group("subtree, quoted", `O="x,OU=Sub Tree"`),
		group("subtree with a wildcard", "cn=x,ou=subway,dc=wild"),
		group("subtree with a wildcard, as written", "cn=x,OU=subway,DC=wild", "p-group-subtree-wild"),
		group("wildcard name", "CN=x,DC=Star", "p-group-star-dn"),
		group("wildcard name in lower case", "cn=x,dc=star"),
		group("wildcard name in upper case", "CN=X,DC=STAR"),
		group("wildcard of a lower-case name matches the normal form", "CN = X , DC = LOWER", "p-group-lower-star"),
		group("half a name", "HALF,ou=DN", "p-group-half-dn"),
		group("no name", "half,OU=dn,"),

		dn("exact", "CN=Alice,OU=People,DC=example,DC=com", "p-dn-exact", "p-dn-subtree", "p-dn-wild"),
		dn("normalised", "cn=alice, ou=people; dc=EXAMPLE,dc=com", "p-dn-exact", "p-dn-subtree", "p-dn-wild"),
		dn("subtree", "UID=1,CN=Bob,OU=People,DC=example,DC=com", "p-dn-subtree"),
		dn("other", "CN=Alice,OU=Robots,DC=example,DC=com"),
		dn("no name", "alice"),
		dn("empty", ""),
		c("dn null", Members{"sub": "dn-null"}, "p-dn-null"),

		user("exact", "Probe User", "p-user-exact"),
		user("in another case", "probe user"),
		user("prefix", "probe-1", "p-user-prefix"),
		user("prefix in another case", "Probe-1"),
		user("complement", "not-yes", "p-user-regexp"),
		user("complement, complemented", "not-no1"),
		user("escaped star", "probe*x", "p-user-escaped"),
		user("list", "dave", "p-user-list"),

		meta("string", Members{"dept": "Eng"}, "p-meta-string"),
		meta("string in another case", Members{"dept": "eng"}),
		meta("string in a list", Members{"dept": []string{"x", "Eng"}}, "p-meta-string"),
		meta("prefix", Members{"dept": "Eng-1"}, "p-meta-prefix"),
		meta("number", Members{"level": 3}, "p-meta-number"),
		meta("number as a fraction", Members{"level": JSON("3.0")}, "p-meta-number"),
		meta("number as text", Members{"level": "3"}),
		meta("number in a list", Members{"level": []int{2, 3}}, "p-meta-number"),
		meta("other number", Members{"level": 3.5}),
		meta("boolean", Members{"vip": true}, "p-meta-bool"),
		meta("boolean false", Members{"vip": false}),
		meta("boolean as text", Members{"vip": "true"}),
		meta("list", Members{"tags": []string{"red", "blue"}}, "p-meta-list"),
		meta("empty list", Members{"tags": []string{}}),
		meta("null", Members{"sub": "meta-null"}, "p-meta-null"),
		meta("token type", Members{"sub": "meta-type"}, "p-meta-type"),
		meta("dotted", Members{"a.b": "c"}, "p-meta-dotted"),
		meta("nested is not dotted", Members{"a": Members{"b": "c"}}),

		c("any, first", Members{"sub": "any-one"}, "p-any"),
		c("any, second", Members{"roles": "any group"}, "p-any"),
		c("all, both", Members{"sub": "all-one", "roles": "all group"}, "p-all"),
		c("all, one", Members{"sub": "all-one"}),
		c("except, not excepted", Members{"roles": "except group"}, "p-except"),
		c("except, excepted", Members{"sub": "except-me", "roles": "except group"}),
		c("except any, not excepted", Members{"roles": "except any group"}, "p-except-any"),
		c("except any, excepted", Members{"sub": "mallory", "roles": "except any group"}),
		c("empty any and all", Members{"sub": "empty-rules"}, "p-empty-all"),
		c("another realm's mappings do not count", Members{"roles": "probe-1"}, "p-group-prefix",
			"p-group-question-any"),
	}
}
