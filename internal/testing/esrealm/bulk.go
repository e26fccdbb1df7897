package esrealm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// The supported operations of a bulk request.
const (
	opIndex  = "index"
	opCreate = "create"
	opDelete = "delete"
)

// bulkItem is one operation of a bulk request.
type bulkItem struct {
	op        string
	index, id string
	source    []byte
}

func (n *Node) bulk(w http.ResponseWriter, c *call) *apiError {
	if err := c.access.anyIndex(actionBulk, ""); err != nil {
		return err
	}
	body, err := readBody(c)
	if err != nil {
		return err
	}
	items, err := parseBulk(body, c.params["index"])
	if err != nil {
		return err
	}
	results, failed := make([]any, len(items)), false
	for i, item := range items {
		done, err := n.write(c.access, item)
		result := done.body()
		if err != nil {
			failed = true
			result = map[string]any{"_index": item.index, "_id": item.id, "status": err.status, "error": err.object()}
			if item.id == "" {
				result["_id"] = nil
			}
		}
		results[i] = map[string]any{item.op: result}
	}
	writeJSON(w, http.StatusOK, map[string]any{"errors": failed, "took": 0, "items": results})
	return nil
}

// parseBulk reads lines of operations and documents.
func parseBulk(body []byte, index string) ([]bulkItem, *apiError) {
	lines := bytes.Split(body, []byte("\n"))
	if last := len(lines) - 1; len(lines[last]) > 0 {
		return nil, badRequest("illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]")
	}
	var items []bulkItem
	for i := 0; i < len(lines)-1; i++ {
		if len(bytes.TrimSpace(lines[i])) == 0 {
			continue
		}
		item, err := parseBulkAction(lines[i], i+1, index)
		if err != nil {
			return nil, err
		}
		if item.op != opDelete {
			i++ // there is always a next line: the last one is empty
			item.source = lines[i]
		}
		items = append(items, item)
	}
	return items, nil
}

func parseBulkAction(line []byte, number int, index string) (bulkItem, *apiError) {
	var action map[string]struct {
		Index string `json:"_index"`
		ID    string `json:"_id"`
	}
	if err := json.Unmarshal(line, &action); err != nil || len(action) != 1 {
		return bulkItem{}, badRequest("x_content_parse_exception", "an action is an object with one member")
	}
	item := bulkItem{index: index}
	for name, target := range action {
		item.op, item.id = name, target.ID
		if target.Index != "" {
			item.index = target.Index
		}
	}
	if !slices.Contains([]string{opIndex, opCreate, opDelete}, item.op) {
		return item, badRequest("illegal_argument_exception", fmt.Sprintf("Malformed action/metadata line [%d], "+
			"expected field [create], [delete], [index] or [update] but found [%s]", number, item.op))
	}
	if item.index == "" {
		return item, badRequest("action_request_validation_exception", "Validation Failed: 1: index is missing;")
	}
	return item, nil
}

// written is the result of a write.
type written struct {
	*document
	result string
	status int
}

// body returns the answer to the operation in a bulk request. The answer to a
// single write has no status.
func (w written) body() map[string]any {
	if w.document == nil {
		return nil
	}
	return map[string]any{
		"_index": w.index, "_id": w.id, "_version": w.version, "result": w.result, "status": w.status,
		"_shards": map[string]any{"total": 2, "successful": 1, "failed": 0}, "_seq_no": w.seq, "_primary_term": 1,
	}
}

// write carries out one operation. It checks the right to create the index
// before the right to write to it.
func (n *Node) write(a access, item bulkItem) (written, *apiError) {
	if !n.store.has(item.index) {
		if item.op == opDelete {
			return written{}, noSuchIndex(item.index)
		}
		if err := a.index(actionAutoCreate, item.index); err != nil {
			return written{}, err
		}
		if err := checkIndexName(item.index); err != nil {
			return written{}, err
		}
	}
	needs := map[string]string{opIndex: actionOverwrite, opCreate: actionIndex, opDelete: actionDelete}[item.op]
	if !a.may(needs, item.index) {
		if !a.may(actionBulkShard, item.index) {
			needs = actionBulkShard
		}
		return written{}, a.denied(needs, item.index)
	}
	if item.op == opDelete {
		d, found := n.store.remove(item.index, item.id)
		if !found {
			return written{d, "not_found", http.StatusNotFound}, nil
		}
		return written{d, "deleted", http.StatusOK}, nil
	}
	return n.put(item)
}

func (n *Node) put(item bulkItem) (written, *apiError) {
	d, isNew, err := n.store.put(item.index, item.id, item.source, item.op == opCreate)
	if conflict, ok := errors.AsType[conflictError](err); ok {
		return written{}, &apiError{
			status: http.StatusConflict, typ: "version_conflict_engine_exception",
			reason: fmt.Sprintf("[%s]: version conflict, document already exists (current version [%d])",
				item.id, conflict),
			more: map[string]any{"index": item.index, "index_uuid": indexUUID, "shard": "0"},
		}
	}
	switch {
	case err != nil:
		return written{}, badRequest("document_parsing_exception", "failed to parse: "+err.Error())
	case isNew:
		return written{d, "created", http.StatusCreated}, nil
	}
	return written{d, "updated", http.StatusOK}, nil
}
