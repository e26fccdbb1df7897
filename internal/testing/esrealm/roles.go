package esrealm

import (
	"fmt"
	"maps"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm/internal/pattern"
)

// role is a compiled role.
type role struct {
	cluster []string
	indices []indexGrant
	runAs   pattern.List
}

type indexGrant struct {
	names      pattern.List
	privileges []string
}

// builtInRoles are those of Elasticsearch's built-in roles that tests use.
var builtInRoles = map[string]Role{
	"superuser": {
		Cluster: []string{"all"},
		Indices: []IndexPrivileges{{Names: []string{"*"}, Privileges: []string{"all"}}},
		RunAs:   []string{"*"},
	},
	"viewer": {Indices: []IndexPrivileges{{
		Names:      []string{"/~(([.]|ilm-history-).*)/"},
		Privileges: []string{"read", "view_index_metadata"},
	}}},
}

func compileRoles(roles map[string]Role) (map[string]*role, error) {
	all := maps.Clone(builtInRoles)
	maps.Copy(all, roles)
	compiled := make(map[string]*role, len(all))
	for name, r := range all {
		var err error
		if compiled[name], err = compileRole(r); err != nil {
			return nil, fmt.Errorf("role %q: %w", name, err)
		}
	}
	return compiled, nil
}

func compileRole(r Role) (*role, error) {
	c := &role{cluster: r.Cluster}
	var err error
	if c.runAs, err = pattern.CompileAll(r.RunAs); err != nil {
		return nil, err
	}
	for _, i := range r.Indices {
		names, err := pattern.CompileAll(i.Names)
		if err != nil {
			return nil, err
		}
		c.indices = append(c.indices, indexGrant{names, i.Privileges})
	}
	return c, nil
}

// rolesOf returns the roles of a user that exist, with their names, and the names
// of those that do not exist.
func (n *Node) rolesOf(u *user) (found []*role, names, missing []string) {
	for _, name := range u.roles {
		if r, ok := n.roles[name]; ok {
			found, names = append(found, r), append(names, name)
		} else {
			missing = append(missing, name)
		}
	}
	return found, names, missing
}
