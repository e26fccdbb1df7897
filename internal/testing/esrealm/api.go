package esrealm

import (
	"encoding/json"
	"net/http"
)

// allRoutes is the part of the REST API that the node knows. More specific
// paths come first.
func (n *Node) allRoutes() []route {
	return []route{
		newRoute("GET", "/", actionMain, n.info),
		newRoute("HEAD", "/", actionMain, n.info),
		newRoute("GET", "/_security/_authenticate", actionAuthenticate, n.whoAmI).knows(),
		newRoute("GET", "/_security/role_mapping", actionGetMapping, n.getRoleMapping),
		newRoute("GET", "/_security/role_mapping/{name}", actionGetMapping, n.getRoleMapping),
		newRoute("PUT", "/_security/role_mapping/{name}", actionPutMapping, n.putRoleMapping),
		newRoute("POST", "/_security/role_mapping/{name}", actionPutMapping, n.putRoleMapping),
		newRoute("DELETE", "/_security/role_mapping/{name}", actionDropMapping, n.deleteRoleMapping),
		newRoute("GET", "/_cluster/health", actionHealth, n.health),

		newRoute("GET", "/_search", actionSearch, n.search),
		newRoute("POST", "/_search", actionSearch, n.search),
		newRoute("GET", "/{index}/_search", actionSearch, n.search),
		newRoute("POST", "/{index}/_search", actionSearch, n.search),
		newRoute("GET", "/_count", actionSearch, n.count),
		newRoute("POST", "/_count", actionSearch, n.count),
		newRoute("GET", "/{index}/_count", actionSearch, n.count),
		newRoute("POST", "/{index}/_count", actionSearch, n.count),

		newRoute("PUT", "/_bulk", actionBulk, n.bulk),
		newRoute("POST", "/_bulk", actionBulk, n.bulk),
		newRoute("PUT", "/{index}/_bulk", actionBulk, n.bulk),
		newRoute("POST", "/{index}/_bulk", actionBulk, n.bulk),

		newRoute("GET", "/_refresh", actionRefresh, n.refresh),
		newRoute("POST", "/_refresh", actionRefresh, n.refresh),
		newRoute("GET", "/{index}/_refresh", actionRefresh, n.refresh),
		newRoute("POST", "/{index}/_refresh", actionRefresh, n.refresh),

		newRoute("POST", "/{index}/_doc", actionIndex, n.putDocument),
		newRoute("PUT", "/{index}/_create/{id}", actionIndex, n.createDocument),
		newRoute("POST", "/{index}/_create/{id}", actionIndex, n.createDocument),
		newRoute("GET", "/{index}/_doc/{id}", actionGet, n.getDocument),
		newRoute("POST", "/{index}/_doc/{id}", actionIndex, n.putDocument),
		newRoute("PUT", "/{index}/_doc/{id}", actionIndex, n.putDocument),
		newRoute("DELETE", "/{index}/_doc/{id}", actionDelete, n.deleteDocument),
		newRoute("HEAD", "/{index}/_doc/{id}", actionGet, n.getDocument),

		newRoute("GET", "/{index}", actionGetIndex, n.getIndex),
		newRoute("PUT", "/{index}", actionCreate, n.createIndex),
		newRoute("DELETE", "/{index}", actionDrop, n.deleteIndex),
		newRoute("HEAD", "/{index}", actionGetIndex, n.getIndex),
	}
}

func (n *Node) whoAmI(w http.ResponseWriter, c *call) *apiError {
	writeJSON(w, http.StatusOK, c.access.auth.answer())
	return nil
}

// info is what clients check to see that they talk to Elasticsearch.
func (n *Node) info(w http.ResponseWriter, c *call) *apiError {
	if err := c.access.cluster(actionMain); err != nil {
		return err
	}
	type versionInfo struct {
		Number   string `json:"number"`
		Flavor   string `json:"build_flavor"`
		Type     string `json:"build_type"`
		Snapshot bool   `json:"build_snapshot"`
	}
	writeJSON(w, http.StatusOK, struct {
		Name        string      `json:"name"`
		ClusterName string      `json:"cluster_name"`
		ClusterUUID string      `json:"cluster_uuid"`
		Version     versionInfo `json:"version"`
		Tagline     string      `json:"tagline"`
	}{"esrealm", n.config.ClusterName, "esrealm-is-not-a-cluster", versionInfo{n.version.text, "default", "esrealm", false}, "You Know, for Search"})
	return nil
}

func (n *Node) health(w http.ResponseWriter, c *call) *apiError {
	if err := c.access.cluster(actionHealth); err != nil {
		return err
	}
	shards := len(n.store.names())
	writeJSON(w, http.StatusOK, map[string]any{
		"cluster_name": n.config.ClusterName, "status": "green", "timed_out": false,
		"number_of_nodes": 1, "number_of_data_nodes": 1,
		"active_primary_shards": shards, "active_shards": shards,
	})
	return nil
}

// roleMappingBody is a mapping in the API's form.
type roleMappingBody struct {
	Enabled  *bool           `json:"enabled,omitempty"`
	Roles    []string        `json:"roles"`
	Rules    json.RawMessage `json:"rules"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

func (n *Node) getRoleMapping(w http.ResponseWriter, c *call) *apiError {
	if err := c.access.cluster(actionGetMapping); err != nil {
		return err
	}
	found := map[string]roleMappingBody{}
	for name, m := range n.mappings.Load().source {
		if only := c.params["name"]; only == "" || only == name {
			found[name] = roleMappingBody{new(!m.Disabled), m.Roles, m.Rules, json.RawMessage("{}")}
		}
	}
	status := http.StatusOK
	if len(found) == 0 && c.params["name"] != "" {
		status = http.StatusNotFound
	}
	writeJSON(w, status, found)
	return nil
}

func (n *Node) putRoleMapping(w http.ResponseWriter, c *call) *apiError {
	if err := c.access.cluster(actionPutMapping); err != nil {
		return err
	}
	var body roleMappingBody
	if err := json.NewDecoder(c.Body).Decode(&body); err != nil {
		return badRequest("parse_exception", "failed to parse the role mapping: "+err.Error())
	}
	mapping := RoleMapping{Disabled: body.Enabled != nil && !*body.Enabled, Roles: body.Roles, Rules: body.Rules}
	created, err := n.changeMappings(func(all map[string]RoleMapping) bool {
		_, exists := all[c.params["name"]]
		all[c.params["name"]] = mapping
		return !exists
	})
	if err != nil {
		return badRequest("parse_exception", err.Error())
	}
	writeJSON(w, http.StatusOK, map[string]any{"role_mapping": map[string]any{"created": created}})
	return nil
}

func (n *Node) deleteRoleMapping(w http.ResponseWriter, c *call) *apiError {
	if err := c.access.cluster(actionDropMapping); err != nil {
		return err
	}
	found, err := n.changeMappings(func(all map[string]RoleMapping) bool {
		_, exists := all[c.params["name"]]
		delete(all, c.params["name"])
		return exists
	})
	if err != nil {
		return badRequest("parse_exception", err.Error())
	}
	status := http.StatusOK
	if !found {
		status = http.StatusNotFound
	}
	writeJSON(w, status, map[string]any{"found": found})
	return nil
}
