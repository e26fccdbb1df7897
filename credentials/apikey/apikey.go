// Package apikey is the kind of credential that works with every licence of Elasticsearch: an API key for each
// identity, which the proxy makes as a user of its own.
package apikey

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/clusteruser"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/throttle"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

func init() {
	caddy.RegisterModule(new(APIKey))
}

const (
	defaultLifetime = 4 * time.Hour
	minLifetime     = 10 * time.Minute / timing.TimeScale
	maxLifetime     = 30 * 24 * time.Hour
)

// APIKey sends an API key that the proxy has made for the client, and for those alone that have the same name and
// groups. It needs no licence: the cluster can be on Basic.
//
// The key is named after the principal, and has the privileges of the roles that the settings give to the client's
// groups, as far as the proxy's own user has them too. It never lives longer than the certificate. It is renewed at
// half its life, and deleted when its client is not let in any more. The keys are in Caddy's storage, sealed with the
// password of the proxy's user, so that replicas and restarts share them.
//
// A client that has none of the groups is refused with no_role. One with a name that no API key can have is refused
// with invalid_name: it has more than 256 characters, begins with `_`, begins or ends with a blank, or is not
// printable.
type APIKey struct {
	// The addresses of nodes that are asked to make keys, such as https://es1.example.com:9200. They are asked over the
	// transport of the reverse_proxy. Default: its upstreams.
	Cluster []string `json:"cluster,omitempty"`

	// The proxy's user as `user:password`, as a {file.*} or {env.*} placeholder. It needs the cluster privilege
	// manage_own_api_key, and all privileges of all the roles: a key can do nothing that its maker cannot. An API key
	// is refused, because it cannot make others that can do something. A change is noticed within ten seconds or so.
	// Required.
	User string `json:"user,omitempty"`

	// The roles of the groups. At least one is required.
	Roles []Role `json:"roles,omitempty"`

	// How long a key lives: 10m to 30d. It is renewed at half of that, so that clients go on for as long while the
	// cluster makes none. What somebody has changed in the roles of the proxy's user counts after that, too. Default:
	// 4h.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`

	logger  *zap.Logger
	storage certmagic.Storage
	replica func() string // returns the name of this Caddy, in the metadata of keys

	user  *watch.Setting[cluster.User]
	roles []openedRole // in the order of their groups

	cluster  atomic.Pointer[cluster.Cluster]
	missing  atomic.Pointer[[]string] // what the checks have found
	outdated atomic.Bool              // the user's privileges are others than when the keys were made
	denied   atomic.Pointer[credential.Denied]
	stores   stores
	renewals renewals
	suspects suspects
	spared   spared
	warnings throttle.Throttle
	cleaners chan struct{} // bounds what Drop does in the background
}

// Role gives the members of a group the privileges of a role.
type Role struct {
	// The group, as the client has it. The case counts. Required.
	Group string `json:"group,omitempty"`

	// The file with the role descriptor, in JSON as Elasticsearch has it:
	//
	//	{"indices": [{"names": ["logs-*"], "privileges": ["read", "view_index_metadata"]}]}
	//
	// It can have run_as for nobody. A change is noticed within ten seconds or so, and clients get new keys. While the
	// file cannot be read, or is wrong, what was read before is used. Global placeholders such as
	// {env.CREDENTIALS_DIRECTORY} are replaced. Required.
	File string `json:"file,omitempty"`
}

// openedRole is the role of a group as its file has it.
type openedRole struct {
	group string
	file  *watch.Setting[descriptor]
}

// CaddyModule returns the Caddy module information.
func (*APIKey) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt.credentials.api_key",
		New: func() caddy.Module { return new(APIKey) },
	}
}

// Provision reads the files once, so that `caddy validate` finds what is wrong with them. It stores nothing.
func (a *APIKey) Provision(ctx caddy.Context) error {
	if a.Lifetime == 0 {
		a.Lifetime = caddy.Duration(defaultLifetime)
	}
	if err := a.check(); err != nil {
		return err
	}
	a.logger, a.storage = ctx.Logger(), ctx.Storage()
	a.replica = sync.OnceValue(replicaName) // not now: Caddy writes its ID into a file when it is first asked for
	a.cleaners = make(chan struct{}, maxCleaners)
	var err error
	if a.user, err = clusteruser.Open("user", a.User, parseUser, a.logger); err != nil {
		return err
	}
	for _, r := range a.Roles {
		if err := a.openRole(r); err != nil {
			return setting.In("role "+r.Group, err)
		}
	}
	slices.SortFunc(a.roles, func(x, y openedRole) int { return strings.Compare(x.group, y.group) })
	return nil
}

func (a *APIKey) openRole(r Role) error {
	name, err := setting.FileName(r.File)
	if err != nil {
		return err
	}
	logger := a.logger.With(zap.String("group", r.Group))
	parse := func(content []byte) (descriptor, error) {
		parsed, err := parseDescriptor(content)
		if parsed.restricted && len(a.Roles) > 1 {
			logger.Warn("the role has a restriction, and Elasticsearch makes no API key that has another role beside one: " +
				"a client that is in another of these groups too is refused; take the restriction out, or see that nobody is")
		}
		return parsed, err
	}
	opened, err := watch.OpenFile("credential", name, parse, logger)
	if err != nil {
		return err
	}
	a.roles = append(a.roles, openedRole{r.Group, opened})
	return nil
}

