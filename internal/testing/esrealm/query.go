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

// parseQuery reads a query. It knows match_all, match_none, match, term, terms,
// exists, ids and bool, for documents whose members are strings and numbers.
func parseQuery(text json.RawMessage) (query, *apiError) {
	var q map[string]json.RawMessage
	if err := json.Unmarshal(text, &q); err != nil || len(q) != 1 {
		return nil, badRequest("parsing_exception", "a query is an object with one member")
	}
	for name, body := range q {
		switch name {
		case "match_all":
			return func(*document) bool { return true }, nil
		case "match_none":
			return func(*document) bool { return false }, nil
		case "match":
			return parseTerms(body, "query", analyze)
		case "term":
			return parseTerms(body, "value", func(term string) []string { return []string{term} })
		case "terms":
			return parseTerms(body, "", func(term string) []string { return []string{term} })
		case "exists":
			var of struct{ Field string }
			err := json.Unmarshal(body, &of)
			return func(d *document) bool { return d.fields[of.Field] != nil }, malformed(err)
		case "ids":
			var of struct{ Values []string }
			err := json.Unmarshal(body, &of)
			return func(d *document) bool { return slices.Contains(of.Values, d.id) }, malformed(err)
		case "bool":
			return parseBool(body)
		}
		return nil, badRequest("parsing_exception", fmt.Sprintf("unknown query [%s]", name))
	}
	panic("unreachable")
}

func malformed(err error) *apiError {
	if err == nil {
		return nil
	}
	return badRequest("parsing_exception", "malformed query: "+err.Error())
}

// parseTerms reads {"field": value}, {"field": [value, …]} or
// {"field": {"<member>": value}}. A text matches if one of its words is a term of
// a value. A number matches if it is one of the values, and so does a text if the
// field's name ends in ".keyword".
func parseTerms(body json.RawMessage, member string, terms func(string) []string) (query, *apiError) {
	var q map[string]any
	if err := json.Unmarshal(body, &q); err != nil || len(q) != 1 {
		return nil, badRequest("parsing_exception", "malformed query: expected one field")
	}
	for field, value := range q {
		if o, ok := value.(map[string]any); ok {
			value = o[member]
		}
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		var values, words []string
		for _, v := range list {
			values = append(values, fmt.Sprint(v))
			words = append(words, terms(fmt.Sprint(v))...)
		}
		name, isKeyword := strings.CutSuffix(field, ".keyword")
		return func(d *document) bool {
			if text, ok := d.fields[name].(string); ok && !isKeyword {
				return intersects(analyze(text), words)
			}
			return slices.Contains(values, fmt.Sprint(d.fields[name]))
		}, nil
	}
	panic("unreachable")
}

// parseBool combines queries. One of the should clauses must match if there is
// no must or filter clause.
func parseBool(body json.RawMessage) (query, *apiError) {
	var q struct {
		Must, Filter, Should clauses
		MustNot              clauses `json:"must_not"`
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, malformed(err)
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

// analyze splits a text into words in lower case.
func analyze(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_'
	})
}
