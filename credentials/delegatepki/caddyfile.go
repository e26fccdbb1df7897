package delegatepki

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// UnmarshalCaddyfile sets up the kind from Caddyfile tokens:
//
//	delegate_pki {
//	    cluster <addresses...>
//	    user    <placeholder>
//	}
func (p *DelegatePKI) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the kind's name
	if d.NextArg() {
		return d.Errf("delegate_pki takes no %q: write its settings in a block", d.Val())
	}
	lines := setting.NewLines(d)
	err := setting.ParseBlock(d, lines.Record(setting.Parsers{
		"cluster": func(d *caddyfile.Dispenser) error { return setting.ParseStrings(d, &p.Cluster) },
		"user":    func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &p.User) },
	}), "cluster")
	if err != nil {
		return err
	}
	if err := p.checkSettings(); err != nil {
		return lines.Wrap(err)
	}
	return nil
}
