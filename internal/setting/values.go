package setting

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// ParseString parses a setting with one value.
func ParseString(d *caddyfile.Dispenser, field *string) error {
	name := d.Val()
	if !d.AllArgs(field) {
		return d.Errf("%s takes exactly one value; a {$NAME} whose variable is not set is none", name)
	}
	return nil
}

// ParseFlag parses a setting without a value: it is true if it is there.
func ParseFlag(d *caddyfile.Dispenser, field *bool) error {
	name := d.Val()
	if d.NextArg() {
		return d.Errf("%s takes no value", name)
	}
	*field = true
	return nil
}

// ParseStrings parses a setting with one value or more, and adds them to the field.
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

// ParseSize parses a setting whose value is a size, such as 16KiB. The field gets the number of bytes.
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

// ShortDuration formats a duration without the zeros that [time.Duration.String] adds: 24h, not 24h0m0s.
func ShortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
