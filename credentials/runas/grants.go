package runas

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// grants is what an API key may do.
type grants struct {
	runAs   []string // patterns of names
	more    []string // the members of its role descriptors that grant more, such as `cluster (in "r")`
	owner   bool     // it has no role descriptor, and so every right of its owner
	expires int64    // in Unix milliseconds; 0: never
}

// end returns when the key ends, if it does.
func (g *grants) end() time.Time { return time.UnixMilli(g.expires).UTC() }

// harmless are the members of a role descriptor that grant nothing. A restriction takes rights away.
var harmless = []string{"run_as", "metadata", "transient_metadata", "description", "restriction"}

// parseGrants reads the answer to GET /_security/api_key. What is not known, and not empty, counts as a right.
func parseGrants(answer []byte, id string) (*grants, error) {
	var body struct {
		Keys []struct {
			ID         string                                `json:"id"`
			Expiration int64                                 `json:"expiration"`
			Roles      map[string]map[string]json.RawMessage `json:"role_descriptors"`
		} `json:"api_keys"`
	}
	if err := json.Unmarshal(answer, &body); err != nil {
		return nil, fmt.Errorf("reading what the API key may do: %w", err)
	}
	if len(body.Keys) != 1 || body.Keys[0].ID != id {
		return nil, errors.New("the cluster does not say what the API key may do")
	}
	key := body.Keys[0]
	g := &grants{owner: len(key.Roles) == 0, expires: key.Expiration}
	for _, role := range slices.Sorted(maps.Keys(key.Roles)) {
		members := key.Roles[role]
		for _, member := range slices.Sorted(maps.Keys(members)) {
			if !slices.Contains(harmless, member) && !isEmpty(members[member]) {
				g.more = append(g.more, fmt.Sprintf("%s (in %q)", member, role))
			}
		}
		var names []string
		if raw, ok := members["run_as"]; ok {
			if err := json.Unmarshal(raw, &names); err != nil {
				return nil, fmt.Errorf("reading run_as of the API key: %w", err)
			}
		}
		g.runAs = append(g.runAs, names...)
	}
	return g, nil
}

// isEmpty reports whether a JSON value is null, or a list or an object without anything in it.
func isEmpty(raw json.RawMessage) bool {
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return false
	}
	switch v := value.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	default:
		return false
	}
}

// mayRunAs reports whether one of the patterns matches a name. It says so of a pattern that it cannot read, too.
func (g *grants) mayRunAs(name string) bool {
	return slices.ContainsFunc(g.runAs, func(pattern string) bool { return matches(pattern, name) })
}

// reaches returns the reserved users that the key may run as.
func (g *grants) reaches() []string {
	var reached []string
	for _, name := range reserved {
		if g.mayRunAs(name) {
			reached = append(reached, name)
		}
	}
	return reached
}

// onlyLucene are characters that mean something in the regular expressions of Lucene, and nothing in those of Go.
const onlyLucene = "~&@<>#\""

// matches reports whether a pattern of names in a role matches a name. There is a backslash before a character that
// stands for itself:
//
//	edge-*        any characters
//	edge-?        one character
//	/edge-[a-z]+/ a regular expression of Lucene, which is much the same as Go's
func matches(pattern, name string) bool {
	if len(pattern) > 1 && strings.HasPrefix(pattern, "/") && strings.HasSuffix(pattern, "/") {
		text := pattern[1 : len(pattern)-1]
		expression, err := regexp.Compile(`^(?s:` + text + `)$`)
		return err != nil || strings.ContainsAny(text, onlyLucene) || expression.MatchString(name)
	}
	var expression strings.Builder
	escaped := false
	for _, c := range pattern {
		switch {
		case escaped:
			expression.WriteString(regexp.QuoteMeta(string(c)))
			escaped = false
		case c == '\\':
			escaped = true
		case c == '*':
			expression.WriteString(".*")
		case c == '?':
			expression.WriteString(".")
		default:
			expression.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	compiled, err := regexp.Compile(`^(?s:` + expression.String() + `)$`)
	return err != nil || compiled.MatchString(name)
}
