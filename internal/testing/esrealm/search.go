package esrealm

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm/internal/pattern"
)

// searchBody has the supported members of a search request.
type searchBody struct {
	Query json.RawMessage
	Size  int
	From  int
}

// searchAnswer is the body of a search's answer.
type searchAnswer struct {
	Took     int            `json:"took"`
	TimedOut bool           `json:"timed_out"`
	Shards   map[string]any `json:"_shards"`
	Hits     struct {
		Total struct {
			Value    int    `json:"value"`
			Relation string `json:"relation"`
		} `json:"total"`
		Hits []any `json:"hits"`
	} `json:"hits"`
}

func (n *Node) search(w http.ResponseWriter, c *call) *apiError {
	hits, names, body, err := n.find(c)
	if err != nil {
		return err
	}
	answer := searchAnswer{Shards: shards(len(names))}
	answer.Hits.Total.Value, answer.Hits.Total.Relation = len(hits), "eq"
	answer.Hits.Hits = []any{}
	first := min(max(body.From, 0), len(hits))
	for _, d := range hits[first:min(len(hits), first+max(body.Size, 0))] {
		answer.Hits.Hits = append(answer.Hits.Hits, map[string]any{"_index": d.index, "_id": d.id, "_source": d.source})
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (n *Node) count(w http.ResponseWriter, c *call) *apiError {
	hits, names, _, err := n.find(c)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"count": len(hits), "_shards": shards(len(names))})
	return nil
}

func shards(total int) map[string]any {
	return map[string]any{"total": total, "successful": total, "failed": 0}
}

func (n *Node) find(c *call) (hits []*document, names []string, body searchBody, err *apiError) {
	if names, err = n.resolve(c, actionSearch); err != nil {
		return nil, nil, body, err
	}
	body = searchBody{Query: json.RawMessage(`{"match_all":{}}`), Size: 10}
	if e := json.NewDecoder(c.Body).Decode(&body); e != nil && !errors.Is(e, io.EOF) {
		return nil, nil, body, badRequest("x_content_parse_exception", "failed to parse the search: "+e.Error())
	}
	if size, e := strconv.Atoi(c.URL.Query().Get("size")); e == nil {
		body.Size = size
	}
	q, err := parseQuery(body.Query)
	if err != nil {
		return nil, nil, body, err
	}
	return n.store.search(names, q), names, body, nil
}

// resolve returns the indices that the path of a request names. A wildcard stands
// for the indices that the user may use. An index that is named without a wildcard
// must exist, and the user must be allowed to use it.
func (n *Node) resolve(c *call, action string) ([]string, *apiError) {
	expression := c.params["index"]
	if expression == "" || expression == "_all" {
		expression = "*"
	}
	if err := c.access.anyIndex(action, ""); err != nil && strings.Contains(expression, "*") {
		return nil, err
	}
	var names []string
	for part := range strings.SplitSeq(expression, ",") {
		if !strings.Contains(part, "*") {
			if err := c.access.index(action, part); err != nil {
				return nil, err
			}
			if !n.store.has(part) {
				return nil, noSuchIndex(part)
			}
			names = append(names, part)
			continue
		}
		p, err := pattern.Compile(part)
		if err != nil {
			return nil, badRequest("illegal_argument_exception", err.Error())
		}
		for _, name := range n.store.names() {
			if p.Match(name) && c.access.may(action, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
