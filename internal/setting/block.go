// Package setting is for the settings of all modules: blocks of a Caddyfile, errors that know their setting,
// placeholders, secrets, and what an error or a log line may show of them.
package setting

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// ParseBlock parses a block of settings. Those in repeatable can be there more than once.
func ParseBlock(d *caddyfile.Dispenser, settings map[string]func(*caddyfile.Dispenser) error, repeatable ...string) error {
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		parse, ok := settings[name]
		if !ok {
			known := slices.Sorted(maps.Keys(settings))
			if meant := Nearest(name, known); meant != "" {
				return d.Errf("unknown setting %q: did you mean %s? Otherwise use one of %s", name, meant, strings.Join(known, ", "))
			}
			return d.Errf("unknown setting %q: use one of %s", name, strings.Join(known, ", "))
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

// ParseString parses a setting with one value.
func ParseString(d *caddyfile.Dispenser, field *string) error {
	name := d.Val()
	if !d.AllArgs(field) {
		return d.Errf("%s takes exactly one value", name)
	}
	return nil
}

// ParseFlag parses a setting that says all by being there.
func ParseFlag(d *caddyfile.Dispenser, field *bool) error {
	name := d.Val()
	if d.NextArg() {
		return d.Errf("%s takes no value", name)
	}
	*field = true
	return nil
}

// ParseStrings parses a setting with one value or more, which are added to those that are there.
func ParseStrings(d *caddyfile.Dispenser, field *[]string) error {
	name := d.Val()
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Errf("%s takes at least one value", name)
	}
	*field = append(*field, args...)
	return nil
}

// ParseInt parses a setting whose value is a whole number.
func ParseInt(d *caddyfile.Dispenser, field *int) error {
	name := d.Val()
	var s string
	if err := ParseString(d, &s); err != nil {
		return err
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return d.Errf("%s %q: it must be a whole number", name, s)
	}
	*field = n
	return nil
}

// ParseSize parses a setting whose value is a size in bytes, such as 16KiB.
func ParseSize(d *caddyfile.Dispenser, field *int) error {
	name := d.Val()
	var s string
	if err := ParseString(d, &s); err != nil {
		return err
	}
	size, err := humanize.ParseBytes(s)
	if err != nil || size > math.MaxInt32 {
		return d.Errf("%s %q: write a size such as 16KiB", name, s)
	}
	*field = int(size)
	return nil
}

// ParseDuration parses a setting whose value is a duration longer than zero, such as 10m or 30d.
func ParseDuration(d *caddyfile.Dispenser, field *caddy.Duration) error {
	name := d.Val()
	var s string
	if err := ParseString(d, &s); err != nil {
		return err
	}
	duration, err := caddy.ParseDuration(s)
	if err != nil {
		return d.WrapErr(fmt.Errorf("%s %q: write a duration such as 10m or 30d: %w", name, s, err))
	}
	if duration <= 0 {
		return d.Errf("%s %q: it must be longer than nothing", name, s)
	}
	*field = caddy.Duration(duration)
	return nil
}
