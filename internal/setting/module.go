package setting

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalModule is [caddyfile.UnmarshalModule] with an error that says what there is.
func UnmarshalModule(d *caddyfile.Dispenser, namespace, name string) (caddyfile.Unmarshaler, error) {
	if _, err := caddy.GetModule(namespace + "." + name); err != nil {
		return nil, d.Errf("unknown source %q: use one of %s", name, strings.Join(ModuleNames(namespace), ", "))
	}
	return caddyfile.UnmarshalModule(d, namespace+"."+name)
}

// ModuleNames are the names of the modules in a namespace.
func ModuleNames(namespace string) []string {
	var names []string
	for _, module := range caddy.GetModules(namespace) {
		names = append(names, module.ID.Name())
	}
	return names
}
