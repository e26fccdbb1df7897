// Package runas is the kind of credential with which the proxy's own API key runs requests as a user of the cluster.
package runas

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/clusteruser"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/throttle"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

func init() {
	caddy.RegisterModule(new(RunAs))
}

// RunAs sends each request with the proxy's own API key, and names the user that it runs as in the header
// es-security-runas-user. The user must exist in Elasticsearch, in the native or file realm, or in LDAP or Active
// Directory; its roles are those of the moment. It needs no licence beyond Basic.
//
// The key must have run_as for the names of these users, and no other right. A password would let every client set
// another one for its user, and a service account ignores the header: both are errors. When the configuration starts,
// and every five minutes, the cluster is asked what the key may do. While it is more than run_as, or nothing, all clients
// are refused with proxy_refused. Before a node gets its first request, it is asked whether it obeys the header.
type RunAs struct {
	// The addresses of nodes, such as https://es1.example.com:9200. They are asked over the transport of the
	// reverse_proxy. Default: its upstreams.
	Cluster []string `json:"cluster,omitempty"`

	// The API key, as a {file.*} or {env.*} placeholder for one line with `ApiKey`, a blank and what Elasticsearch's
	// answer calls encoded. A change is noticed within ten seconds or so. Required.
	Key string `json:"key,omitempty"`

	// The users of groups. The order decides: a client that is in several of the groups is the user of the first. One that
	// is in none is refused with no_role. Default: none, and each client is the user that has its principal for a name.
	Users []User `json:"users,omitempty"`

	key    *watch.Setting[cluster.User]
	nodes  *cluster.Cluster
	logger *zap.Logger

	warnings throttle.Throttle
	verdict  atomic.Pointer[verdict]
	verdicts atomic.Uint64 // counts the verdicts
}

// User is the user of a group.
type User struct {
	// The group, as the client has it. The case counts. Required.
	Group string `json:"group,omitempty"`

	// The user that clients of the group run as. A reserved one, such as elastic, is an error. Required.
	Name string `json:"user,omitempty"`
}

// The headers of the credential.
const authorization = "Authorization"

var runAsUser = http.CanonicalHeaderKey("es-security-runas-user")

// CaddyModule returns the Caddy module information.
func (*RunAs) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt.credentials.run_as",
		New: func() caddy.Module { return new(RunAs) },
	}
}

// Provision reads the key once, so that `caddy validate` finds what is wrong with it.
func (r *RunAs) Provision(ctx caddy.Context) error {
	if err := r.check(); err != nil {
		return err
	}
	r.logger = ctx.Logger()
	var err error
	r.key, err = clusteruser.Open("key", r.Key, parseKey, r.logger)
	return err
}

// Watched implements [credential.Watcher].
func (r *RunAs) Watched() []watch.Watched { return []watch.Watched{r.key} }

// Nodes implements [credential.Clustered].
func (r *RunAs) Nodes() []string { return r.Cluster }

// SetCluster implements [credential.Clustered].
func (r *RunAs) SetCluster(c *cluster.Cluster) { r.nodes = c }

// Sets implements [credential.Maker].
func (*RunAs) Sets() []string { return []string{authorization, runAsUser} }

// Version implements [credential.Maker]. It is the sum of two counts, neither of which ever falls.
func (r *RunAs) Version() uint64 { return r.key.Version() + r.verdicts.Load() }

// Requires implements [credential.Choosy].
func (r *RunAs) Requires() string {
	if len(r.Users) == 0 {
		return ""
	}
	return "a group"
}

// planned is the detail of a plan.
type planned struct {
	key  cluster.User
	user string
}

// Plan implements [credential.Maker]. It refuses everybody while the key is known to be no good. A cluster that does
// not say what the key may do is no reason to refuse.
func (r *RunAs) Plan(client *credential.Client) (credential.Plan, error) {
	key := r.key.Get()
	if v := r.verdictOn(key); v != nil && v.refusal != nil {
		return credential.Plan{}, v.refusal
	}
	return r.plan(client, key)
}

