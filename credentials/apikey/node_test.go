package apikey_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
)

// node answers as Elasticsearch does, as shared reference tests have found. It is no server, so that it works in a bubble.
type node struct {
	t  testing.TB
	mu sync.Mutex

	passwords map[string]string
	keys      map[string]*key
	serial    int
	asked     map[string]int // by the method and the path

	down     bool
	answers  func(r *http.Request) (status int, body string) // instead of the node; 0: as ever
	lacks    []string                                        // privileges that every user lacks
	licence  string
	role     string // of each user
	security bool
	latency  time.Duration
}

type key struct {
	ID, Name, Owner, Secret, Store string
	Descriptors                    map[string]json.RawMessage
	Metadata                       json.RawMessage
	Created, Expires               time.Time
	Invalidated                    bool
	Lacks                          []string // of what its maker lacked when it was made or renewed
}

func newNode(t testing.TB) *node {
	t.Helper()
	return &node{
		t: t, keys: make(map[string]*key), asked: make(map[string]int), licence: "basic", security: true,
		passwords: map[string]string{"proxy": "hunter2"},
	}
}

func (n *node) cluster() *cluster.Cluster {
	return cluster.New(cluster.NewNode("https://es1:9200", n))
}

// RoundTrip implements [http.RoundTripper].
func (n *node) RoundTrip(r *http.Request) (*http.Response, error) {
	if n.latency > 0 {
		time.Sleep(n.latency)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked[r.Method+" "+r.URL.Path]++
	if n.down {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	n.serve(w, r)
	return w.Result(), nil
}

func fail(w http.ResponseWriter, status int, kind, reason string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"type": kind, "reason": reason}})
}

func (n *node) serve(w http.ResponseWriter, r *http.Request) {
	if n.answers != nil {
		if status, body := n.answers(r); status != 0 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return
		}
	}
	user, password, _ := r.BasicAuth()
	switch {
	case !n.security:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":"no handler found for uri [%s] and method [%s]"}`, r.URL.Path, r.Method)
		return
	case n.passwords[user] == "" || n.passwords[user] != password:
		fail(w, http.StatusUnauthorized, "security_exception", "unable to authenticate user ["+user+"]")
		return
	}
	var body map[string]json.RawMessage
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&body)
	}
	if id, ok := strings.CutPrefix(r.URL.Path, "/_security/api_key/key-"); ok && r.Method == http.MethodPut {
		n.describe(w, "key-"+id, user, body)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /_security/_authenticate":
		fmt.Fprintf(w, `{"username":%q,"roles":[%q]}`, user, n.role)
	case "GET /_license":
		fmt.Fprintf(w, `{"license":{"type":%q,"status":"active"}}`, n.licence)
	case "POST /_security/user/_has_privileges":
		n.hasPrivileges(w, body)
	case "POST /_security/api_key":
		n.create(w, r, user, body)
	case "POST /_security/api_key/_bulk_update":
		n.update(w, user, body)
	case "GET /_security/api_key":
		n.get(w, r, user)
	case "DELETE /_security/api_key":
		n.invalidate(w, user, body)
	case "POST /_security/_query/api_key":
		n.query(w, body)
	default:
		fail(w, http.StatusBadRequest, "illegal_argument_exception", r.Method+" "+r.URL.Path)
	}
}

func (n *node) hasPrivileges(w http.ResponseWriter, body map[string]json.RawMessage) {
	var cluster []string
	var index []struct{ Names, Privileges []string }
	_ = json.Unmarshal(body["cluster"], &cluster)
	_ = json.Unmarshal(body["index"], &index)
	has := map[string]any{}
	granted := make(map[string]bool)
	for _, privilege := range cluster {
		granted[privilege] = !slices.Contains(n.lacks, privilege)
	}
	has["cluster"] = granted
	indices := make(map[string]map[string]bool)
	for _, entry := range index {
		for _, name := range entry.Names {
			indices[name] = make(map[string]bool)
			for _, privilege := range entry.Privileges {
				if privilege == "reed" {
					fail(w, http.StatusBadRequest, "illegal_argument_exception", "unknown index privilege [reed]")
					return
				}
				indices[name][privilege] = !slices.Contains(n.lacks, privilege)
			}
		}
	}
	has["index"] = indices
	_ = json.NewEncoder(w).Encode(has)
}

