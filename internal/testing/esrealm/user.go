package esrealm

// user is a user. Requests share it, so nobody may change it.
type user struct {
	name     string
	roles    []string
	fullName *string
	email    *string
	metadata map[string]any
	realm    realmRef
}

// realmRef names a realm.
type realmRef struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// authentication says who a request runs as and who has authenticated, which may
// be two users.
type authentication struct {
	effective *user
	by        *user
}

// runAs reports whether the request runs as another user.
func (a authentication) runAs() bool { return a.effective != a.by }

// answer returns the body of the answer to GET _security/_authenticate.
func (a authentication) answer() any {
	u := a.effective
	return struct {
		Username            string         `json:"username"`
		Roles               []string       `json:"roles"`
		FullName            *string        `json:"full_name"`
		Email               *string        `json:"email"`
		Metadata            map[string]any `json:"metadata"`
		Enabled             bool           `json:"enabled"`
		AuthenticationRealm realmRef       `json:"authentication_realm"`
		LookupRealm         realmRef       `json:"lookup_realm"`
		AuthenticationType  string         `json:"authentication_type"`
	}{
		u.name, append([]string{}, u.roles...), u.fullName, u.email, u.metadata, true,
		a.by.realm, u.realm, "realm",
	}
}