// Watched implements [credential.Watcher].
func (a *APIKey) Watched() []watch.Watched {
	watched := []watch.Watched{a.user}
	for _, r := range a.roles {
		watched = append(watched, r.file)
	}
	return watched
}

// Version implements [credential.Maker]. It is the sum of all versions, none of which ever falls.
func (a *APIKey) Version() uint64 {
	sum := a.user.Version()
	for _, r := range a.roles {
		sum += r.file.Version()
	}
	return sum
}

// Nodes implements [credential.Clustered].
func (a *APIKey) Nodes() []string { return a.Cluster }

// SetCluster implements [credential.Clustered].
func (a *APIKey) SetCluster(c *cluster.Cluster) { a.cluster.Store(c) }

// Sets implements [credential.Maker].
func (*APIKey) Sets() []string { return []string{"Authorization"} }

// Requires implements [credential.Choosy].
func (*APIKey) Requires() string { return "a group" }

// planned is what a key is made from.
type planned struct {
	user  cluster.User
	roles map[string]descriptor // by the group
}

// Plan implements [credential.Maker]. Clients share a key if they have the same name and all the same groups. Those
// groups count too that have no role, because they are in the key's metadata.
func (a *APIKey) Plan(client *credential.Client) (credential.Plan, error) {
	if err := checkName(client.Principal); err != nil {
		return credential.Plan{}, credential.Refuse(credential.InvalidName, err,
			"no API key can have the client's name: use another value of the certificate as principal")
	}
	p := planned{user: a.user.Get(), roles: make(map[string]descriptor)}
	digest := sha256.New()
	for _, r := range a.roles {
		if !slices.Contains(client.Groups, r.group) {
			continue
		}
		d := r.file.Get()
		p.roles[r.group] = d
		fmt.Fprintf(digest, "%q %q ", r.group, d.json)
	}
	if len(p.roles) == 0 {
		return credential.Plan{}, credential.RefuseGroups(
			"the client has no group for which `credential api_key` has a role: add one, or change its groups",
			client.Groups, a.groups())
	}
	groups := credential.SortedGroups(client.Groups)
	key := fmt.Sprintf("%q %q %q %x", p.user.Name(), client.Principal, groups, digest.Sum(nil))
	return credential.Plan{Key: key, Detail: p}, nil
}

// groups returns the groups that have a role.
func (a *APIKey) groups() (groups []string) {
	for _, r := range a.roles {
		groups = append(groups, r.group)
	}
	return groups
}

// checkName checks that an API key can have a name.
func checkName(name string) error {
	const longest = 256 // as Java counts characters
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(utf16.Encode([]rune(name))) > longest:
		return fmt.Errorf("the name has more than %d characters", longest)
	case strings.HasPrefix(name, "_"):
		return errors.New("the name begins with an underscore, which Elasticsearch keeps for itself")
	case strings.TrimSpace(name) != name:
		return errors.New("the name begins or ends with a blank")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }):
		return errors.New("the name has a character in it that cannot be printed")
	}
	return nil
}

// Explain implements [credential.Maker].
func (a *APIKey) Explain(client *credential.Client) (credential.Explanation, error) {
	plan, err := a.Plan(client)
	if err != nil {
		return credential.Explanation{}, err
	}
	explanation := credential.Explanation{Kind: "api_key", Sends: []string{"Authorization: ApiKey …"}}
	p, _ := plan.Detail.(planned)
	groups := make([]string, 0, len(p.roles))
	limited := false
	for _, r := range a.roles {
		if d, ok := p.roles[r.group]; ok {
			groups = append(groups, fmt.Sprintf("%q", r.group))
			limited = limited || d.limited
		}
	}
	explanation.Needs = []string{
		fmt.Sprintf("the user %q of the setting user, with the cluster privilege %s and all privileges of the roles of "+
			"the client's groups: %s", p.user.Name(), managePrivilege, strings.Join(groups, ", ")),
	}
	if limited {
		explanation.Needs = append(explanation.Needs, "a Platinum, Enterprise or trial licence, "+
			"because a role has document or field level security")
	}
	explanation.Missing = []string{credential.NotAsked}
	if missing := a.missing.Load(); missing != nil {
		explanation.Missing = slices.Clone(*missing)
	}
	return explanation, nil
}

// Interface guards
var (
	_ credential.Maker     = (*APIKey)(nil)
	_ credential.Choosy    = (*APIKey)(nil)
	_ credential.Clustered = (*APIKey)(nil)
	_ credential.Dropper   = (*APIKey)(nil)
	_ credential.Runner    = (*APIKey)(nil)
	_ credential.Watcher   = (*APIKey)(nil)
	_ caddy.Provisioner    = (*APIKey)(nil)
)
