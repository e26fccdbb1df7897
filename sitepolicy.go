package esjwt

import (
	"crypto/tls"
	"encoding/json"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddytls"
)

// policyIndex finds the connection policy of a server name, as Caddy does in a handshake: the first
// that matches. To ask each policy about each site would cost the square of their number.
type policyIndex struct {
	policies []namedPolicy
	byName   map[string]int // the first policy of a name or wildcard, in lower case
	odd      []int          // those with a name that only Caddy knows how to compare
	unnamed  site           // of the policy for all names, or of none, that comes after these
	unknown  bool           // the policy that comes after these asks for something else than the name
}

// namedPolicy is a policy for some server names.
type namedPolicy struct {
	names caddytls.MatchServerName
	site
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
		settings := site{policy: policy, auth: auth, trustsTheSystem: trustsTheSystem(policy, auth)}
		if names == nil {
			index.unnamed = settings
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

// serverNames are the names that a policy is for; nil if it is for all. It is not ok if it asks for
// something else than the name.
func serverNames(policy *caddytls.ConnectionPolicy) (names caddytls.MatchServerName, ok bool) {
	for kind, raw := range policy.MatchersRaw {
		if kind != "sni" || json.Unmarshal(raw, &names) != nil {
			return nil, false
		}
	}
	return names, true
}

// site returns the site of a host, or the one of whatever has no policy of its own if the host is
// empty. It is not ok if that cannot be told.
func (x *policyIndex) site(host string) (s site, ok bool) {
	at := len(x.policies)
	if host != "" {
		at = x.named(host)
	}
	switch {
	case at < len(x.policies):
		s = x.policies[at].site
	case x.unknown:
		return site{}, false
	default:
		s = x.unnamed
	}
	s.host = host
	return s, true
}

// named returns the place of the first policy that matches a name, or that after the last.
func (x *policyIndex) named(host string) int {
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

// matches asks Caddy.
func (p namedPolicy) matches(host string) bool {
	return p.names.Match(&tls.ClientHelloInfo{ServerName: host})
}

// wildcardsFor are a name and the wildcards that Caddy takes for it: with its first label replaced,
// its first two, and so on.
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

// isPlainName reports whether a name in lower case is compared as it is: it is ASCII, no address in
// brackets, and has no placeholder.
func isPlainName(name string) bool {
	for i := range len(name) {
		if !isHostByte(name[i]) && name[i] != '*' {
			return false
		}
	}
	return name != ""
}