func text(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s)
	return s
}

func (n *node) lifetime(body map[string]json.RawMessage) time.Duration {
	d, err := time.ParseDuration(text(body["expiration"]))
	if err != nil || d <= 0 {
		n.t.Errorf("a key without an end: %s", body["expiration"])
	}
	return d
}

func (n *node) create(w http.ResponseWriter, r *http.Request, user string, body map[string]json.RawMessage) {
	k := &key{Name: text(body["name"]), Owner: user, Created: time.Now(), Metadata: body["metadata"]}
	_ = json.Unmarshal(body["role_descriptors"], &k.Descriptors)
	if len(k.Descriptors) == 0 {
		n.t.Error("a key with all privileges of the proxy")
	}
	for name, d := range k.Descriptors {
		if len(d) <= len("{}") {
			n.t.Errorf("an empty descriptor: %s", name)
		}
	}
	if r.URL.Query().Get("refresh") != "false" {
		n.t.Error("a key that is made slowly")
	}
	if slices.Contains(n.lacks, "manage_own_api_key") {
		fail(w, http.StatusForbidden, "security_exception", "action [cluster:admin/xpack/security/api_key/create] is unauthorized")
		return
	}
	k.readStore()
	k.Expires = k.Created.Add(n.lifetime(body))
	k.Lacks = n.lacks
	n.serial++
	k.ID, k.Secret = fmt.Sprintf("key-%d", n.serial), fmt.Sprintf("secret-%d", n.serial)
	n.keys[k.ID] = k
	_ = json.NewEncoder(w).Encode(map[string]any{
		"id": k.ID, "name": k.Name, "expiration": k.Expires.UnixMilli(), "api_key": k.Secret,
		"encoded": base64.StdEncoding.EncodeToString([]byte(k.ID + ":" + k.Secret)),
	})
}

func (k *key) readStore() {
	var metadata map[string]struct{ Store string }
	_ = json.Unmarshal(k.Metadata, &metadata)
	k.Store = metadata["caddy_elasticsearch_jwt"].Store
}

func (n *node) describe(w http.ResponseWriter, id, user string, body map[string]json.RawMessage) {
	k := n.keys[id]
	if !k.isFound() || k.Owner != user || !k.isGood() {
		fail(w, http.StatusNotFound, "resource_not_found_exception", "no API key owned by requesting user found")
		return
	}
	k.Metadata = body["metadata"]
	k.readStore()
	_, _ = w.Write([]byte(`{"updated":true}`))
}

// isFound reports whether the node's search finds a key.
func (k *key) isFound() bool { return k != nil && time.Since(k.Created) >= time.Second }

func (k *key) isGood() bool { return !k.Invalidated && time.Now().Before(k.Expires) }

func ids(body map[string]json.RawMessage) (list []string) {
	_ = json.Unmarshal(body["ids"], &list)
	return list
}

func (n *node) update(w http.ResponseWriter, user string, body map[string]json.RawMessage) {
	updated, failures := []string{}, map[string]any{}
	for _, id := range ids(body) {
		k := n.keys[id]
		switch {
		case !k.isFound() || k.Owner != user:
			failures[id] = map[string]string{"type": "resource_not_found_exception", "reason": "no API key owned by requesting user found for ID [" + id + "]"}
		case !k.isGood():
			failures[id] = map[string]string{"type": "illegal_argument_exception", "reason": "cannot update [" + id + "]"}
		default:
			if body["expiration"] != nil {
				k.Expires = time.Now().Add(n.lifetime(body))
			}
			k.Lacks = n.lacks
			updated = append(updated, id)
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"updated": updated, "noops": []string{}, "errors": map[string]any{"count": len(failures), "details": failures},
	})
}

