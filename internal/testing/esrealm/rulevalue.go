package esrealm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm/internal/pattern"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// fieldValue is a value that a rule compares a field with: nil, bool, int64 or
// string. A string may be a pattern.
type fieldValue struct {
	value   any
	pattern *pattern.Pattern
}

func parseFieldValue(text []byte) (fieldValue, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return fieldValue{}, err
	}
	switch v := v.(type) {
	case nil, bool:
		return fieldValue{value: v}, nil
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return fieldValue{}, fmt.Errorf("%s is no whole number", v)
		}
		return fieldValue{value: n}, nil
	case string:
		f := fieldValue{value: v}
		if !pattern.IsPattern(v) {
			return f, nil
		}
		var err error
		f.pattern, err = pattern.Compile(v)
		return f, err
	}
	return fieldValue{}, errors.New("a value is a string, a number, a boolean or null")
}

func (v fieldValue) null() bool { return v.value == nil }

// matchExact compares a username, a realm's name or a metadata text, with
// regard to case.
func (v fieldValue) matchExact(s string) bool {
	if v.pattern != nil {
		return v.pattern.Match(s)
	}
	return v.value == s
}

// matchAny compares a metadata value; of a list, any element.
func (v fieldValue) matchAny(value any) bool {
	switch value := value.(type) {
	case string:
		return v.matchExact(value)
	case []any:
		return slices.ContainsFunc(value, v.matchAny)
	case float64:
		n, ok := v.value.(int64)
		return ok && float64(n) == value
	}
	return v.value == value
}

// matchName compares a DN or a group, without regard to case. Two distinguished
// names are compared in their normal form. The pattern "*,<suffix>" is a
// subtree: "*,OU=Eng" matches "cn=a, ou=eng".
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
