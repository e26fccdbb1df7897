package esrealm

import (
	"net/http"
	"strings"
)

// allRoutes returns the routes of the REST API that the node knows, those with
// more specific paths first.
func (n *Node) allRoutes() (routes []route) {
	for _, r := range []struct {
		methods, path, action string
		handle                handler
	}{
		{"GET HEAD", "/", actionMain, n.info},
		{"GET", "/_security/_authenticate", actionAuthenticate, n.whoAmI},
		{"GET", "/_cluster/health", actionHealth, n.health},

		{"GET POST", "/_search", actionSearch, n.search},
		{"GET POST", "/{index}/_search", actionSearch, n.search},
		{"GET POST", "/{index}/_count", actionSearch, n.count},
		{"GET POST", "/_refresh", actionRefresh, n.refresh},
		{"GET POST", "/{index}/_refresh", actionRefresh, n.refresh},
		{"PUT POST", "/_bulk", actionBulk, n.bulk},
		{"PUT POST", "/{index}/_bulk", actionBulk, n.bulk},

		{"POST", "/{index}/_doc", actionIndex, n.putDocument},
		{"PUT POST", "/{index}/_create/{id}", actionIndex, n.createDocument},
		{"GET HEAD", "/{index}/_doc/{id}", actionGet, n.getDocument},
		{"PUT POST", "/{index}/_doc/{id}", actionIndex, n.putDocument},
		{"DELETE", "/{index}/_doc/{id}", actionDelete, n.deleteDocument},

		{"GET HEAD", "/{index}", actionGetIndex, n.getIndex},
		{"PUT", "/{index}", actionCreate, n.createIndex},
		{"DELETE", "/{index}", actionDrop, n.deleteIndex},
	} {
		for method := range strings.FieldsSeq(r.methods) {
			routes = append(routes, route{method, segments(r.path), r.action, r.handle})
		}
	}
	return routes
}

func (n *Node) whoAmI(w http.ResponseWriter, c *call) *apiError {
	writeJSON(w, http.StatusOK, c.access.auth.answer())
	return nil
}

// info answers GET /, which is what people try first.
func (n *Node) info(w http.ResponseWriter, c *call) *apiError {
	if err := c.access.cluster(actionMain); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"name": "esrealm", "cluster_name": "esrealm", "cluster_uuid": "esrealm-is-not-a-cluster",
		"version": map[string]any{"number": n.config.Version, "build_flavor": "default", "build_type": "esrealm"},
		"tagline": "You Know, for Search",
	})
	return nil
}

func (n *Node) health(w http.ResponseWriter, c *call) *apiError {
	if err := c.access.cluster(actionHealth); err != nil {
		return err
	}
	shards := len(n.store.names())
	writeJSON(w, http.StatusOK, map[string]any{
		"cluster_name": "esrealm", "status": "green", "timed_out": false,
		"number_of_nodes": 1, "number_of_data_nodes": 1,
		"active_primary_shards": shards, "active_shards": shards,
	})
	return nil
}
