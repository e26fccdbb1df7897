package esjwt

import (
	"crypto/tls"
	"maps"
	"slices"
	"sync"

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
	host            string                     // "" for whatever no other site is for
	policy          *caddytls.ConnectionPolicy // nil: no TLS
	auth            tls.ClientAuthType         // what it asks clients for
	trustsTheSystem bool                       // it believes every authority that the system trusts
}

// serverSites are the sites of a server. All modules in it share them: a server can have hundreds of
// sites, with a handler in each, and a look at all of them from each would take its time.
type serverSites struct {
	server   *caddyhttp.Server
	policies *policyIndex
	sites    []site // none if it cannot be told what a client of each would meet

	mu     sync.Mutex
	warned map[string]bool
}

// sitesAround returns the sites of the server that a module is being provisioned for. There are none
// if it is provisioned for no server.
func (a *App) sitesAround(ctx caddy.Context) *serverSites {
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return new(serverSites)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.servers[srv]
	if !ok {
		if a.servers == nil {
			a.servers = make(map[*caddyhttp.Server]*serverSites)
		}
		s = lookAt(srv)
		a.servers[srv] = s
	}
	return s
}

// lookAt finds out about a server's sites, before Caddy provisions their handshakes.
func lookAt(srv *caddyhttp.Server) *serverSites {
	s := &serverSites{server: srv, policies: indexPolicies(srv.TLSConnPolicies)}
	for _, host := range hostsOf(srv) {
		site, ok := s.policies.site(host)
		if !ok {
			s.sites = nil
			break
		}
		s.sites = append(s.sites, site)
	}
	return s
}

// warn logs something that is so for the whole server, once.
func (s *serverSites) warn(logger *zap.Logger, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warned[message] {
		return
	}
	if s.warned == nil {
		s.warned = make(map[string]bool)
	}
	s.warned[message] = true
	logger.Warn(message)
}

// hostsOf are the hosts that a server has routes for.
func hostsOf(srv *caddyhttp.Server) []string {
	hosts := make(map[string]bool)
	for i := range srv.Routes {
		names := hostsOfRoute(&srv.Routes[i])
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			hosts[name] = true
		}
	}
	return slices.Sorted(maps.Keys(hosts))
}

// hostsOfRoute are the hosts that a route is for; none if it is for all.
func hostsOfRoute(route *caddyhttp.Route) []string {
	var hosts []string
	for _, set := range route.MatcherSets {
		for _, matcher := range set {
			if names, ok := matcher.(*caddyhttp.MatchHost); ok {
				hosts = append(hosts, *names...)
			}
		}
	}
	return hosts
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

// trustsTheSystem reports whether a policy believes every authority that the system trusts: that is
// what crypto/tls does without authorities. It is only right before Caddy has provisioned the policy.
func trustsTheSystem(policy *caddytls.ConnectionPolicy, auth tls.ClientAuthType) bool {
	if auth < tls.VerifyClientCertIfGiven {
		return false
	}
	from := policy.ClientAuthentication
	if len(from.TrustedCACerts) > 0 || len(from.TrustedCACertPEMFiles) > 0 { //nolint:staticcheck // old configurations have them
		return false
	}
	return from.CARaw == nil
}

// warnOfSites says what of the sites around the handler would refuse every client, or believe too
// many.
func (h *Handler) warnOfSites() {
	own := h.identifier.pool != nil
	sites := h.sites.sites
	switch {
	case len(sites) == 0:
	case !slices.ContainsFunc(sites, site.asks):
		h.sites.warn(h.logger, "no site of this server asks clients for a certificate, so that nobody can have one: "+
			"write `tls { client_auth { mode verify_if_given; trust_pool file clients-ca.pem } }` into the site, one setting a line")
	case own:
	case !slices.ContainsFunc(sites, site.verifies):
		h.sites.warn(h.logger, "no site of this server verifies certificates, so that all clients with one will be refused: "+
			"set client_auth { mode verify_if_given } with a trust_pool (the modes request and require verify nothing), or give elasticsearch_jwt a trust_pool of its own")
	default:
		h.sites.warnOfPublicAuthorities(h.logger)
	}
}

// warnOfPublicAuthorities says which sites believe them, once for the server.
func (s *serverSites) warnOfPublicAuthorities(logger *zap.Logger) {
	var trusting []string
	for _, site := range s.sites {
		if site.trustsTheSystem {
			trusting = append(trusting, site.String())
		}
	}
	if len(trusting) > 0 {
		s.warn(logger.With(zap.Strings("sites", trusting)), "client_auth has no trust_pool, "+
			"so that a certificate of any public authority is a client: "+
			"name the authority of your clients with `trust_pool file clients-ca.pem`")
	}
}

// warnOfSites says that nodes cannot fetch the JWKS as they usually do.
func (*JWKS) warnOfSites(s *serverSites, logger *zap.Logger) {
	if len(s.sites) == 0 || slices.ContainsFunc(s.sites, func(s site) bool { return !s.insists() }) {
		return
	}
	s.warn(logger, "every site of this server insists on a client certificate, also of the nodes that fetch the JWKS, which have none: "+
		"set client_auth { mode verify_if_given }, or put elasticsearch_jwks on a site of its own")
}

func (s site) String() string {
	if s.host == "" {
		return "any other host"
	}
	return s.host
}
