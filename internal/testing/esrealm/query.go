package esrealm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// query decides whether a document matches.
type query func(*document) bool

func matchAll(*document) bool { return true }

// parseQuery reads the part of the query DSL that is known here: match_all,
// match_none, match, term, terms, exists, ids and bool.
func parseQuery(text json.RawMessage) (query, *apiError) {
	var q map[string]json.RawMessage
	if err := json.Unmarshal(text, &q); err != nil {
		return nil, badRequest("parsing_exception", "[_na] query malformed, must start with start_object")
	}
	if len(q) != 1 {
		return nil, badRequest("illegal_argument_exception", "query malformed, empty clause found")
	}
	for name, body := range q {
		parse, ok := queryParsers()[name]
		if !ok {
			return nil, badRequest("parsing_exception", fmt.Sprintf("unknown query [%s]", name))
		}
		return parse(body)
	}
	panic("unreachable")
}

func queryParsers() map[string]func(json.RawMessage) (query, *apiError) {
	return map[string]func(json.RawMessage) (query, *apiError){
		"match_all":  func(json.RawMessage) (query, *apiError) { return matchAll, nil },
		"match_none": func(json.RawMessage) (query, *apiError) { return func(*document) bool { return false }, nil },
		"match":      parseMatch,
		"term":       parseTerm,
		"terms":      parseTerms,
		"exists":     parseExists,
		"ids":        parseIDs,
		"bool":       parseBool,
	}
}

// parseMatch matches a text that has any of the query's words.
func parseMatch(body json.RawMessage) (query, *apiError) {
	field, value, err := fieldAndValue("match", body, "query")
	if err != nil {
		return nil, err
	}
	words := analyze(fmt.Sprint(value))
	return func(d *document) bool {
		return slices.ContainsFunc(d.values(field), func(v any) bool {
			if _, text := v.(string); !text || strings.HasSuffix(field, ".keyword") {
				return fmt.Sprint(v) == fmt.Sprint(value)
			}
			return intersects(analyze(fmt.Sprint(v)), words)
		})
	}, nil
}

// parseTerm matches one exact word of a text, or a whole keyword.
func parseTerm(body json.RawMessage) (query, *apiError) {
	field, value, err := fieldAndValue("term", body, "value")
	if err != nil {
		return nil, err
	}
	return termQuery(field, []any{value}), nil
}

func parseTerms(body json.RawMessage) (query, *apiError) {
	field, value, err := fieldAndValue("terms", body, "")
	if err != nil {
		return nil, err
	}
	values, ok := value.([]any)
	if !ok {
		return nil, badRequest("parsing_exception", "[terms] query does not support ["+field+"]")
	}
	return termQuery(field, values), nil
}

func termQuery(field string, values []any) query {
	var want []string
	for _, v := range values {
		want = append(want, fmt.Sprint(v))
	}
	return func(d *document) bool {
		return slices.ContainsFunc(d.values(field), func(v any) bool {
			text, ok := v.(string)
			if ok && !strings.HasSuffix(field, ".keyword") && field != "_id" {
				return intersects(analyze(text), want)
			}
			return slices.Contains(want, fmt.Sprint(v))
		})
	}
}

func parseExists(body json.RawMessage) (query, *apiError) {
	var q struct{ Field string }
	if err := json.Unmarshal(body, &q); err != nil || q.Field == "" {
		return nil, badRequest("parsing_exception", "[exists] must be provided with a [field]")
	}
	return func(d *document) bool { return len(d.values(q.Field)) > 0 }, nil
}

func parseIDs(body json.RawMessage) (query, *apiError) {
	var q struct{ Values []string }
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, badRequest("parsing_exception", "[ids] needs [values]")
	}
	return func(d *document) bool { return slices.Contains(q.Values, d.id) }, nil
}

// parseBool combines queries. A should clause counts where there is nothing
// that must match.
func parseBool(body json.RawMessage) (query, *apiError) {
	var q struct {
		Must    clauses
		Filter  clauses
		Should  clauses
		MustNot clauses `json:"must_not"`
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, badRequest("parsing_exception", "[bool] malformed query")
	}
	var parsed [3][]query
	for i, list := range []clauses{append(q.Must, q.Filter...), q.Should, q.MustNot} {
		for _, text := range list {
			sub, err := parseQuery(text)
			if err != nil {
				return nil, err
			}
			parsed[i] = append(parsed[i], sub)
		}
	}
	must, should, mustNot := parsed[0], parsed[1], parsed[2]
	return func(d *document) bool {
		matches := func(sub query) bool { return sub(d) }
		return !slices.ContainsFunc(must, func(sub query) bool { return !sub(d) }) &&
			!slices.ContainsFunc(mustNot, matches) &&
			(len(must) > 0 || len(should) == 0 || slices.ContainsFunc(should, matches))
	}, nil
}

// clauses is one query or a list of them.
type clauses []json.RawMessage

// UnmarshalJSON takes both forms.
func (c *clauses) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]json.RawMessage)(c))
	}
	*c = clauses{slices.Clone(text)}
	return nil
}

// fieldAndValue reads {"field": value} or {"field": {"<member>": value}}.
func fieldAndValue(name string, body json.RawMessage, member string) (string, any, *apiError) {
	var q map[string]any
	if err := json.Unmarshal(body, &q); err != nil || len(q) == 0 {
		return "", nil, badRequest("parsing_exception", "["+name+"] query malformed, no start_object after query name")
	}
	delete(q, "boost")
	for field, value := range q {
		if o, ok := value.(map[string]any); ok {
			value = o[member]
		}
		return field, value, nil
	}
	return "", nil, badRequest("parsing_exception", "["+name+"] query malformed")
}

// values are the leaves of a document at a dotted path, with or without
// ".keyword".
func (d *document) values(field string) []any {
	if field == "_id" {
		return []any{d.id}
	}
	return leaves(d.fields, strings.Split(strings.TrimSuffix(field, ".keyword"), "."))
}

func leaves(v any, path []string) []any {
	switch v := v.(type) {
	case []any:
		var all []any
		for _, e := range v {
			all = append(all, leaves(e, path)...)
		}
		return all
	case map[string]any:
		if len(path) == 0 {
			return nil
		}
		return leaves(v[path[0]], path[1:])
	case nil:
		return nil
	}
	if len(path) > 0 {
		return nil
	}
	return []any{v}
}

// analyze cuts a text into lower-case words.
func analyze(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_'
	})
}
