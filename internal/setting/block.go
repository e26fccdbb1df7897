// Package setting helps all modules with their settings. It parses blocks of a Caddyfile, resolves placeholders,
// reads secrets, makes errors that name the setting, and hides secrets in errors and log lines.
package setting

import (
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Parsers has the parser of each setting of a block, by the setting's name. A parser starts at the name, and reads
// the values.
type Parsers map[string]func(*caddyfile.Dispenser) error

// ParseBlock parses a block of settings. Only those in repeatable can be there more than once.
func ParseBlock(d *caddyfile.Dispenser, settings Parsers, repeatable ...string) error {
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		parse, ok := settings[name]
		if !ok {
			names := slices.Sorted(maps.Keys(settings))
			known := strings.Join(names, ", ")
			if meant := Nearest(name, names); meant != "" {
				return d.Errf("unknown setting %q: did you mean %s? Otherwise use one of %s", name, meant, known)
			}
			return d.Errf("unknown setting %q: use one of %s", name, known)
		}
		if seen[name] && !slices.Contains(repeatable, name) {
			return d.Errf("%s is there twice: keep one of them", name)
		}
		seen[name] = true
		if err := parse(d); err != nil {
			return err
		}
	}
	return nil
}
