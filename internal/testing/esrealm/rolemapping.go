package esrealm

import (
	"fmt"
	"slices"
)

// mapping is a compiled role mapping.
type mapping struct {
	roles []string
	rule  *rule
}

func compileMappings(source map[string]RoleMapping) ([]mapping, error) {
	var mappings []mapping
	for name, m := range source {
		r, err := parseRule(m.Rules)
		if err != nil {
			return nil, fmt.Errorf("role mapping %q: %w", name, err)
		}
		mappings = append(mappings, mapping{m.Roles, r})
	}
	return mappings, nil
}

// mapRoles returns the names of a user's roles, sorted.
func (n *Node) mapRoles(u *userData) []string {
	roles := []string{}
	for _, m := range n.mappings {
		if m.rule.match(u) {
			roles = append(roles, m.roles...)
		}
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}
