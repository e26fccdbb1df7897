package esjwt

import (
	"crypto/tls"
	"encoding/json"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"go.uber.org/zap"
)

// This file looks at the server around a handler: at what its sites ask of a client in the TLS
// handshake. That decides nothing for a request, but an operator can be told while the
// configuration is loaded, and not by the first client that is refused.

// site is a host of a server, with the settings of its handshake.
type site struct {
	host   string                     // "" for whatever no other site is for
	policy *caddytls.ConnectionPolicy // nil: no TLS
	auth   tls.ClientAuthType         // what it asks clients for
}

// sitesAround returns the sites of the server that a module is being provisioned for, of which it
// belongs to at least one. There are none if it cannot be told what a client of each would meet.
func sitesAround(ctx caddy.Context) []site {
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	var sites []site
	for _, host := range hostsOf(srv) {
		policy, ok := policyFor(srv.TLSConnPolicies, host)
		if !ok {
			return nil
		}
		sites = append(sites, site{host, policy, clientAuth(policy)})
	}
	return sites
}

// hostsOf are the hosts that a server has routes for.
func hostsOf(srv *caddyhttp.Server) []string {
	hosts := make(map[string]bool)
	for i := range srv.Routes {
		matched := false
		for _, set := range srv.Routes[i].MatcherSets {
			for _, matcher := range set {
				if names, ok := matcher.(*caddyhttp.MatchHost); ok {
					matched = true
					for _, name := range *names {
						hosts[name] = true
					}
				}
			}
		}
		if !matched {
			hosts[""] = true
		}
	}
	return slices.Sorted(maps.Keys(hosts))
}

// policyFor returns the policy that Caddy takes for a server name: the first that matches. It is
// not ok if a policy before it asks for something else than the name.
func policyFor(policies caddytls.ConnectionPolicies, host string) (policy *caddytls.ConnectionPolicy, ok bool) {
	for _, policy := range policies {
		var names caddytls.MatchServerName
		for kind, raw := range policy.MatchersRaw {
			if kind != "sni" || json.Unmarshal(raw, &names) != nil {
				return nil, false
			}
		}
		if names == nil || host != "" && names.Match(&tls.ClientHelloInfo{ServerName: host}) {
			return policy, true
		}
	}
	return nil, true
}

// clientAuth is what a policy asks clients for.
func clientAuth(policy *caddytls.ConnectionPolicy) tls.ClientAuthType {
	if policy == nil || policy.ClientAuthentication == nil {
		return tls.NoClientCert
	}
	var config tls.Config
	auth := *policy.ClientAuthentication // a copy: it is for Caddy to provision
	if auth.ConfigureTLSConfig(&config) != nil {
		return tls.NoClientCert // Caddy will refuse the configuration
	}
	return config.ClientAuth
}

func (s site) asks() bool     { return s.auth != tls.NoClientCert }
func (s site) verifies() bool { return s.auth >= tls.VerifyClientCertIfGiven }

// insists reports whether the site lets nobody in who has no certificate.
func (s site) insists() bool {
	return s.auth == tls.RequireAnyClientCert || s.auth == tls.RequireAndVerifyClientCert
}

// trustsTheSystem reports whether the site believes every authority that the system trusts: that is
// what crypto/tls does without authorities. It is only right before Caddy has provisioned the site.
func (s site) trustsTheSystem() bool {
	if !s.verifies() {
		return false
	}
	auth := s.policy.ClientAuthentication
	return auth.CARaw == nil && len(auth.TrustedCACerts) == 0 && len(auth.TrustedCACertPEMFiles) == 0 //nolint:staticcheck // old configurations have them
}

// warnOfSites says what of the sites around the handler would refuse every client, or believe too
// many.
func (h *Handler) warnOfSites(sites []site) {
	own := h.identifier.pool != nil
	switch {
	case len(sites) == 0:
	case !slices.ContainsFunc(sites, site.asks):
		h.logger.Warn("no site of this server asks clients for a certificate, so that nobody can have one: " +
			"write `tls { client_auth { mode verify_if_given; trust_pool file clients-ca.pem } }` into the site, one setting a line")
	case own:
	case !slices.ContainsFunc(sites, site.verifies):
		h.logger.Warn("no site of this server verifies certificates, so that all clients with one will be refused: " +
			"set client_auth { mode verify_if_given } with a trust_pool (the modes request and require verify nothing), or give elasticsearch_jwt a trust_pool of its own")
	default:
		for _, s := range sites {
			if s.trustsTheSystem() {
				h.logger.Warn("client_auth has no trust_pool, so that a certificate of any public authority is a client: "+
					"name the authority of your clients with `trust_pool file clients-ca.pem`", zap.String("site", s.String()))
			}
		}
	}
}

// warnOfSites says that nodes cannot fetch the JWKS as they usually do.
func (j *JWKS) warnOfSites(sites []site, logger *zap.Logger) {
	if len(sites) == 0 || slices.ContainsFunc(sites, func(s site) bool { return !s.insists() }) {
		return
	}
	logger.Warn("every site of this server insists on a client certificate, also of the nodes that fetch the JWKS, which have none: " +
		"set client_auth { mode verify_if_given }, or put elasticsearch_jwks on a site of its own")
}

func (s site) String() string {
	if s.host == "" {
		return "any other host"
	}
	return s.host
}
