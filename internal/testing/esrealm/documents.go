package esrealm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxBody bounds what a request may carry.
const maxBody = 100 << 20

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
	writeJSON(w, http.StatusOK, map[string]any{name: map[string]any{
		"aliases":  map[string]any{},
		"mappings": map[string]any{},
		"settings": map[string]any{"index": map[string]any{"provided_name": name, "uuid": n.store.uuid(name)}},
	}})
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
	i, created := n.store.create(name)
	if !created {
		return &apiError{
			status: http.StatusBadRequest, typ: "resource_already_exists_exception",
			reason: fmt.Sprintf("index [%s/%s] already exists", name, i.uuid),
			more:   map[string]any{"index": name, "index_uuid": i.uuid},
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

// writeDocument carries out one write as a bulk request of one item, as a node
// does too.
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
	if done.status == http.StatusCreated {
		w.Header().Set("Location", "/"+url.PathEscape(done.index)+"/_doc/"+url.PathEscape(done.id))
	}
	writeJSON(w, done.status, done.body(0))
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
	writeJSON(w, http.StatusOK, struct {
		Index   string          `json:"_index"`
		ID      string          `json:"_id"`
		Version int64           `json:"_version"`
		Seq     int64           `json:"_seq_no"`
		Term    int             `json:"_primary_term"`
		Found   bool            `json:"found"`
		Source  json.RawMessage `json:"_source"`
	}{name, id, d.version, d.seq, 1, true, d.source})
	return nil
}

func (n *Node) refresh(w http.ResponseWriter, c *call) *apiError {
	names, err := n.resolve(c, actionRefresh)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"_shards": map[string]any{"total": 2 * len(names), "successful": len(names), "failed": 0}})
	return nil
}

func readBody(c *call) ([]byte, *apiError) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, c.Body, maxBody))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return nil, &apiError{status: http.StatusRequestEntityTooLarge, typ: "illegal_argument_exception", reason: "the body is too large"}
	}
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
		more: map[string]any{"resource.type": "index_or_alias", "resource.id": name, "index_uuid": "_na_", "index": name},
	}
}

func checkIndexName(name string) *apiError {
	switch {
	case strings.HasPrefix(name, "_") || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "+"):
		return invalidIndexName(name, "must not start with '_', '-', or '+'")
	case strings.ToLower(name) != name:
		return invalidIndexName(name, "must be lowercase")
	case strings.ContainsAny(name, ` "*,/<>?\|`):
		return invalidIndexName(name, `must not contain the following characters [' ','"','*',',','/','<','>','?','\','|']`)
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
