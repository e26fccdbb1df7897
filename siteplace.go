package esjwt

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// of returns the sites that a handler is in, as far as can be told; all of the server if not at all.
// It is only known when the whole server has been provisioned.
func (s *serverSites) of(h *Handler) []site {
	if len(s.sites) == 0 {
		return nil
	}
	search := placeSearch{server: s.server, handler: h, invoked: make(map[string]bool)}
	search.in(s.server.Routes, nil)
	if s.server.Errors != nil {
		search.in(s.server.Errors.Routes, nil)
	}
	var sites []site
	for _, host := range slices.Compact(slices.Sorted(slices.Values(search.hosts))) {
		site, ok := s.policies.site(host)
		if !ok {
			return s.sites
		}
		sites = append(sites, site)
	}
	if search.anywhere {
		sites = append(sites, s.unnamed()...)
	}
	if len(sites) == 0 {
		return s.sites
	}
	return sites
}

// unnamed are the sites that a route without a host can serve: those of no route that ends there.
func (s *serverSites) unnamed() []site {
	ended := make(map[string]bool)
	for i := range s.server.Routes {
		if route := &s.server.Routes[i]; route.Terminal {
			for _, host := range hostsOfRoute(route) {
				ended[host] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(s.sites), func(s site) bool { return ended[s.host] })
}

// placeSearch looks for the hosts whose routes have a handler in them.
type placeSearch struct {
	server   *caddyhttp.Server
	handler  *Handler
	invoked  map[string]bool // named routes that are being looked through
	hosts    []string
	anywhere bool // in a route for all hosts
}

// in looks through routes, for these hosts if they name none themselves.
func (p *placeSearch) in(routes caddyhttp.RouteList, hosts []string) {
	for i := range routes {
		here := hosts
		if own := hostsOfRoute(&routes[i]); len(own) > 0 {
			here = own
		}
		for _, handler := range routes[i].Handlers {
			p.at(handler, here)
		}
	}
}

func (p *placeSearch) at(handler caddyhttp.MiddlewareHandler, hosts []string) {
	switch handler := handler.(type) {
	case *Handler:
		if handler == p.handler {
			p.hosts = append(p.hosts, hosts...)
			p.anywhere = p.anywhere || len(hosts) == 0
		}
	case *caddyhttp.Subroute:
		p.in(handler.Routes, hosts)
		if handler.Errors != nil {
			p.in(handler.Errors.Routes, hosts)
		}
	case *caddyhttp.Invoke:
		if route := p.server.NamedRoutes[handler.Name]; route != nil && !p.invoked[handler.Name] {
			p.invoked[handler.Name] = true
			p.in(caddyhttp.RouteList{*route}, hosts)
			delete(p.invoked, handler.Name)
		}
	}
}

// listOf are the names of sites.
func listOf(sites []site) string {
	var names []string
	for _, s := range sites {
		names = append(names, s.String())
	}
	return strings.Join(names, ", ")
}
