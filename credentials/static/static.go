// Package static is the kind of credential that the operator has made: one for each group.
package static

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

func init() {
	caddy.RegisterModule(new(Static))
}

// Static sends a credential that somebody has made for a group of the client, such as an API key. It asks the cluster
// for nothing, and so works where the proxy can make no credentials: on Elasticsearch Serverless, and with the API keys
// of OpenSearch.
//
// The cluster does not know who the client is, but only its group. The header X-Opaque-Id says it: it is in the
// cluster's slow logs, tasks and audit log. A client cannot set it.
//
// Either file or groups is required. The order of the groups there decides: a client that is in several of them gets the
// credential of the first. One that is in none is refused with no_role.
type Static struct {
	// The file with the credentials. Each line is a group and its credential, which is a scheme and a value:
	//
	//	# group   scheme  value
	//	analysts  ApiKey  essu_…
	//	"Acme, Inc." Bearer …
	//
	// A group with a blank in it is in quotes. Empty lines, and those that begin with #, say nothing. Let only Caddy read
	// it. A change is noticed within ten seconds or so, without a reload. While the file cannot be read, or a line of it
	// is wrong, the credentials that were read before are used. Global placeholders such as {env.CREDENTIALS_DIRECTORY}
	// are replaced. Default: none.
	File string `json:"file,omitempty"`

	// The groups, each with a credential of its own. Default: none.
	Groups []Group `json:"groups,omitempty"`

	tables []*watch.Setting[table] // of which each has a part of the groups, in their order
}

// Group is a group with its credential.
type Group struct {
	// The group, as the client has it. The case counts. Required.
	Name string `json:"group,omitempty"`

	// The credential, as a {file.*} or {env.*} placeholder. It is one line with a scheme and a value, such as
	// `ApiKey essu_…`. A change is noticed within ten seconds or so. Required.
	Credential string `json:"credential,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Static) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt.credentials.static",
		New: func() caddy.Module { return new(Static) },
	}
}

// Provision reads the credentials once, so that `caddy validate` finds what is wrong with them.
func (s *Static) Provision(ctx caddy.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	if s.File != "" {
		return s.openFile(ctx.Logger())
	}
	for _, g := range s.Groups {
		if err := s.openGroup(g, ctx.Logger()); err != nil {
			return setting.In("group "+g.Name, err)
		}
	}
	return nil
}

func (s *Static) openFile(logger *zap.Logger) error {
	name, err := setting.FileName(s.File)
	if err != nil {
		return setting.In("file", err)
	}
	parse := func(content []byte) (table, error) {
		parsed, err := parseFile(content)
		if err == nil {
			warn(parsed, name, logger)
		}
		return parsed, err
	}
	opened, err := watch.OpenFile(settingName, name, parse, logger)
	if err != nil {
		return setting.In("file", err)
	}
	s.tables = []*watch.Setting[table]{opened}
	return nil
}

func (s *Static) openGroup(g Group, logger *zap.Logger) error {
	parse := func(content []byte) (table, error) {
		authorization, err := parseOne(content)
		if err != nil {
			return nil, err
		}
		parsed := table{{g.Name, authorization}}
		warn(parsed, setting.SecretFile(g.Credential), logger)
		return parsed, nil
	}
	opened := watch.NewSetting(settingName, setting.SecretSource(g.Credential), parse, logger)
	if err := opened.Read(); err != nil {
		return fmt.Errorf("%s: %w", g.Credential, err)
	}
	s.tables = append(s.tables, opened)
	return nil
}

// settingName is what logs and metrics call a file or a variable with credentials.
const settingName = "credential"

// warn warns of what is allowed, and dangerous. The file's name is "" if there is none.
func warn(read table, file string, logger *zap.Logger) {
	setting.WarnOfFileMode(file, logger)
	for _, e := range read {
		if e.scheme() == schemeBasic {
			logger.Warn("the credential of a group is a user's password: with Elasticsearch, "+
				"every client of the group can set another one for that user, and then go on without this proxy; "+
				"use an API key if the cluster has them", zap.String("group", e.group))
		}
	}
}

// Watched implements [credential.Watcher].
func (s *Static) Watched() []watch.Watched {
	watched := make([]watch.Watched, len(s.tables))
	for i, t := range s.tables {
		watched[i] = t
	}
	return watched
}

// Version implements [credential.Maker]. It is the sum of all versions, none of which ever falls.
func (s *Static) Version() uint64 {
	sum := uint64(0)
	for _, t := range s.tables {
		sum += t.Version()
	}
	return sum
}

// Sets implements [credential.Maker].
func (*Static) Sets() []string { return []string{"Authorization", opaqueID} }

// Requires implements [credential.Choosy].
func (*Static) Requires() string { return "a group" }

// Plan implements [credential.Maker]. The plan of each client is its own, although a group has one credential, so that
// the log says who it was.
func (s *Static) Plan(client *credential.Client) (credential.Plan, error) {
	e, ok := s.of(client.Groups)
	if !ok {
		return credential.Plan{}, credential.RefuseGroups(
			"the client has no group for which `credential static` has a credential: add one, or change its groups",
			client.Groups, s.groups())
	}
	digest := sha256.Sum256([]byte(e.authorization))
	return credential.Plan{Key: fmt.Sprintf("%q %q %x", client.Principal, e.group, digest), Detail: e}, nil
}

// of returns the credential of the first group that is one of these.
func (s *Static) of(groups []string) (entry, bool) {
	for _, t := range s.tables {
		for _, e := range t.Get() {
			if slices.Contains(groups, e.group) {
				return e, true
			}
		}
	}
	return entry{}, false
}

// groups returns the groups that have a credential.
func (s *Static) groups() (groups []string) {
	for _, t := range s.tables {
		for _, e := range t.Get() {
			groups = append(groups, e.group)
		}
	}
	return groups
}

// Make implements [credential.Maker].
func (s *Static) Make(
	_ context.Context, client *credential.Client, plan credential.Plan, _ *credential.Credential,
) (*credential.Credential, error) {
	e, ok := plan.Detail.(entry)
	if !ok {
		return nil, fmt.Errorf("the plan is of another kind: %T", plan.Detail)
	}
	return &credential.Credential{
		Authorization: e.authorization,
		Headers:       []credential.Header{{Name: opaqueID, Value: opaqueIDOf(client.Principal)}},
		ID:            "static:" + e.group,
		Until:         client.NotAfter,
		RenewAt:       client.NotAfter,
	}, nil
}

// Explain implements [credential.Maker].
func (s *Static) Explain(client *credential.Client) (credential.Explanation, error) {
	e, ok := s.of(client.Groups)
	if !ok {
		_, err := s.Plan(client)
		return credential.Explanation{}, err
	}
	return credential.Explanation{
		Kind: "static",
		Sends: []string{
			"Authorization: " + e.shownScheme() + "…",
			opaqueID + ": " + opaqueIDOf(client.Principal),
		},
		Needs: []string{
			fmt.Sprintf("the API key or the user of this credential, with the rights that each client of the group %q may have",
				e.group),
		},
	}, nil
}

// Interface guards
var (
	_ credential.Maker   = (*Static)(nil)
	_ credential.Choosy  = (*Static)(nil)
	_ credential.Watcher = (*Static)(nil)
	_ caddy.Provisioner  = (*Static)(nil)
)
