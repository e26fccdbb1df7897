package esrealm

import (
	"fmt"
	"slices"
	"strings"
)

// The security layer's names of actions. The maps below list the privileges that
// grant each of them, in the order of the error messages.
const (
	actionMain         = "cluster:monitor/main"
	actionHealth       = "cluster:monitor/health"
	actionGetMapping   = "cluster:admin/xpack/security/role_mapping/get"
	actionPutMapping   = "cluster:admin/xpack/security/role_mapping/put"
	actionDropMapping  = "cluster:admin/xpack/security/role_mapping/delete"
	actionAuthenticate = "cluster:admin/xpack/security/user/authenticate"

	actionSearch     = "indices:data/read/search"
	actionGet        = "indices:data/read/get"
	actionIndex      = "indices:data/write/index"
	actionOverwrite  = "indices:data/write/index:op_type/index"
	actionDelete     = "indices:data/write/delete"
	actionBulk       = "indices:data/write/bulk"
	actionBulkShard  = "indices:data/write/bulk[s]"
	actionAutoCreate = "indices:admin/auto_create"
	actionCreate     = "indices:admin/create"
	actionDrop       = "indices:admin/delete"
	actionGetIndex   = "indices:admin/get"
	actionRefresh    = "indices:admin/refresh"
)

var clusterActions = map[string][]string{
	actionMain:        {"monitor", "manage", "all"},
	actionHealth:      {"monitor", "manage", "all"},
	actionGetMapping:  {"read_security", "manage_security", "all"},
	actionPutMapping:  {"manage_security", "all"},
	actionDropMapping: {"manage_security", "all"},
}

var indexActions = map[string][]string{
	actionSearch:     {"read", "all"},
	actionGet:        {"read", "all"},
	actionIndex:      {"create_doc", "create", "index", "write", "all"},
	actionOverwrite:  {"create", "index", "write", "all"},
	actionDelete:     {"delete", "write", "all"},
	actionBulk:       {"create_doc", "create", "delete", "index", "write", "all"},
	actionBulkShard:  {"create_doc", "create", "delete", "index", "write", "all"},
	actionAutoCreate: {"auto_configure", "create_index", "manage", "all"},
	actionCreate:     {"create_index", "manage", "all"},
	actionDrop:       {"delete_index", "manage", "all"},
	actionGetIndex:   {"view_index_metadata", "manage", "all"},
	actionRefresh:    {"maintenance", "manage", "all"},
}

// access checks what one request may do.
type access struct {
	node *Node
	auth authentication
}

// runAs checks that the user who authenticated may run as the other one, and
// that the other one exists.
func (a access) runAs(action string) *apiError {
	if !a.auth.runAs() {
		return nil
	}
	by, target := a.auth.by, a.auth.effective
	roles, _, _ := a.node.rolesOf(by)
	if target.realm.Name != "" && slices.ContainsFunc(roles, func(r *role) bool { return r.runAs.Match(target.name) }) {
		return nil
	}
	return forbidden(fmt.Sprintf(
		"action [%s] is unauthorized for user [%s]%s, because user [%s] is unauthorized to run as [%s]",
		action, by.name, a.node.effectiveRoles(by), by.name, target.name))
}

// cluster checks a cluster action.
func (a access) cluster(action string) *apiError {
	roles, _, _ := a.node.rolesOf(a.auth.effective)
	granting := clusterActions[action]
	if slices.ContainsFunc(roles, func(r *role) bool { return intersects(r.cluster, granting) }) {
		return nil
	}
	return forbidden(a.subject(action) +
		", this action is granted by the cluster privileges [" + strings.Join(granting, ",") + "]")
}

// index checks an action on one index.
func (a access) index(action, name string) *apiError {
	if a.may(action, name) {
		return nil
	}
	return a.denied(action, name)
}

func (a access) denied(action, name string) *apiError {
	return forbidden(a.subject(action) + fmt.Sprintf(" on indices [%s]", name) + grantedBy(action))
}

// anyIndex checks that the user may do the action on some index. Each index is
// checked later.
func (a access) anyIndex(action, on string) *apiError {
	roles, _, _ := a.node.rolesOf(a.auth.effective)
	for _, r := range roles {
		for _, g := range r.indices {
			if intersects(g.privileges, indexActions[action]) {
				return nil
			}
		}
	}
	if on != "" {
		on = " on indices [" + on + "]"
	}
	return forbidden(a.subject(action) + on + grantedBy(action))
}

// may reports whether the user's roles grant an action on an index.
func (a access) may(action, name string) bool {
	roles, _, _ := a.node.rolesOf(a.auth.effective)
	for _, r := range roles {
		for _, g := range r.indices {
			if intersects(g.privileges, indexActions[action]) && g.names.Match(name) {
				return true
			}
		}
	}
	return false
}

func (a access) subject(action string) string {
	text := fmt.Sprintf("action [%s] is unauthorized for user [%s]", action, a.auth.by.name)
	if a.auth.runAs() {
		text += fmt.Sprintf(" run as [%s]", a.auth.effective.name)
	}
	return text + a.node.effectiveRoles(a.auth.effective)
}

func grantedBy(action string) string {
	return ", this action is granted by the index privileges [" + strings.Join(indexActions[action], ",") + "]"
}

// effectiveRoles is the part of an error message about a user's roles.
func (n *Node) effectiveRoles(u *user) string {
	_, names, missing := n.rolesOf(u)
	slices.Sort(names)
	text := " with effective roles [" + strings.Join(names, ",") + "]"
	if len(missing) > 0 {
		slices.Sort(missing)
		text += " (assigned roles [" + strings.Join(missing, ",") + "] were not found)"
	}
	return text
}

func intersects(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}