func (n *node) get(w http.ResponseWriter, r *http.Request, user string) {
	k := n.keys[r.URL.Query().Get("id")]
	if !k.isFound() || k.Owner != user {
		fail(w, http.StatusNotFound, "resource_not_found_exception", "no such key")
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"api_keys": []any{map[string]any{
		"id": k.ID, "invalidated": k.Invalidated, "expiration": k.Expires.UnixMilli(),
	}}})
}

func (n *node) invalidate(w http.ResponseWriter, user string, body map[string]json.RawMessage) {
	if string(body["owner"]) != "true" {
		fail(w, http.StatusForbidden, "security_exception", "unauthorized")
		return
	}
	invalidated, previously := []string{}, []string{}
	for _, id := range ids(body) {
		k := n.keys[id]
		switch {
		case !k.isFound() || k.Owner != user:
		case k.Invalidated:
			previously = append(previously, id)
		default:
			k.Invalidated = true
			invalidated = append(invalidated, id)
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"invalidated_api_keys": invalidated, "previously_invalidated_api_keys": previously, "error_count": 0,
	})
}

func (n *node) query(w http.ResponseWriter, body map[string]json.RawMessage) {
	if string(body["sort"]) != `[{"creation":{"order":"asc"}}]` { // the node takes no shorter form
		fail(w, http.StatusBadRequest, "x_content_parse_exception", "failed to parse field [sort]")
		return
	}
	var filters []map[string]map[string]json.RawMessage
	var query struct {
		Bool struct {
			Filter []map[string]map[string]json.RawMessage `json:"filter"`
		} `json:"bool"`
	}
	_ = json.Unmarshal(body["query"], &query)
	filters = query.Bool.Filter
	store := ""
	from := int64(0)
	for _, f := range filters {
		if raw, ok := f["term"]["metadata.caddy_elasticsearch_jwt.store"]; ok {
			store = text(raw)
		}
		if raw, ok := f["range"]["creation"]; ok {
			var r struct{ GTE int64 }
			_ = json.Unmarshal(raw, &r)
			from = r.GTE
		}
	}
	size := 0
	_ = json.Unmarshal(body["size"], &size)
	found := []map[string]any{}
	list := make([]*key, 0, len(n.keys))
	for _, k := range n.keys {
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b *key) int { return a.Created.Compare(b.Created) })
	for _, k := range list {
		if k.isFound() && k.isGood() && k.Store == store && k.Created.UnixMilli() >= from && len(found) < size {
			found = append(found, map[string]any{"id": k.ID, "username": k.Owner, "creation": k.Created.UnixMilli()})
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"api_keys": found})
}

// good returns the names of the keys that work.
func (n *node) good() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	names := []string{}
	for _, k := range n.keys {
		if k.isGood() {
			names = append(names, k.Name)
		}
	}
	slices.Sort(names)
	return names
}

// keyOf returns the key that a client sends.
func (n *node) keyOf(authorization string) *key {
	n.mu.Lock()
	defer n.mu.Unlock()
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(authorization, "ApiKey "))
	id, secret, _ := strings.Cut(string(decoded), ":")
	k := n.keys[id]
	if err != nil || k == nil || k.Secret != secret || !k.isGood() {
		return nil
	}
	return k
}

// total returns how often something was asked.
func (n *node) total(what string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[what]
}

func (n *node) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

const (
	creates     = "POST /_security/api_key"
	updates     = "POST /_security/api_key/_bulk_update"
	invalidates = "DELETE /_security/api_key"
)

// answer answers everything in the same way.
func answer(status int, body string) func(*http.Request) (int, string) {
	return func(*http.Request) (int, string) { return status, body }
}
