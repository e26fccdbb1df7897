package esrealm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// The operations of a bulk request that are known here.
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
		if err != nil {
			failed = true
			results[i] = map[string]any{item.op: item.failed(err)}
			continue
		}
		results[i] = map[string]any{item.op: done.body(done.status)}
	}
	writeJSON(w, http.StatusOK, struct {
		Errors bool  `json:"errors"`
		Took   int   `json:"took"`
		Items  []any `json:"items"`
	}{failed, 0, results})
	return nil
}

// parseBulk reads lines of operations and documents.
func parseBulk(body []byte, index string) ([]bulkItem, *apiError) {
	if body[len(body)-1] != '\n' {
		return nil, badRequest("illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]")
	}
	lines := bytes.Split(body[:len(body)-1], []byte("\n"))
	var items []bulkItem
	for i := 0; i < len(lines); i++ {
		if len(bytes.TrimSpace(lines[i])) == 0 {
			continue
		}
		item, err := parseBulkAction(lines[i], i+1, index)
		if err != nil {
			return nil, err
		}
		if item.op != opDelete {
			if i++; i == len(lines) {
				return nil, badRequest("illegal_argument_exception", "the last action has no document")
			}
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
	if err := json.Unmarshal(line, &action); err != nil {
		return bulkItem{}, badRequest("x_content_parse_exception", err.Error())
	}
	if len(action) != 1 {
		return bulkItem{}, badRequest("illegal_argument_exception", fmt.Sprintf("Malformed action/metadata line [%d], expected one action", number))
	}
	item := bulkItem{index: index}
	for name, target := range action {
		item.op, item.id = name, target.ID
		if target.Index != "" {
			item.index = target.Index
		}
	}
	if !slices.Contains([]string{opIndex, opCreate, opDelete}, item.op) {
		return item, badRequest("illegal_argument_exception", fmt.Sprintf(
			"Malformed action/metadata line [%d], expected field [create], [delete], [index] or [update] but found [%s]", number, item.op))
	}
	if item.index == "" {
		return item, badRequest("action_request_validation_exception", "Validation Failed: 1: index is missing;")
	}
	return item, nil
}

// failed is the result of an item that was refused.
func (b bulkItem) failed(err *apiError) members {
	var id any
	if b.id != "" {
		id = b.id
	}
	return members{{"_index", b.index}, {"_id", id}, {"status", err.status}, {"error", err.object()}}
}

// written is the result of a write.
type written struct {
	*document
	result string
	status int
}

// writtenAnswer is the body of a write's answer.
type writtenAnswer struct {
	Index   string `json:"_index"`
	ID      string `json:"_id"`
	Version int64  `json:"_version"`
	Result  string `json:"result"`
	Shards  struct {
		Total      int `json:"total"`
		Successful int `json:"successful"`
		Failed     int `json:"failed"`
	} `json:"_shards"`
	Seq    int64 `json:"_seq_no"`
	Term   int   `json:"_primary_term"`
	Status int   `json:"status,omitempty"`
}

// body is the answer; in a bulk request it also tells the status.
func (w written) body(status int) writtenAnswer {
	a := writtenAnswer{Index: w.index, ID: w.id, Version: w.version, Result: w.result, Seq: w.seq, Term: 1, Status: status}
	a.Shards.Total, a.Shards.Successful = 2, 1
	return a
}

// write carries out one operation: the right to create the index comes before
// the right to write to it.
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
		switch {
		case d == nil:
			return written{}, noSuchIndex(item.index)
		case !found:
			return written{d, "not_found", http.StatusNotFound}, nil
		}
		return written{d, "deleted", http.StatusOK}, nil
	}
	return n.put(item)
}

func (n *Node) put(item bulkItem) (written, *apiError) {
	d, err := n.store.put(item.index, item.id, item.source, item.op == opCreate)
	var conflict conflictError
	switch {
	case errors.As(err, &conflict):
		return written{}, &apiError{
			status: http.StatusConflict, typ: "version_conflict_engine_exception",
			reason: fmt.Sprintf("[%s]: version conflict, document already exists (current version [%d])", item.id, conflict),
			more:   map[string]any{"index": item.index, "index_uuid": n.store.uuid(item.index), "shard": "0"},
		}
	case err != nil:
		return written{}, badRequest("document_parsing_exception", "failed to parse: "+err.Error())
	case d.version == 1:
		return written{d, "created", http.StatusCreated}, nil
	}
	return written{d, "updated", http.StatusOK}, nil
}
