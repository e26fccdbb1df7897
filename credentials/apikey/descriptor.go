package apikey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/strictjson"
)

// descriptor is a role descriptor that was checked. It grants something.
type descriptor struct {
	json       json.RawMessage // compact
	limited    bool            // by document or field level security, which needs a licence
	restricted bool            // to workflows, beside which Elasticsearch takes no other descriptor

	cluster      []string
	indices      []indexPrivileges
	applications []applicationPrivileges
}

// written has the members of a role descriptor. What is not looked at goes on as it is.
type written struct {
	Cluster       []string                `json:"cluster,omitempty"`
	Indices       []indexPrivileges       `json:"indices,omitempty"`
	Index         []indexPrivileges       `json:"index,omitempty"` // another name for the same
	Applications  []applicationPrivileges `json:"applications,omitempty"`
	Global        json.RawMessage         `json:"global,omitempty"`
	RemoteIndices json.RawMessage         `json:"remote_indices,omitempty"`
	RemoteCluster json.RawMessage         `json:"remote_cluster,omitempty"`
	Restriction   json.RawMessage         `json:"restriction,omitempty"`
	Metadata      map[string]any          `json:"metadata,omitempty"`

	RunAs []string `json:"run_as,omitempty"`

	// What GET /_security/role shows, and no API key can have.
	Description string         `json:"description,omitempty"`
	Transient   map[string]any `json:"transient_metadata,omitempty"`
}

// indexPrivileges is an entry of indices.
type indexPrivileges struct {
	Names           names           `json:"names"`
	Privileges      []string        `json:"privileges"`
	FieldSecurity   json.RawMessage `json:"field_security,omitempty"`
	Query           json.RawMessage `json:"query,omitempty"`
	AllowRestricted bool            `json:"allow_restricted_indices,omitempty"`
}

// applicationPrivileges is an entry of applications.
type applicationPrivileges struct {
	Application string   `json:"application"`
	Privileges  []string `json:"privileges"`
	Resources   []string `json:"resources"`
}

// names are the names of indices: one or several.
type names []string

// UnmarshalJSON implements [json.Unmarshaler].
func (n *names) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*n = names{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(n))
}

// parseDescriptor parses the file of a role: one descriptor, which grants something and lets nobody run as others.
func parseDescriptor(content []byte) (descriptor, error) {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	var members map[string]json.RawMessage
	switch err := json.Unmarshal(content, &members); {
	case len(bytes.TrimSpace(content)) == 0:
		return descriptor{}, errors.New("it is empty: write a role descriptor into it")
	case err != nil:
		return descriptor{}, fmt.Errorf("it is no JSON object with the role descriptor of one group: %w", err)
	case len(members) == 0:
		return descriptor{}, errNothing
	}
	if name := wrapped(members); name != "" {
		return descriptor{}, fmt.Errorf("it has a role descriptor under a name, %q: write what that name stands for, "+
			"without the name and the braces around it; each group has a file of its own", name)
	}
	var w written
	if err := strictjson.Unmarshal(content, &w); err != nil {
		return descriptor{}, fmt.Errorf("it is no role descriptor, as in "+
			`{"indices": [{"names": ["logs-*"], "privileges": ["read"]}]}: %w`, err)
	}
	w.Description, w.Transient = "", nil
	w.dropBlank()
	if len(w.RunAs) > 0 {
		return descriptor{}, errors.New("it has run_as, with which clients could be other users: take it out")
	}
	w.Indices, w.Index = append(w.Indices, w.Index...), nil
	if err := w.check(); err != nil {
		return descriptor{}, err
	}
	compact, err := json.Marshal(w)
	if err != nil {
		return descriptor{}, err
	}
	return descriptor{
		json: compact, limited: w.limited(), restricted: len(w.Restriction) > 0,
		cluster: w.Cluster, indices: w.Indices, applications: w.Applications,
	}, nil
}

var errNothing = errors.New("it grants nothing, and Elasticsearch can take that for everything: " +
	"write the privileges of the group into it, or take the role out")

// wrapped returns a name under which there is a descriptor; "" if there is none.
func wrapped(members map[string]json.RawMessage) string {
	known := []string{
		"cluster", "indices", "index", "applications", "global", "remote_indices", "remote_cluster", "restriction",
		"metadata", "description", "run_as", "transient_metadata",
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		var inner map[string]json.RawMessage
		if slices.Contains(known, name) || json.Unmarshal(members[name], &inner) != nil {
			continue
		}
		for member := range inner {
			if slices.Contains(known, member) {
				return name
			}
		}
	}
	return ""
}

// check checks that each entry is whole, and that something is granted.
func (w *written) check() error {
	if slices.Contains(w.Cluster, "") {
		return errors.New("cluster: a privilege is empty")
	}
	for i, entry := range w.Indices {
		if !filled(entry.Names) || !filled(entry.Privileges) {
			return fmt.Errorf("indices: entry %d must have names and privileges, none of which is empty", i+1)
		}
	}
	for i, entry := range w.Applications {
		if entry.Application == "" || !filled(entry.Privileges) || !filled(entry.Resources) {
			return fmt.Errorf("applications: entry %d must have an application, privileges and resources, "+
				"none of which is empty", i+1)
		}
	}
	for name := range w.Metadata {
		if strings.HasPrefix(name, "_") {
			return errors.New("metadata: no name can begin with an underscore, which Elasticsearch keeps for itself")
		}
	}
	if len(w.Cluster)+len(w.Indices)+len(w.Applications)+len(w.Global)+len(w.RemoteIndices)+len(w.RemoteCluster) == 0 {
		return errNothing
	}
	return nil
}

func filled(list []string) bool { return len(list) > 0 && !slices.Contains(list, "") }

// dropBlank drops what says nothing.
func (w *written) dropBlank() {
	drop := func(raw *json.RawMessage) {
		switch string(bytes.Join(bytes.Fields(*raw), nil)) {
		case "null", "{}", "[]", `""`:
			*raw = nil
		}
	}
	for _, raw := range []*json.RawMessage{&w.Global, &w.RemoteIndices, &w.RemoteCluster, &w.Restriction} {
		drop(raw)
	}
	for i := range w.Indices {
		drop(&w.Indices[i].FieldSecurity)
		drop(&w.Indices[i].Query)
	}
}

// limited reports whether there is document or field level security.
func (w *written) limited() bool {
	if slices.ContainsFunc(w.Indices, func(i indexPrivileges) bool { return i.Query != nil || i.FieldSecurity != nil }) {
		return true
	}
	return bytes.Contains(w.RemoteIndices, []byte(`"query"`)) ||
		bytes.Contains(w.RemoteIndices, []byte(`"field_security"`))
}
