package static

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// check checks the settings.
func (s *Static) check() error {
	switch {
	case s.File == "" && len(s.Groups) == 0:
		return errors.New("no credential: add a line `file <file>`, or a line `group <group> <placeholder>` for each group")
	case s.File != "" && len(s.Groups) > 0:
		return setting.In("file", errors.New("there are groups beside the file, and the order of all groups decides: "+
			"write them into the file, or all of them as groups"))
	}
	seen := make(map[string]bool)
	for _, g := range s.Groups {
		if err := g.check(); err != nil {
			return setting.In("group "+g.Name, err)
		}
		if seen[g.Name] {
			return setting.In("group "+g.Name, errors.New("it is there twice: keep one of them"))
		}
		seen[g.Name] = true
	}
	return nil
}

func (g *Group) check() error {
	if err := checkGroup(g.Name); err != nil {
		return err
	}
	return setting.CheckSecret(g.Credential)
}

// UnmarshalCaddyfile sets up the kind from Caddyfile tokens:
//
//	static {
//	    file  <file>
//	    group <group> <placeholder>
//	}
func (s *Static) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the kind's name
	if d.NextArg() {
		return d.Err("static takes its settings in a block: " +
			"write `file <file>` in it, or `group <group> <placeholder>` for each group")
	}
	lines := setting.NewLines(d)
	groups := make(map[string]int) // their lines
	err := setting.ParseBlock(d, lines.Record(setting.Parsers{
		"file": func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &s.File) },
		"group": func(d *caddyfile.Dispenser) error {
			var g Group
			if !d.AllArgs(&g.Name, &g.Credential) {
				return d.Err("group takes a group and a placeholder for its credential, " +
					"as in `group analysts {file./run/secrets/analysts}`")
			}
			if err := g.check(); err != nil {
				return d.WrapErr(setting.In("group "+g.Name, err))
			}
			if before, twice := groups[g.Name]; twice {
				return d.WrapErr(setting.In("group "+g.Name, fmt.Errorf("it is in line %d too: keep one of them", before)))
			}
			groups[g.Name] = d.Line()
			s.Groups = append(s.Groups, g)
			return nil
		},
	}), "group")
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return lines.Wrap(err)
	}
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*Static)(nil)
