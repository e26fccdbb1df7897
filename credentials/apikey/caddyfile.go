package apikey

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/clusteruser"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// check checks the settings. A lifetime that is not set has a default.
func (a *APIKey) check() error {
	if err := setting.CheckSecret(a.User); err != nil {
		return setting.In("user", err)
	}
	if err := clusteruser.CheckAddresses(a.Cluster); err != nil {
		return err
	}
	if l := time.Duration(a.Lifetime); l != 0 && (l < minLifetime || l > maxLifetime) {
		return setting.In("lifetime", fmt.Errorf("%s: write a duration from %s to 30d",
			setting.ShortDuration(l), setting.ShortDuration(minLifetime)))
	}
	if len(a.Roles) == 0 {
		return errors.New("no client could have a key: add a line `role <group> <file>` for each group")
	}
	seen := make(map[string]bool)
	for _, r := range a.Roles {
		if err := r.check(); err != nil {
			return setting.In("role "+r.Group, err)
		}
		if seen[r.Group] {
			return setting.In("role "+r.Group, errors.New("it is there twice: keep one of them, "+
				"and write all privileges into one file"))
		}
		seen[r.Group] = true
	}
	return nil
}

func (r *Role) check() error {
	switch {
	case r.Group == "":
		return errors.New("the group has no name")
	case r.File == "":
		return errors.New("the file with the role descriptor is missing")
	}
	return nil
}

// parseUser parses the content of the setting user.
func parseUser(content []byte) (cluster.User, error) {
	user, err := cluster.ParseUser(content)
	switch {
	case errors.Is(err, cluster.ErrNoColon):
		return cluster.User{}, errors.New("it has no colon: write `user:password`")
	case err != nil && !errors.Is(err, cluster.ErrNotEncoded):
		return cluster.User{}, err
	case err != nil || user.Scheme() == cluster.APIKey:
		return cluster.User{}, errors.New("it is an API key, which cannot make others that can do something: " +
			"make a user for the proxy, and write `user:password`")
	}
	return user, nil
}

// replicaName returns what this Caddy is called in the metadata of its keys.
func replicaName() string {
	name, err := os.Hostname()
	if id, idErr := caddy.InstanceID(); idErr == nil {
		return strings.TrimSpace(name + " " + id.String())
	}
	if err != nil {
		return "unknown"
	}
	return name
}

// UnmarshalCaddyfile sets up the kind from Caddyfile tokens:
//
//	api_key {
//	    cluster  <addresses...>
//	    user     <placeholder>
//	    role     <group> <file>
//	    lifetime <duration>
//	}
func (a *APIKey) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the kind's name
	if d.NextArg() {
		return d.Err("api_key takes its settings in a block: write `user <placeholder>` in it, and `role <group> <file>`")
	}
	lines := setting.NewLines(d)
	groups := make(map[string]int) // their lines
	err := setting.ParseBlock(d, lines.Record(setting.Parsers{
		"cluster":  func(d *caddyfile.Dispenser) error { return setting.ParseStrings(d, &a.Cluster) },
		"lifetime": func(d *caddyfile.Dispenser) error { return setting.ParseDuration(d, &a.Lifetime) },
		"user": func(d *caddyfile.Dispenser) error {
			if err := setting.ParseString(d, &a.User); err != nil {
				return err
			}
			if err := setting.CheckSecret(a.User); err != nil {
				return d.WrapErr(setting.In("user", err))
			}
			return nil
		},
		"role": func(d *caddyfile.Dispenser) error {
			var r Role
			if !d.AllArgs(&r.Group, &r.File) {
				return d.Err("role takes a group and the file with its role descriptor, " +
					"as in `role analysts roles/analysts.json`")
			}
			if before, twice := groups[r.Group]; twice {
				return d.WrapErr(setting.In("role "+r.Group, fmt.Errorf("it is in line %d too: keep one of them, "+
					"and write all privileges into one file", before)))
			}
			groups[r.Group] = d.Line()
			a.Roles = append(a.Roles, r)
			return nil
		},
	}), "cluster", "role")
	if err != nil {
		return err
	}
	if err := a.check(); err != nil {
		return lines.Wrap(err)
	}
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*APIKey)(nil)
