package esrealm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// rule is an expression of the role-mapping API.
type rule interface{ match(u *userData) bool }

type (
	anyRule    []rule
	allRule    []rule
	exceptRule struct{ of rule }
	fieldRule  struct {
		name   string
		values []fieldValue
	}
)

func (a anyRule) match(u *userData) bool {
	for _, r := range a {
		if r.match(u) {
			return true
		}
	}
	return false
}

func (a allRule) match(u *userData) bool {
	for _, r := range a {
		if !r.match(u) {
			return false
		}
	}
	return true
}

func (e exceptRule) match(u *userData) bool { return !e.of.match(u) }

// match reports whether any value of the rule matches the user's field. A field
// that the user does not have matches null alone.
func (f fieldRule) match(u *userData) bool {
	for _, v := range f.values {
		if v.matchField(u, f.name) {
			return true
		}
	}
	return false
}

func (v fieldValue) matchField(u *userData, field string) bool {
	switch field {
	case "username":
		return v.matchExact(u.username)
	case "realm.name":
		return v.matchExact(u.realm)
	case "dn":
		if u.dn == nil {
			return v.null()
		}
		return v.matchName(*u.dn)
	case "groups":
		return slices.ContainsFunc(u.groups, v.matchName)
	}
	if name, ok := strings.CutPrefix(field, "metadata."); ok {
		if value, ok := u.metadata[name]; ok {
			return v.matchAny(value)
		}
	}
	return v.null()
}

// maxRuleDepth bounds how deeply rules are nested.
const maxRuleDepth = 100

// parseRules reads {"any": […]}, {"all": […]} or {"field": {…}}, and within
// "all" also {"except": {…}}.
func parseRules(text []byte) (rule, error) {
	return parseRule(text, false, 0)
}

func parseRule(text []byte, allowExcept bool, depth int) (rule, error) {
	if depth > maxRuleDepth {
		return nil, errors.New("rules are nested too deeply")
	}
	name, value, err := onlyMember(text)
	if err != nil {
		return nil, err
	}
	switch name {
	case "any":
		rules, err := parseRuleList(value, false, depth)
		return anyRule(rules), err
	case "all":
		rules, err := parseRuleList(value, true, depth)
		return allRule(rules), err
	case "field":
		return parseField(value)
	case "except":
		if !allowExcept {
			return nil, errors.New(`"except" is only allowed within "all"`)
		}
		r, err := parseRule(value, false, depth+1)
		return exceptRule{r}, err
	}
	return nil, fmt.Errorf("%q is neither any, all, field nor except", name)
}

func parseRuleList(text []byte, allowExcept bool, depth int) ([]rule, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil || list == nil {
		return nil, errors.New("any and all take an array of rules")
	}
	rules := make([]rule, len(list))
	for i, e := range list {
		var err error
		if rules[i], err = parseRule(e, allowExcept, depth+1); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

func parseField(text []byte) (rule, error) {
	name, value, err := onlyMember(text)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, errors.New("a field needs a name")
	}
	f := fieldRule{name: name}
	var list []json.RawMessage
	if value = bytes.TrimSpace(value); len(value) > 0 && value[0] == '[' {
		if err := json.Unmarshal(value, &list); err != nil {
			return nil, err
		}
	} else {
		list = []json.RawMessage{value}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("the field %q needs a value", name)
	}
	for _, e := range list {
		v, err := parseFieldValue(e)
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", name, err)
		}
		f.values = append(f.values, v)
	}
	return f, nil
}

// onlyMember reads an object that must have exactly one member.
func onlyMember(text []byte) (string, json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(text, &m); err != nil {
		return "", nil, fmt.Errorf("a rule is an object: %w", err)
	}
	if len(m) != 1 {
		return "", nil, fmt.Errorf("a rule has one member, not %d", len(m))
	}
	for name, value := range m {
		return name, value, nil
	}
	panic("unreachable")
}
