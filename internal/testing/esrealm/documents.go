package esrealm

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// indexUUID is the id of every index. It appears in errors.
const indexUUID = "esrealm-gives-no-uuids"

func (n *Node) getIndex(w http.ResponseWriter, c *call) *apiError {
	name := c.params["index"]
	if strings.HasPrefix(name, "_") {
		return invalidIndexName(name, "must not start with '_'.")
	}
	if err := c.access.index(actionGetIndex, name); err != nil {
		return err
	}
	if !n.store.has(name) {
		return noSuchIndex(name)
	}
	writeJSON(w, http.StatusOK, map[string]any{name: map[string]any{}})
	return nil
}

func (n *Node) createIndex(w http.ResponseWriter, c *call) *apiError {
	name := c.params["index"]
	if err := checkIndexName(name); err != nil {
		return err
	}
	if err := c.access.index(actionCreate, name); err != nil {
		return err
	}
	if !n.store.create(name) {
		return &apiError{
			status: http.StatusBadRequest, typ: "resource_already_exists_exception",
			reason: fmt.Sprintf("index [%s/%s] already exists", name, indexUUID),
			more:   map[string]any{"index": name, "index_uuid": indexUUID},
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"acknowledged": true, "shards_acknowledged": true, "index": name})
	return nil
}

func (n *Node) deleteIndex(w http.ResponseWriter, c *call) *apiError {
	name := c.params["index"]
	if err := c.access.index(actionDrop, name); err != nil {
		return err
	}
	if !n.store.drop(name) {
		return noSuchIndex(name)
	}
	writeJSON(w, http.StatusOK, map[string]any{"acknowledged": true})
	return nil
}

func (n *Node) putDocument(w http.ResponseWriter, c *call) *apiError {
	if c.params["id"] == "" || c.URL.Query().Get("op_type") == opCreate {
		return n.createDocument(w, c)
	}
	return n.writeDocument(w, c, opIndex)
}

func (n *Node) createDocument(w http.ResponseWriter, c *call) *apiError {
	return n.writeDocument(w, c, opCreate)
}

func (n *Node) deleteDocument(w http.ResponseWriter, c *call) *apiError {
	return n.writeDocument(w, c, opDelete)
}

// writeDocument writes one document as a bulk request with one operation, which
// is what a node does too.
func (n *Node) writeDocument(w http.ResponseWriter, c *call, op string) *apiError {
	item := bulkItem{op: op, index: c.params["index"], id: c.params["id"]}
	action := actionIndex
	if op == opDelete {
		action = actionDelete
	}
	if err := c.access.anyIndex(action, item.index); err != nil {
		return err
	}
	if op != opDelete {
		var err *apiError
		if item.source, err = readBody(c); err != nil {
			return err
		}
	}
	done, err := n.write(c.access, item)
	if err != nil {
		return err
	}
	body := done.body()
	delete(body, "status")
	writeJSON(w, done.status, body)
	return nil
}

func (n *Node) getDocument(w http.ResponseWriter, c *call) *apiError {
	name, id := c.params["index"], c.params["id"]
	if err := c.access.index(actionGet, name); err != nil {
		return err
	}
	if !n.store.has(name) {
		return noSuchIndex(name)
	}
	d := n.store.get(name, id)
	if d == nil {
		writeJSON(w, http.StatusNotFound, map[string]any{"_index": name, "_id": id, "found": false})
		return nil
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"_index": name, "_id": id, "_version": d.version, "_seq_no": d.seq, "_primary_term": 1,
		"found": true, "_source": d.source,
	})
	return nil
}

func (n *Node) refresh(w http.ResponseWriter, c *call) *apiError {
	names, err := n.resolve(c, actionRefresh)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"_shards": shards(len(names))})
	return nil
}

func readBody(c *call) ([]byte, *apiError) {
	body, err := io.ReadAll(c.Body)
	if err != nil {
		return nil, badRequest("illegal_argument_exception", "the body cannot be read: "+err.Error())
	}
	if len(body) == 0 {
		return nil, badRequest("parse_exception", "request body is required")
	}
	return body, nil
}

func noSuchIndex(name string) *apiError {
	return &apiError{
		status: http.StatusNotFound, typ: "index_not_found_exception", reason: fmt.Sprintf("no such index [%s]", name),
		more: map[string]any{
			"resource.type": "index_or_alias", "resource.id": name, "index_uuid": "_na_", "index": name,
		},
	}
}

func checkIndexName(name string) *apiError {
	switch {
	case strings.HasPrefix(name, "_") || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "+"):
		return invalidIndexName(name, "must not start with '_', '-', or '+'")
	case strings.ToLower(name) != name:
		return invalidIndexName(name, "must be lowercase")
	case strings.ContainsAny(name, ` "*,/<>?\|`):
		return invalidIndexName(name,
			`must not contain the following characters [' ','"','*',',','/','<','>','?','\','|']`)
	}
	return nil
}

func invalidIndexName(name, problem string) *apiError {
	return &apiError{
		status: http.StatusBadRequest, typ: "invalid_index_name_exception",
		reason: fmt.Sprintf("Invalid index name [%s], %s", name, problem),
		more:   map[string]any{"index_uuid": "_na_", "index": name},
	}
}
