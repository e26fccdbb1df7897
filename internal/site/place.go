package site

import (
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Of returns the sites whose routes have a handler in them, or all sites of the server if that cannot be
// told. It needs the handlers of all routes, so it must not be called before Caddy has provisioned the
// whole server.
func (s *Server) Of(handler caddyhttp.MiddlewareHandler) []Site {
	if len(s.sites) == 0 {
		return nil
	}
	search := hostSearch{server: s.server, handler: handler, invoked: make(map[string]bool)}
	search.routes(s.server.Routes, nil)
	if s.server.Errors != nil {
		search.routes(s.server.Errors.Routes, nil)
	}
	var sites []Site
	for _, host := range slices.Compact(slices.Sorted(slices.Values(search.hosts))) {
		site, ok := s.policies.site(host)
		if !ok {
			return s.sites
		}
		sites = append(sites, site)
	}
	if search.everyHost {
		sites = append(sites, s.open()...)
	}
	if len(sites) == 0 {
		return s.sites
	}
	return sites
}

// open returns the sites that a route for every host can serve: those that have no terminal route, with
// which Caddy stops looking for others.
func (s *Server) open() []Site {
	closed := make(map[string]bool)
	for i := range s.server.Routes {
		if route := &s.server.Routes[i]; route.Terminal {
			for _, host := range hostsOfRoute(route) {
				closed[host] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(s.sites), func(s Site) bool { return closed[s.host] })
}

// hostSearch looks for a handler in the routes of a server, and collects the hosts of these routes.
type hostSearch struct {
	server  *caddyhttp.Server
	handler caddyhttp.MiddlewareHandler
	invoked map[string]bool // the named routes that are being searched: a route can invoke itself

	hosts     []string
	everyHost bool // the handler is in a route that matches every host
}

// routes searches some routes. hosts are those of the route around them; a route with hosts of its own
// replaces them.
func (p *hostSearch) routes(routes caddyhttp.RouteList, hosts []string) {
	for i := range routes {
		here := hosts
		if own := hostsOfRoute(&routes[i]); len(own) > 0 {
			here = own
		}
		for _, handler := range routes[i].Handlers {
			p.visit(handler, here)
		}
	}
}

// visit looks at a handler of a route for these hosts, and searches the routes that are inside it.
func (p *hostSearch) visit(handler caddyhttp.MiddlewareHandler, hosts []string) {
	switch h := handler.(type) {
	case *caddyhttp.Subroute:
		p.routes(h.Routes, hosts)
		if h.Errors != nil {
			p.routes(h.Errors.Routes, hosts)
		}
	case *caddyhttp.Invoke:
		if route := p.server.NamedRoutes[h.Name]; route != nil && !p.invoked[h.Name] {
			p.invoked[h.Name] = true
			p.routes(caddyhttp.RouteList{*route}, hosts)
			delete(p.invoked, h.Name)
		}
	default:
		if handler == p.handler {
			p.hosts = append(p.hosts, hosts...)
			p.everyHost = p.everyHost || len(hosts) == 0
		}
	}
}
