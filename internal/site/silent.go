package site

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Silent returns those of a server's hosts where no client can have a certificate: the server asks for one at other
// hosts, and not there. If it asks nowhere, [Server.WarnOfHandler] says so. A host with a wildcard or a placeholder is
// left out, because other hosts that it stands for may have a policy of their own.
func Silent(server *caddyhttp.Server, hosts []string) (silent []string) {
	if server.StrictSNIHost != nil && !*server.StrictSNIHost {
		return nil // a client can name another host in the handshake
	}
	policies := indexPolicies(server.TLSConnPolicies)
	if !policies.fallback.Asks() && !slices.ContainsFunc(policies.policies, func(p namedPolicy) bool { return p.Asks() }) {
		return nil
	}
	for _, host := range hosts {
		if host == "" || strings.ContainsAny(host, "*{") {
			continue
		}
		if site, ok := policies.site(host); ok && !site.Asks() {
			silent = append(silent, host)
		}
	}
	return silent
}
