package apikey

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/net/http/httpguts"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
)

// metadataName is the member of a key's metadata that says where it comes from.
const metadataName = "caddy_elasticsearch_jwt"

// metadata is in each key.
type metadata struct {
	Principal   string   `json:"principal"`
	Groups      []string `json:"groups"`
	Fingerprint string   `json:"certificate_sha256"`
	Replica     string   `json:"replica"`
	Store       string   `json:"store"`
}

// api is Elasticsearch's API for keys, as the proxy's user has it.
type api struct {
	cluster *cluster.Cluster
	user    cluster.User
}

// apiOf returns the API for a user.
func (a *APIKey) apiOf(user cluster.User) (*api, error) {
	c := a.cluster.Load()
	if c == nil {
		return nil, unreachable(errNoCluster)
	}
	return &api{c, user}, nil
}

// ask asks the cluster. Its error is a Refusal.
func (a *api) ask(ctx context.Context, method, path string, body, into any) error {
	answer, err := a.cluster.Ask(ctx, cluster.Question{
		Method: method, Path: path, Header: a.user.Header(), Body: body,
	})
	if err != nil {
		return unreachable(err)
	}
	if !answer.OK() {
		return refusal(answer)
	}
	if err := answer.Decode(into); err != nil {
		return unreachable(err)
	}
	return nil
}

// made is the answer to a key that was made.
type made struct {
	ID      string `json:"id"`
	Secret  string `json:"api_key"`
	Encoded string `json:"encoded"`
}

// create makes a key that lives for some seconds.
func (a *api) create(
	ctx context.Context, name string, seconds int64, roles map[string]descriptor, about metadata,
) (*made, error) {
	descriptors := make(map[string]json.RawMessage, len(roles))
	for group, d := range roles {
		if len(d.json) <= len(`{}`) {
			return nil, errNothing
		}
		descriptors[group] = d.json
	}
	switch {
	case len(descriptors) == 0: // which would mean all privileges of the proxy
		return nil, errNothing
	case seconds <= 0:
		return nil, errEnded
	}
	var m made
	err := a.ask(ctx, http.MethodPost, "/_security/api_key?refresh=false", map[string]any{
		"name":             name,
		"expiration":       expiration(seconds),
		"role_descriptors": descriptors,
		"metadata":         map[string]any{metadataName: about},
	}, &m)
	if err != nil {
		return nil, err
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(m.ID + ":" + m.Secret))
	if m.ID == "" || m.Secret == "" || m.Encoded != encoded || !httpguts.ValidHeaderFieldValue(m.ID) {
		return nil, unreachable(errors.New("a node has answered with something else than an API key"))
	}
	return &m, nil
}

var errEnded = errors.New("the certificate has ended")

func expiration(seconds int64) string { return fmt.Sprintf("%ds", seconds) }

// aboutKey returns the metadata of a client's key.
func (a *APIKey) aboutKey(client *credential.Client, store string) metadata {
	fingerprint := client.Fingerprint()
	return metadata{
		Principal: client.Principal, Groups: credential.SortedGroups(client.Groups),
		Fingerprint: hex.EncodeToString(fingerprint[:]), Replica: a.replica(), Store: store,
	}
}

// describe replaces the metadata of a key. The cluster does not find one for about a second after it was made.
func (a *api) describe(ctx context.Context, id string, about metadata) error {
	var answer struct{}
	return a.ask(ctx, http.MethodPut, "/_security/api_key/"+url.PathEscape(id),
		map[string]any{"metadata": map[string]any{metadataName: about}}, &answer)
}

// outcome is what became of keys that the cluster was asked to renew, but for those that it has renewed, by their IDs.
type outcome struct {
	lost   map[string]error // the cluster does not know them any more, or they have ended
	failed map[string]error // they are as they were, and can be renewed later
}

// errConflict says that somebody else has written a key at the same time, such as a replica that renews it.
var errConflict = errors.New("it is being renewed by somebody else")

