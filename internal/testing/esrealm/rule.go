package esrealm

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/strictjson"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm/internal/pattern"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// rule is a rule of the role-mapping API. One of its members is set.
type rule struct {
	Any    []rule
	All    []rule
	Except *rule
	Field  map[string]fieldValues
}

func parseRule(text []byte) (*rule, error) {
	r := &rule{}
	return r, strictjson.Unmarshal(text, r)
}

func (r *rule) match(u *userData) bool {
	switch {
	case r.Any != nil:
		return slices.ContainsFunc(r.Any, func(of rule) bool { return of.match(u) })
	case r.All != nil:
		return !slices.ContainsFunc(r.All, func(of rule) bool { return !of.match(u) })
	case r.Except != nil:
		return !r.Except.match(u)
	}
	for name, values := range r.Field {
		return slices.ContainsFunc(values, func(v fieldValue) bool { return v.matchField(u, name) })
	}
	return false
}

// fieldValues are the values that a rule compares a field with. One of them must
// match.
type fieldValues []fieldValue

// UnmarshalJSON reads one value or a list of them.
func (f *fieldValues) UnmarshalJSON(text []byte) error {
	if text[0] != '[' {
		*f = make(fieldValues, 1)
		return (*f)[0].UnmarshalJSON(text)
	}
	return json.Unmarshal(text, (*[]fieldValue)(f))
}

// fieldValue is a value in a rule: nil, a bool, a float64 or a string. The pattern
// is set if the string is one.
type fieldValue struct {
	value   any
	pattern *pattern.Pattern
}

// UnmarshalJSON reads the value.
func (v *fieldValue) UnmarshalJSON(text []byte) error {
	err := json.Unmarshal(text, &v.value)
	if s, ok := v.value.(string); ok && pattern.IsPattern(s) {
		v.pattern, err = pattern.Compile(s)
	}
	return err
}

// matchField compares the value with a field of a user. If the user does not have
// the field, only null matches.
func (v fieldValue) matchField(u *userData, field string) bool {
	switch field {
	case "username":
		return v.matchExact(u.username)
	case "realm.name":
		return v.matchExact(u.realm)
	case "dn":
		if u.dn == nil {
			return v.value == nil
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
	return v.value == nil
}

// matchExact compares the value with a username, a realm's name or a text in the
// metadata. Case matters.
func (v fieldValue) matchExact(s string) bool {
	if v.pattern != nil {
		return v.pattern.Match(s)
	}
	return v.value == s
}

// matchAny compares the value with one in the metadata, or with each element if
// that is a list.
func (v fieldValue) matchAny(value any) bool {
	switch value := value.(type) {
	case string:
		return v.matchExact(value)
	case int64:
		return v.value == float64(value)
	case []any:
		return slices.ContainsFunc(value, v.matchAny)
	}
	return v.value == value
}

// matchName compares the value with a DN or a group. Case does not matter.
// Distinguished names are compared in their normal form. The pattern "*,<suffix>"
// is for a subtree: "*,OU=Eng" matches "cn=a, ou=eng".
func (v fieldValue) matchName(s string) bool {
	text, ok := v.value.(string)
	if !ok {
		return false
	}
	name, err := x500.Normalize(s)
	isName := err == nil
	if v.pattern == nil {
		if strings.EqualFold(text, s) {
			return true
		}
		if !isName {
			return false
		}
		if want, err := x500.Normalize(text); err == nil {
			return want == name
		}
		return strings.EqualFold(text, name)
	}
	if v.pattern.Match(s) || (isName && v.pattern.Match(name)) ||
		v.pattern.Match(strings.ToLower(s)) || v.pattern.Match(strings.ToUpper(s)) {
		return true
	}
	suffix, subtree := strings.CutPrefix(text, "*,")
	if !isName || !subtree || strings.Contains(suffix, "*") {
		return false
	}
	base, err := x500.Normalize(suffix)
	return err == nil && strings.HasSuffix(name, ","+base)
}
