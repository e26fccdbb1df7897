package realnode

import (
	"encoding/json"
	"strconv"
)

// RoleMapping gives roles to the users that its rules match, in the form of
// Elasticsearch's role-mapping API.
type RoleMapping struct {
	Roles []string
	// Rules is a rule in the JSON of the role-mapping API, for instance
	// {"all":[{"field":{"realm.name":"jwt1"}},{"field":{"groups":"analysts"}}]}.
	Rules json.RawMessage
}

// GroupMapping maps one group of one realm to roles.
func GroupMapping(realm, group string, roles ...string) RoleMapping {
	type field map[string]map[string]string
	rules, err := json.Marshal(map[string][]field{"all": {
		{"field": {"realm.name": realm}},
		{"field": {"groups": group}},
	}})
	if err != nil {
		panic(err) // strings always marshal
	}
	return RoleMapping{Roles: roles, Rules: rules}
}

// renderOperatorSettings returns the content of config/operator/settings.json. A node
// reads role mappings from it without the .security index, if its version is higher
// than that of the last one.
func renderOperatorSettings(version int, mappings map[string]RoleMapping) ([]byte, error) {
	type mapping struct {
		Enabled bool            `json:"enabled"`
		Roles   []string        `json:"roles"`
		Rules   json.RawMessage `json:"rules"`
	}
	state := make(map[string]mapping, len(mappings))
	for name, m := range mappings {
		state[name] = mapping{Enabled: true, Roles: m.Roles, Rules: m.Rules}
	}
	return json.MarshalIndent(map[string]any{
		"metadata": map[string]string{"version": strconv.Itoa(version), "compatibility": "8.4.0"},
		"state":    map[string]any{"role_mappings": state},
	}, "", "  ")
}