func (r *RunAs) plan(client *credential.Client, key cluster.User) (credential.Plan, error) {
	user, err := r.userOf(client)
	if err != nil {
		return credential.Plan{}, err
	}
	digest := sha256.Sum256([]byte(key.Authorization()))
	return credential.Plan{Key: fmt.Sprintf("%x %q", digest, user), Detail: planned{key, user}}, nil
}

// userOf returns the user that a client runs as.
func (r *RunAs) userOf(client *credential.Client) (string, error) {
	for _, u := range r.Users {
		if slices.Contains(client.Groups, u.Group) {
			return u.Name, nil
		}
	}
	if len(r.Users) > 0 {
		return "", credential.RefuseGroups(
			"the client has no group for which `credential run_as` has a user: add one, or change its groups",
			client.Groups, r.groups())
	}
	if err := checkName(client.Principal); err != nil {
		return "", credential.Refuse(credential.InvalidName, err, "Elasticsearch can run a request as no user "+
			"of the client's name, or must not: choose another principal, or write a line `user <group> <user>` for its group")
	}
	return client.Principal, nil
}

// groups returns the groups that have a user.
func (r *RunAs) groups() (groups []string) {
	for _, u := range r.Users {
		groups = append(groups, u.Group)
	}
	return groups
}

// Make implements [credential.Maker]. It asks nobody.
func (*RunAs) Make(
	_ context.Context, client *credential.Client, plan credential.Plan, _ *credential.Credential,
) (*credential.Credential, error) {
	p, ok := plan.Detail.(planned)
	if !ok {
		return nil, fmt.Errorf("the plan is of another kind: %T", plan.Detail)
	}
	return &credential.Credential{
		Authorization: p.key.Authorization(),
		Headers:       []credential.Header{{Name: runAsUser, Value: p.user}},
		ID:            "run_as:" + p.user,
		Until:         client.NotAfter,
		RenewAt:       client.NotAfter,
	}, nil
}

// Explain implements [credential.Maker].
func (r *RunAs) Explain(client *credential.Client) (credential.Explanation, error) {
	key := r.key.Get()
	plan, err := r.plan(client, key)
	if err != nil {
		return credential.Explanation{}, err
	}
	p, ok := plan.Detail.(planned)
	if !ok {
		return credential.Explanation{}, errors.New("there is no plan")
	}
	e := credential.Explanation{
		Kind:  "run_as",
		Sends: []string{authorization + ": ApiKey …", runAsUser + ": " + p.user},
		Needs: []string{
			fmt.Sprintf("a user %q, which is enabled, in the native, file, LDAP or Active Directory realm", p.user),
			fmt.Sprintf("the API key with the ID %q: its role_descriptors have run_as for %q, and nothing else",
				key.Name(), p.user),
		},
	}
	e.Missing = []string{credential.NotAsked}
	if v := r.verdictOn(key); v != nil {
		e.Missing = slices.Clone(v.missing)
		if v.endsSoon(time.Now()) {
			e.Missing = append(e.Missing, "an API key that lasts: this one ends at "+v.grants.end().Format(time.RFC3339))
		}
		if v.grants != nil && !v.grants.mayRunAs(p.user) && !slices.Contains(e.Missing, lacksPattern(p.user)) {
			e.Missing = append(e.Missing, lacksPattern(p.user))
		}
	}
	return e, nil
}

// Interface guards
var (
	_ credential.Maker     = (*RunAs)(nil)
	_ credential.Choosy    = (*RunAs)(nil)
	_ credential.Clustered = (*RunAs)(nil)
	_ credential.Watcher   = (*RunAs)(nil)
	_ credential.Runner    = (*RunAs)(nil)
	_ credential.Prover    = (*RunAs)(nil)
	_ caddy.Provisioner    = (*RunAs)(nil)
)