// renew sets when keys expire. The cluster answers 200 whatever becomes of them.
func (a *api) renew(ctx context.Context, ids []string, seconds int64) (outcome, error) {
	var answer struct {
		Updated []string `json:"updated"`
		Noops   []string `json:"noops"`
		Errors  struct {
			Details map[string]renewalError `json:"details"`
		} `json:"errors"`
	}
	err := a.ask(ctx, http.MethodPost, "/_security/api_key/_bulk_update",
		map[string]any{"ids": ids, "expiration": expiration(seconds)}, &answer)
	if err != nil {
		return outcome{}, err
	}
	r := outcome{lost: make(map[string]error), failed: make(map[string]error)}
	for _, id := range ids {
		detail := answer.Errors.Details[id]
		switch {
		case slices.Contains(answer.Updated, id) || slices.Contains(answer.Noops, id):
		case detail.isFinal():
			r.lost[id] = fmt.Errorf("it was not renewed: %s: %s", detail.Type, detail.Reason)
		case detail.Cause.Type == "version_conflict_engine_exception":
			r.failed[id] = errConflict
		default:
			why := fmt.Errorf("it was not renewed: %s: %s: %s: %s",
				detail.Type, detail.Reason, detail.Cause.Type, detail.Cause.Reason)
			r.failed[id] = credential.Refuse(credential.Unavailable, why,
				"the cluster cannot renew API keys right now, as if its disks were full: clients that have one go on")
		}
	}
	return r, nil
}

// refresh gives keys the privileges that their maker has now, and nothing else. A key has those that its maker had when it
// was made or renewed.
func (a *api) refresh(ctx context.Context, ids []string) error {
	var answer struct{}
	return a.ask(ctx, http.MethodPost, "/_security/api_key/_bulk_update", map[string]any{"ids": ids}, &answer)
}

// renewalError is why a key was not renewed.
type renewalError struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
	Cause  struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	} `json:"caused_by"`
}

// isFinal reports whether the key is unknown, invalidated or expired. With another error it is what it was: a node with
// a full disk says "bulk request execution failure", because of a cluster_block_exception.
func (e *renewalError) isFinal() bool {
	return e.Type == "resource_not_found_exception" || e.Type == "illegal_argument_exception"
}

// invalidate invalidates keys, and returns those that are not known to be invalid now. That is so for about a second
// after a key was made, while the node answers 200 and does nothing, and for ever if the node has deleted the key.
func (a *api) invalidate(ctx context.Context, ids []string) (left []string, err error) {
	var answer struct {
		Invalidated []string `json:"invalidated_api_keys"`
		Previously  []string `json:"previously_invalidated_api_keys"`
	}
	err = a.ask(ctx, http.MethodDelete, "/_security/api_key", map[string]any{"ids": ids, "owner": true}, &answer)
	if err != nil {
		return ids, err
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return slices.Contains(answer.Invalidated, id) || slices.Contains(answer.Previously, id)
	}), nil
}

// pageSize is how many keys an answer has.
const pageSize = 1000

// listed are the members of an answer that are looked at. The role descriptors would be most of it.
const listed = "filter_path=api_keys.id,api_keys.username,api_keys.creation"

// list returns the IDs of all keys of a store that are good.
func (a *api) list(ctx context.Context, store string) (map[string]bool, error) {
	ids := make(map[string]bool)
	seen := make(map[string]bool) // also those of other users, which could have the same store in their metadata
	for from := int64(0); ; {
		var page struct {
			Keys []struct {
				ID       string `json:"id"`
				Username string `json:"username"`
				Creation int64  `json:"creation"`
			} `json:"api_keys"`
		}
		err := a.ask(ctx, http.MethodPost, "/_security/_query/api_key?"+listed, map[string]any{
			"size": pageSize,
			"sort": []any{map[string]any{"creation": map[string]string{"order": "asc"}}},
			"query": map[string]any{"bool": map[string]any{"filter": []any{
				map[string]any{"term": map[string]any{"metadata." + metadataName + ".store": store}},
				map[string]any{"term": map[string]any{"invalidated": false}},
				map[string]any{"range": map[string]any{"expiration": map[string]any{"gt": "now"}}},
				map[string]any{"range": map[string]any{"creation": map[string]any{"gte": from}}},
			}}},
		}, &page)
		if err != nil {
			return nil, err
		}
		before := len(seen)
		for _, key := range page.Keys {
			seen[key.ID] = true
			if key.Username == a.user.Name() {
				ids[key.ID] = true
			}
			from = max(from, key.Creation)
		}
		if len(page.Keys) < pageSize || len(seen) == before {
			return ids, nil
		}
	}
}
