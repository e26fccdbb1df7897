// Package site reads the configuration of the server that a handler is in: which hosts the server has, and whether
// each of them asks a client for a certificate. It warns of mistakes while the configuration is loaded, before the
// first client is refused, and it is used to explain a certificate. It decides nothing about a request.
package site

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"go.uber.org/zap"
)

// Site is a host of a server, with the settings of its TLS handshake.
type Site struct {
	host            string                     // "" for every host that has no site of its own
	policy          *caddytls.ConnectionPolicy // nil: no TLS
	auth            tls.ClientAuthType         // what the site asks clients for
	trustsTheSystem bool                       // the site trusts every authority that the system trusts
}

// Asks reports whether the site asks clients for a certificate.
func (s Site) Asks() bool { return s.auth != tls.NoClientCert }

// Verifies reports whether the site verifies the certificates that it gets.
func (s Site) Verifies() bool { return s.auth >= tls.VerifyClientCertIfGiven }

// requires reports whether the site ends the handshake with a client that has no certificate.
func (s Site) requires() bool {
	return s.auth == tls.RequireAnyClientCert || s.auth == tls.RequireAndVerifyClientCert
}

// ClientCAs returns the authorities that the site trusts; nil means those of the system. The site must verify
// certificates, and Caddy must have provisioned the server.
func (s Site) ClientCAs() *x509.CertPool { return s.policy.TLSConfig.ClientCAs }

func (s Site) String() string {
	if s.host == "" {
		return "any other host"
	}
	return s.host
}

// Servers has the servers of a configuration. All handlers of a server share one [Server], so the sites of a server
// are found only once: it can have hundreds of sites with a handler in each. The zero value is ready to use.
type Servers struct {
	mu    sync.Mutex
	known map[*caddyhttp.Server]*Server
}

// Of returns the server that a handler is in. ctx is the context that the handler is provisioned with. If there is
// no server, as in some tests, the result has no sites.
func (s *Servers) Of(ctx caddy.Context) *Server {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return new(Server)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.known[server]; ok {
		return known
	}
	if s.known == nil {
		s.known = make(map[*caddyhttp.Server]*Server)
	}
	s.known[server] = newServer(server)
	return s.known[server]
}

// Server is a server and its sites.
type Server struct {
	server   *caddyhttp.Server
	policies *policyIndex
	sites    []Site // none if the policy of one of them cannot be told

	watched sync.Once // WatchHandshakes
	named   sync.Once // warnOfNames
	pools   sync.Once // warnOfPools
	mu      sync.Mutex
	warned  map[string]bool
}

// Asks reports whether the server asks for a certificate in a TLS handshake in which the client names this host. known
// is false if that cannot be told.
func (s *Server) Asks(serverName string) (asks, known bool) {
	if s.policies == nil {
		return false, false
	}
	site, known := s.policies.site(serverName)
	return site.Asks(), known
}

// newServer finds the sites of a server. Caddy must not have provisioned its connection policies yet.
func newServer(server *caddyhttp.Server) *Server {
	s := &Server{server: server, policies: indexPolicies(server.TLSConnPolicies)}
	for _, host := range hostsOf(server) {
		site, ok := s.policies.site(host)
		if !ok {
			s.sites = nil
			break
		}
		s.sites = append(s.sites, site)
	}
	return s
}

// hostsOf returns the hosts that a server has routes for.
func hostsOf(server *caddyhttp.Server) []string {
	hosts := make(map[string]bool)
	for i := range server.Routes {
		names := hostsOfRoute(&server.Routes[i])
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			hosts[name] = true
		}
	}
	return slices.Sorted(maps.Keys(hosts))
}

// hostsOfRoute returns the hosts that a route matches; none if it matches every host.
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

// WarnOfHandler warns if the handler would refuse every client because of how the sites are configured, or if the
// sites trust too many authorities. ownTrustPool says that the handler verifies certificates itself.
func (s *Server) WarnOfHandler(ownTrustPool bool, logger *zap.Logger) {
	if len(s.sites) == 0 {
		return
	}
	s.named.Do(func() { s.warnOfNames(logger) })
	switch {
	case !slices.ContainsFunc(s.sites, Site.Asks):
		s.warnOnce(logger, "no site of this server asks clients for a certificate, so that nobody can have one: "+
			"write `tls { client_auth { mode request } }` into the site, one setting a line"+andATrustPool(ownTrustPool))
	case ownTrustPool:
		s.warnOfStrangers(logger)
	case !slices.ContainsFunc(s.sites, Site.Verifies):
		s.warnOnce(logger, "no site of this server verifies certificates, so that all clients with one will be refused "+
			"(the modes request and require of client_auth verify nothing): "+
			"write `trust_pool file clients-ca.pem` into elasticsearch_jwt, which then verifies them")
	default:
		s.warnOfPublicAuthorities(logger)
		s.pools.Do(func() { s.warnOfPools(logger) })
	}
}

// andATrustPool adds to a piece of advice what the handler needs too, if it has none.
func andATrustPool(own bool) string {
	if own {
		return ""
	}
	return ", and `trust_pool file clients-ca.pem` into elasticsearch_jwt"
}

// warnOfPublicAuthorities warns of the sites that trust the authorities of the system.
func (s *Server) warnOfPublicAuthorities(logger *zap.Logger) {
	if trusting := s.trusting(); len(trusting) > 0 {
		s.warnOnce(logger.With(zap.Strings("sites", trusting)), "client_auth has no trust_pool, "+
			"so that a certificate of any public authority is a client: "+
			"set client_auth { mode request }, and name the authority of your clients "+
			"with `trust_pool file clients-ca.pem` in elasticsearch_jwt")
	}
}

// warnOfStrangers warns of the sites whose handshake ends with the clients that the handler's own trust_pool is for.
func (s *Server) warnOfStrangers(logger *zap.Logger) {
	if trusting := s.trusting(); len(trusting) > 0 {
		s.warnOnce(logger.With(zap.Strings("sites", trusting)), "client_auth verifies and has no trust_pool, "+
			"so that the handshake ends for every client whose authority is not a public one: "+
			"set client_auth { mode request }, since elasticsearch_jwt verifies with its own trust_pool")
	}
}

// trusting returns the sites that trust the authorities of the system.
func (s *Server) trusting() (names []string) {
	for _, site := range s.sites {
		if site.trustsTheSystem {
			names = append(names, site.String())
		}
	}
	return names
}

// WarnOfJWKS warns if every site requires a client certificate, because nodes have none when they fetch the JWKS.
func (s *Server) WarnOfJWKS(logger *zap.Logger) {
	if len(s.sites) == 0 || slices.ContainsFunc(s.sites, func(s Site) bool { return !s.requires() }) {
		return
	}
	s.warnOnce(logger, "every site of this server insists on a client certificate, "+
		"also of the nodes that fetch the JWKS, which have none: "+
		"set client_auth { mode request } and give elasticsearch_jwt a trust_pool, "+
		"or put elasticsearch_jwks on a site of its own")
}

// warnOnce logs a warning about the server, unless another of its handlers has done so.
func (s *Server) warnOnce(logger *zap.Logger, message string) {
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
