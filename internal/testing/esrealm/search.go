package esrealm

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm/internal/pattern"
)

// searchBody is the part of a search request that is known here.
type searchBody struct {
	Query json.RawMessage `json:"query"`
	Size  *int            `json:"size"`
	From  int             `json:"from"`
}

// searchAnswer is the body of a search's answer.
type searchAnswer struct {
	Took     int         `json:"took"`
	TimedOut bool        `json:"timed_out"`
	Shards   shardCounts `json:"_shards"`
	Hits     struct {
		Total struct {
			Value    int    `json:"value"`
			Relation string `json:"relation"`
		} `json:"total"`
		MaxScore *float64 `json:"max_score"`
		Hits     []hit    `json:"hits"`
	} `json:"hits"`
}

type hit struct {
	Index  string          `json:"_index"`
	ID     string          `json:"_id"`
	Score  float64         `json:"_score"`
	Source json.RawMessage `json:"_source"`
}

type shardCounts struct {
	Total      int `json:"total"`
	Successful int `json:"successful"`
	Skipped    int `json:"skipped"`
	Failed     int `json:"failed"`
}

func (n *Node) search(w http.ResponseWriter, c *call) *apiError {
	hits, names, body, err := n.find(c)
	if err != nil {
		return err
	}
	size := 10
	if body.Size != nil {
		size = max(*body.Size, 0)
	}
	var answer searchAnswer
	answer.Shards = shards(names)
	answer.Hits.Total.Value, answer.Hits.Total.Relation = len(hits), "eq"
	answer.Hits.Hits = []hit{}
	first := min(max(body.From, 0), len(hits))
	for _, d := range hits[first:min(len(hits), first+size)] {
		answer.Hits.Hits = append(answer.Hits.Hits, hit{d.index, d.id, 1, d.source})
		answer.Hits.MaxScore = new(1.0)
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (n *Node) count(w http.ResponseWriter, c *call) *apiError {
	hits, names, _, err := n.find(c)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		Count  int         `json:"count"`
		Shards shardCounts `json:"_shards"`
	}{len(hits), shards(names)})
	return nil
}

func shards(names []string) shardCounts {
	return shardCounts{Total: len(names), Successful: len(names)}
}

func (n *Node) find(c *call) (hits []*document, names []string, body searchBody, err *apiError) {
	if names, err = n.resolve(c, actionSearch); err != nil {
		return nil, nil, body, err
	}
	if e := json.NewDecoder(c.Body).Decode(&body); e != nil && e.Error() != "EOF" {
		return nil, nil, body, badRequest("x_content_parse_exception", "failed to parse the search: "+e.Error())
	}
	if size := c.URL.Query().Get("size"); size != "" {
		v, e := strconv.Atoi(size)
		if e != nil {
			return nil, nil, body, badRequest("illegal_argument_exception", "Failed to parse int parameter [size] with value ["+size+"]")
		}
		body.Size = &v
	}
	q := query(matchAll)
	switch text := c.URL.Query().Get("q"); {
	case text != "":
		q = queryString(text)
	case body.Query != nil:
		if q, err = parseQuery(body.Query); err != nil {
			return nil, nil, body, err
		}
	}
	return n.store.search(names, q), names, body, nil
}

// queryString is the least of ?q=: words in any field, or field:value.
func queryString(text string) query {
	field, value, ok := strings.Cut(text, ":")
	if ok {
		return termQuery(field, []any{strings.ToLower(value)})
	}
	words := analyze(text)
	return func(d *document) bool {
		return slices.ContainsFunc(allLeaves(d.fields), func(s string) bool { return intersects(analyze(s), words) })
	}
}

func allLeaves(v any) (out []string) {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			out = append(out, allLeaves(e)...)
		}
	case []any:
		for _, e := range v {
			out = append(out, allLeaves(e)...)
		}
	case string:
		out = append(out, v)
	}
	return out
}

// resolve turns the index part of a path into names. Of a wildcard, only those
// are left that the user may see; any other name must exist and be allowed.
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
