package conformance

import "slices"

// Cases are all cases.
func Cases() []Case {
	return slices.Concat(
		headerCases(), keyCases(), compactCases(), jsonCases(),
		claimCases(), timeCases(), signatureCases(),
		mappingCases(), patternCases(), accessCases(), hmacCases(), secretCases(),
		requestCases(), runAsCases(), basicCases(), roleMappingCases(), apiCases(),
	)
}

// taken is a case whose token is accepted; edits say more about it.
func taken(name string, t Token, edits ...func(*Case)) Case {
	c := Case{Name: name, Token: t, Want: Want{Status: 200, Username: "alice", Realm: t.Realm}}
	return edited(c, edits)
}

// refused is a case whose token a realm refuses after it has recognised it as a
// JWT.
func refused(name string, t Token, edits ...func(*Case)) Case {
	c := Case{Name: name, Token: t, Want: Want{Status: 401, Reason: "unable to authenticate user ["}}
	return edited(c, edits)
}

// notJWT is a case whose token no realm recognises as a JWT.
func notJWT(name string, t Token, edits ...func(*Case)) Case {
	c := Case{Name: name, Token: t, Want: Want{Status: 401, Reason: "unable to authenticate with provided credentials"}}
	return edited(c, edits)
}

func edited(c Case, edits []func(*Case)) Case {
	for _, edit := range edits {
		edit(&c)
	}
	return c
}

// as says who the user is.
func as(username string) func(*Case) { return func(c *Case) { c.Want.Username = username } }

// roles says which roles the user has, and no others.
func roles(names ...string) func(*Case) {
	return func(c *Case) { c.Want.Roles = append([]string{}, names...) }
}

// metadata says what the metadata hold.
func metadata(m map[string]any) func(*Case) { return func(c *Case) { c.Want.Metadata = m } }

// with adds headers.
func with(headers ...string) func(*Case) {
	return func(c *Case) { c.Headers = append(c.Headers, headers...) }
}

// taken8 is what Elasticsearch 8 makes of a token that 9 does not recognise:
// its JSON is lenient.
func taken8(m map[string]any) func(*Case) {
	return func(c *Case) {
		c.Want8 = &Want{Status: 200, Username: "alice", Realm: c.Token.Realm, Metadata: m}
	}
}

// notJWT8 says that Elasticsearch 8 does not recognise the token as a JWT.
func notJWT8(c *Case) {
	c.Want8 = &Want{Status: 401, Reason: "unable to authenticate with provided credentials"}
}
