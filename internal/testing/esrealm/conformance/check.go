package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Check compares the answer of a version with the expected one.
func (c *Case) Check(version string, a *Answer) error {
	return c.wantOn(version).check(a)
}

func (w Want) check(a *Answer) error {
	var wrong []error
	differ := func(what string, want, got any) {
		wrong = append(wrong, fmt.Errorf("%s is %v, not %v", what, got, want))
	}
	if a.Status != w.Status {
		differ("the status", w.Status, a.Status)
	}
	body, _ := a.Body.(map[string]any)
	for name, want := range map[string]string{"username": w.Username, "full_name": w.FullName, "email": w.Email} {
		if got := body[name]; want != "" && got != want {
			differ(name, want, got)
		}
	}
	if w.Roles != nil {
		var got []string
		list, _ := body["roles"].([]any)
		for _, r := range list {
			got = append(got, fmt.Sprint(r))
		}
		if want := slices.Sorted(slices.Values(w.Roles)); !slices.Equal(want, got) {
			differ("roles", want, got)
		}
	}
	if w.Realm != "" {
		realm, _ := body["authentication_realm"].(map[string]any)
		if realm["name"] != w.Realm {
			differ("the realm", w.Realm, realm["name"])
		}
	}
	metadata, _ := body["metadata"].(map[string]any)
	for name, want := range w.Metadata {
		if got, ok := metadata[name]; ok != (want != nil) || !sameJSON(want, got) {
			differ(name, want, got)
		}
	}
	if w.Reason != "" {
		e, _ := body["error"].(map[string]any)
		if reason := fmt.Sprint(e["reason"]); !strings.Contains(reason, w.Reason) {
			differ("the reason", w.Reason, reason)
		}
	}
	return errors.Join(wrong...)
}

// sameJSON compares a Go value with a decoded JSON value.
func sameJSON(want, got any) bool {
	text, err := json.Marshal(want)
	if err != nil {
		return false
	}
	var decoded any
	if err := json.Unmarshal(text, &decoded); err != nil {
		return false
	}
	return reflect.DeepEqual(decoded, got)
}
