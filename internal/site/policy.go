package site

import (
	"crypto/tls"
	"encoding/json"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddytls"
)

// policyIndex finds the connection policy for a server name, as Caddy does in a handshake: the first one
// that matches. (With a thousand sites, asking every policy about every site would take a million comparisons.)
type policyIndex struct {
	policies []namedPolicy
	byName   map[string]int // the first policy for a name or wildcard, in lower case
	odd      []int          // policies with a name that is not plain (see isPlainName)

	// What comes after these policies: either a policy for every name, or none, which is the zero Site; or, if
	// unknown is set, a policy with other matchers, of which nobody can tell before the handshake whether it
	// matches.
	fallback Site
	unknown  bool
}

// namedPolicy is a policy for some server names.
type namedPolicy struct {
	names caddytls.MatchServerName
	Site
}

// indexPolicies reads the policies of a server, before Caddy provisions them.
func indexPolicies(policies caddytls.ConnectionPolicies) *policyIndex {
	index := &policyIndex{byName: make(map[string]int)}
	for _, policy := range policies {
		names, ok := serverNames(policy)
		if !ok {
			index.unknown = true
			return index
		}
		auth := clientAuth(policy)
		settings := Site{policy: policy, auth: auth, trustsTheSystem: trustsTheSystem(policy, auth)}
		if names == nil {
			index.fallback = settings
			return index
		}
		index.add(namedPolicy{names, settings})
	}
	return index
}

func (x *policyIndex) add(policy namedPolicy) {
	at := len(x.policies)
	x.policies = append(x.policies, policy)
	for _, name := range policy.names {
		name = strings.ToLower(name)
		if !isPlainName(name) {
			x.odd = append(x.odd, at)
		} else if _, ok := x.byName[name]; !ok {
			x.byName[name] = at
		}
	}
}

// serverNames returns the names that a policy matches; nil if it matches all. ok is false if it has another
// matcher than one for names.
func serverNames(policy *caddytls.ConnectionPolicy) (names caddytls.MatchServerName, ok bool) {
	for kind, raw := range policy.MatchersRaw {
		if kind != "sni" || json.Unmarshal(raw, &names) != nil {
			return nil, false
		}
	}
	return names, true
}

// clientAuth returns what a policy asks clients for.
func clientAuth(policy *caddytls.ConnectionPolicy) tls.ClientAuthType {
	if policy == nil || policy.ClientAuthentication == nil {
		return tls.NoClientCert
	}
	var config tls.Config
	auth := *policy.ClientAuthentication // a copy: Caddy is still to provision the original
	if auth.ConfigureTLSConfig(&config) != nil {
		return tls.NoClientCert // Caddy will refuse the configuration
	}
	return config.ClientAuth
}

// trustsTheSystem reports whether a policy trusts every authority that the system trusts, which is what
// crypto/tls does if it is given no authorities. It is only right before Caddy has provisioned the policy.
func trustsTheSystem(policy *caddytls.ConnectionPolicy, auth tls.ClientAuthType) bool {
	if auth < tls.VerifyClientCertIfGiven {
		return false
	}
	from := policy.ClientAuthentication
	//nolint:staticcheck // old configurations have them
	if len(from.TrustedCACerts) > 0 || len(from.TrustedCACertPEMFiles) > 0 {
		return false
	}
	return from.CARaw == nil
}

// maxName is how long the name of a host can be (RFC 1035 section 2.3.4), with a dot at its end.
const maxName = 254

// site returns the site of a host. An empty host stands for every host that no named policy matches. ok is
// false if the policy cannot be told, or if no host can have the name. In a handshake a client can name one of 64 KiB,
// and there are as many wildcards for it as it has labels.
func (x *policyIndex) site(host string) (s Site, ok bool) {
	if len(host) > maxName {
		return Site{}, false
	}
	at := len(x.policies)
	if host != "" {
		at = x.firstMatch(host)
	}
	switch {
	case at < len(x.policies):
		s = x.policies[at].Site
	case x.unknown:
		return Site{}, false
	default:
		s = x.fallback
	}
	s.host = host
	return s, true
}

// firstMatch returns the index of the first named policy that matches a host, or the number of named
// policies if none does.
func (x *policyIndex) firstMatch(host string) int {
	first := len(x.policies)
	lower := strings.ToLower(host)
	if !isPlainName(lower) {
		for at := range x.policies {
			if x.policies[at].matches(host) {
				return at
			}
		}
		return first
	}
	for _, name := range wildcardsFor(lower) {
		if at, ok := x.byName[name]; ok {
			first = min(first, at)
		}
	}
	for _, at := range x.odd {
		if at < first && x.policies[at].matches(host) {
			first = at
		}
	}
	return first
}

// matches asks Caddy whether the policy matches a host.
func (p namedPolicy) matches(host string) bool {
	return p.names.Match(&tls.ClientHelloInfo{ServerName: host})
}

// wildcardsFor returns a name and the wildcards that Caddy accepts for it. A wildcard has an asterisk for the first
// label, for the first two labels, and so on: for a.b.c they are *.b.c, *.*.c and *.*.*.
func wildcardsFor(name string) []string {
	names := []string{name}
	labels := strings.Split(name, ".")
	for i := range labels {
		if labels[i] != "" {
			labels[i] = "*"
			names = append(names, strings.Join(labels, "."))
		}
	}
	return names
}

// isPlainName reports whether Caddy compares a name in lower case byte by byte. Such a name has only letters and
// digits of ASCII, hyphens, dots, underscores and asterisks. Caddy must compare others, such as {env.HOST}, [::1]
// and bücher.example.
func isPlainName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '*':
		default:
			return false
		}
	}
	return name != ""
}
