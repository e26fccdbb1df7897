package setting

import (
	"errors"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Lines remembers where in the Caddyfile a block's settings are, for an error that is
// only found when all of them are known.
type Lines struct {
	block    func(error) error
	settings map[string]func(error) error
}

// NewLines returns the lines of a block that is yet to be parsed.
func NewLines(d *caddyfile.Dispenser) *Lines {
	return &Lines{block: position(d), settings: make(map[string]func(error) error)}
}

// position remembers where in the Caddyfile the dispenser is.
func position(d *caddyfile.Dispenser) func(error) error {
	here := caddyfile.NewDispenser([]caddyfile.Token{d.Token()})
	here.Next()
	return here.WrapErr
}

// Of makes the settings of a block known as they are parsed. Of `claim` and `header`, each has
// a place of its own.
func (l *Lines) Of(settings map[string]func(*caddyfile.Dispenser) error) map[string]func(*caddyfile.Dispenser) error {
	for name, parse := range settings {
		settings[name] = func(d *caddyfile.Dispenser) error {
			at := position(d)
			l.settings[name] = at
			if d.NextArg() {
				one := strings.TrimSuffix(strings.TrimPrefix(name, "required_"), "_list")
				l.settings[one+" "+d.Val()] = at
				l.settings[one+" "+http.CanonicalHeaderKey(d.Val())] = at
				d.Prev()
			}
			return parse(d)
		}
	}
	return settings
}

// Wrap adds the line to an error: that of the setting, or that of the block.
func (l *Lines) Wrap(err error) error {
	if setting, ok := errors.AsType[*Error](err); ok {
		if at, ok := l.settings[setting.Setting]; ok {
			return at(err)
		}
	}
	return l.block(err)
}
