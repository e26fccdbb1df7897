package site

import (
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// SitesOf returns the sites whose routes have a handler in them. If that cannot be told, it returns all sites of
// the server. It must not be called before Caddy has provisioned the whole server, because the routes have no
// handlers before that.
func (s *Server) SitesOf(handler caddyhttp.MiddlewareHandler) []Site {
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
		sites = append(sites, s.sitesForAnyRoute()...)
	}
	if len(sites) == 0 {
		return s.sites
	}
	return sites
}

// sitesForAnyRoute returns the sites that a route for every host can serve. These are the sites without a terminal
// route: after a terminal route Caddy looks for no other.
func (s *Server) sitesForAnyRoute() []Site {
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

// routes searches some routes. hosts are those of the route around them. A route that has hosts itself is for these
// instead.
func (search *hostSearch) routes(routes caddyhttp.RouteList, hosts []string) {
	for i := range routes {
		here := hosts
		if own := hostsOfRoute(&routes[i]); len(own) > 0 {
			here = own
		}
		for _, handler := range routes[i].Handlers {
			search.visit(handler, here)
		}
	}
}

// visit compares a handler, in a route for these hosts, with the one that is searched for. It also searches the
// routes inside the handler.
func (search *hostSearch) visit(handler caddyhttp.MiddlewareHandler, hosts []string) {
	switch h := handler.(type) {
	case *caddyhttp.Subroute:
		search.routes(h.Routes, hosts)
		if h.Errors != nil {
			search.routes(h.Errors.Routes, hosts)
		}
	case *caddyhttp.Invoke:
		if route := search.server.NamedRoutes[h.Name]; route != nil && !search.invoked[h.Name] {
			search.invoked[h.Name] = true
			search.routes(caddyhttp.RouteList{*route}, hosts)
			delete(search.invoked, h.Name)
		}
	default:
		if handler == search.handler {
			search.hosts = append(search.hosts, hosts...)
			search.everyHost = search.everyHost || len(hosts) == 0
		}
	}
}
