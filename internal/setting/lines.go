package setting

import (
	"errors"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Lines remembers in which lines of the Caddyfile the settings of a block are. Some errors are only found when the
// whole block is parsed, and they should have a line, too.
type Lines struct {
	block    func(error) error            // adds the line in which the block begins to an error
	settings map[string]func(error) error // adds the line of a setting, by its name as in [Error.Setting]
}

// NewLines returns the lines of a block that is yet to be parsed.
func NewLines(d *caddyfile.Dispenser) *Lines {
	return &Lines{block: position(d), settings: make(map[string]func(error) error)}
}

// position returns a function that adds the dispenser's current file and line to an error.
func position(d *caddyfile.Dispenser) func(error) error {
	here := caddyfile.NewDispenser([]caddyfile.Token{d.Token()})
	here.Next()
	return here.WrapErr
}

// Record makes the parsers of a block record their lines. It changes the map and returns it. A setting with a value
// is recorded under its name, and under its name and first value, because a block can have more than one:
//
//	claim roles admin     is recorded as "claim", and as "claim roles"
//	header X-User alice   is recorded as "header", and as "header X-User"
func (l *Lines) Record(settings Parsers) Parsers {
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

// Wrap adds a line to an error: that of the setting if it is an [Error], or else that of the block.
func (l *Lines) Wrap(err error) error {
	if setting, ok := errors.AsType[*Error](err); ok {
		if at, ok := l.settings[setting.Setting]; ok {
			return at(err)
		}
	}
	return l.block(err)
}
