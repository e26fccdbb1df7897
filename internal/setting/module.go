package setting

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalModule parses a module's settings, as [caddyfile.UnmarshalModule] does. If there is no such module, its
// error says which ones there are. what is what the modules are, such as "source".
func UnmarshalModule(d *caddyfile.Dispenser, what, namespace, name string) (caddyfile.Unmarshaler, error) {
	if _, err := caddy.GetModule(namespace + "." + name); err != nil {
		known := ModuleNames(namespace)
		if meant := Nearest(name, known); meant != "" {
			return nil, d.Errf("unknown %s %q: did you mean %s? Otherwise use one of %s",
				what, name, meant, strings.Join(known, ", "))
		}
		return nil, d.Errf("unknown %s %q: use one of %s", what, name, strings.Join(known, ", "))
	}
	return caddyfile.UnmarshalModule(d, namespace+"."+name)
}

// ModuleNames returns the names of the modules in a namespace.
func ModuleNames(namespace string) []string {
	var names []string
	for _, module := range caddy.GetModules(namespace) {
		names = append(names, module.ID.Name())
	}
	return names
}

// SetDefault sets a field if it is empty.
func SetDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// AsJSON returns the settings of a module as JSON. Modules with equal settings have equal JSON. A module that cannot be
// written as JSON is only equal to itself.
func AsJSON(module any) string {
	settings, err := json.Marshal(module)
	if err != nil {
		return fmt.Sprintf("%p", module)
	}
	return string(settings)
}

// Identity returns what identifies a module, such as a storage, beside those of other configurations: its type and its
// settings. A module without settings that can be written as JSON is only equal to itself. There can be a password in it.
func Identity(module any) string {
	settings := AsJSON(module)
	if settings == "{}" {
		settings = fmt.Sprintf("%p", module)
	}
	return fmt.Sprintf("%T %s", module, settings)
}
