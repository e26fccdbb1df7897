package conformance

import "slices"

// Cases returns all cases.
func Cases() []Case {
	return slices.Concat(
		headerCases(), keyCases(), compactCases(), jsonCases(),
		claimCases(), timeCases(), signatureCases(),
		mappingCases(), patternCases(), accessCases(), hmacCases(), secretCases(),
		requestCases(), runAsCases(), basicCases(), roleMappingCases(), apiCases(),
	)
}

// taken returns a case whose token is accepted.
func taken(name string, t Token, edits ...func(*Case)) Case {
	c := Case{Name: name, Token: t, Want: Want{Status: 200, Username: "alice", Realm: t.Realm}}
	return edited(c, edits)
}

// refused returns a case whose token is a JWT that the realm refuses.
func refused(name string, t Token, edits ...func(*Case)) Case {
	c := Case{Name: name, Token: t, Want: Want{Status: 401, Reason: "unable to authenticate user ["}}
	return edited(c, edits)
}

// notJWT returns a case whose token is not a JWT, so that no realm looks at it.
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

// as sets the expected username.
func as(username string) func(*Case) { return func(c *Case) { c.Want.Username = username } }

// roles sets the expected roles.
func roles(names ...string) func(*Case) {
	return func(c *Case) { c.Want.Roles = append([]string{}, names...) }
}

// metadata sets the expected metadata.
func metadata(m map[string]any) func(*Case) { return func(c *Case) { c.Want.Metadata = m } }

// with adds headers to the request.
func with(headers ...string) func(*Case) {
	return func(c *Case) { c.Headers = append(c.Headers, headers...) }
}

// taken8 means that Elasticsearch 8 accepts the token, which 9 does not: 8 reads
// JSON leniently.
func taken8(m map[string]any) func(*Case) {
	return func(c *Case) {
		c.Want8 = &Want{Status: 200, Username: "alice", Realm: c.Token.Realm, Metadata: m}
	}
}

// notJWT8 means that for Elasticsearch 8 the token is not a JWT.
func notJWT8(c *Case) {
	c.Want8 = &Want{Status: 401, Reason: "unable to authenticate with provided credentials"}
}
