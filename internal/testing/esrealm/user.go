package esrealm

import (
	"encoding/json"
	"math"
)

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
		u.name, append([]string{}, u.roles...), u.fullName, u.email, jsonMetadata(u.metadata), true,
		a.by.realm, u.realm, "realm",
	}
}

// jsonMetadata writes numbers as Java does.
func jsonMetadata(metadata map[string]any) map[string]any {
	out := make(map[string]any, len(metadata))
	for k, v := range metadata {
		out[k] = jsonNumber(v)
	}
	return out
}

func jsonNumber(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsInf(v, 0) {
			return javaDouble(v)
		}
		return json.RawMessage(javaDouble(v))
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = jsonNumber(e)
		}
		return list
	}
	return v
}
