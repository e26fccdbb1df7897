package esrealm

import (
	"fmt"
	"maps"
	"slices"
)

// mappings are the node's role mappings, compiled.
type mappings struct {
	source map[string]RoleMapping
	rules  map[string]rule
}

func compileMappings(source map[string]RoleMapping) (*mappings, error) {
	m := &mappings{source: maps.Clone(source), rules: map[string]rule{}}
	for name, mapping := range source {
		r, err := parseRules(mapping.Rules)
		if err != nil {
			return nil, fmt.Errorf("role mapping %q: %w", name, err)
		}
		m.rules[name] = r
	}
	return m, nil
}

// SetRoleMappings replaces all role mappings, by their names. It flushes the
// realms' JWT caches, as a change of the mappings does.
func (n *Node) SetRoleMappings(source map[string]RoleMapping) error {
	m, err := compileMappings(source)
	if err != nil {
		return err
	}
	n.mappings.Store(m)
	for _, r := range n.realms {
		r.cache.clear()
	}
	return nil
}

// changeMappings changes the role mappings in place.
func (n *Node) changeMappings(change func(map[string]RoleMapping) bool) (bool, error) {
	n.changing.Lock()
	defer n.changing.Unlock()
	all := maps.Clone(n.mappings.Load().source)
	if all == nil {
		all = map[string]RoleMapping{}
	}
	result := change(all)
	return result, n.SetRoleMappings(all)
}

// mapRoles returns the roles of a user, in the order of their names.
func (n *Node) mapRoles(u *userData) []string {
	m := n.mappings.Load()
	roles := []string{}
	for name, mapping := range m.source {
		if !mapping.Disabled && m.rules[name].match(u) {
			roles = append(roles, mapping.Roles...)
		}
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}
