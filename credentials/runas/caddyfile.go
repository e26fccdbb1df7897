package runas

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/clusteruser"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// check checks the settings.
func (r *RunAs) check() error {
	if err := clusteruser.CheckAddresses(r.Cluster); err != nil {
		return err
	}
	if err := setting.CheckSecret(r.Key); err != nil {
		return setting.In("key", err)
	}
	seen := make(map[string]bool)
	for _, u := range r.Users {
		if err := u.check(); err != nil {
			return setting.In("user "+u.Group, err)
		}
		if seen[u.Group] {
			return setting.In("user "+u.Group, errors.New("the group is there twice, and has one user: keep one of them"))
		}
		seen[u.Group] = true
	}
	return nil
}

func (u *User) check() error {
	if u.Group == "" {
		return errors.New("the group has no name")
	}
	if err := checkName(u.Name); err != nil {
		return fmt.Errorf("the user %q: %w", u.Name, err)
	}
	return nil
}

// UnmarshalCaddyfile sets up the kind from Caddyfile tokens:
//
//	run_as {
//	    cluster <addresses...>
//	    key     <placeholder>
//	    user    <group> <user>
//	}
func (r *RunAs) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the kind's name
	if d.NextArg() {
		return d.Errf("run_as takes no %s: write its settings in a block", setting.Quoted(d.Val()))
	}
	lines := setting.NewLines(d)
	groups := make(map[string]int) // their lines
	err := setting.ParseBlock(d, lines.Record(setting.Parsers{
		"cluster": func(d *caddyfile.Dispenser) error { return setting.ParseStrings(d, &r.Cluster) },
		"key":     func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &r.Key) },
		"user": func(d *caddyfile.Dispenser) error {
			var u User
			if !d.AllArgs(&u.Group, &u.Name) {
				return d.Err("user takes a group and the user that its clients run as, as in `user analysts edge-analysts`")
			}
			if before, twice := groups[u.Group]; twice {
				return d.WrapErr(setting.In("user "+u.Group,
					fmt.Errorf("the group is in line %d too, and has one user: keep one of them", before)))
			}
			groups[u.Group] = d.Line()
			r.Users = append(r.Users, u)
			return nil
		},
	}), "cluster", "user")
	if err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return lines.Wrap(err)
	}
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*RunAs)(nil)
