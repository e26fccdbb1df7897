package esrealm

// user is an authenticated user. It is shared by requests and not changed once
// it is made.
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

// authentication is who a request runs as: the user, and the one who
// authenticated where that is somebody else.
type authentication struct {
	effective *user
	by        *user
}

// runAs reports whether the request runs as another user.
func (a authentication) runAs() bool { return a.effective != a.by }

// answer is the body of GET _security/_authenticate.
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
