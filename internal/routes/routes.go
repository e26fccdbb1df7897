// Package routes looks at the routes of a whole configuration, and finds out what a request meets on its way: which
// elasticsearch_jwt lets it through, what changes its headers afterwards, and which reverse_proxy sends it on.
//
// It follows every way that a request can take, without a request. A route with matchers may match or not, so both
// ways are followed. What it knows of a request at a point of its way is which handler has let it in, if any (see
// [states]). It looks at a configuration that Caddy is still loading, in which some routes have their handlers and
// others only their JSON, and at one that is loaded.
package routes

import (
	"cmp"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Modules tells the plugin's own modules from others. The functions are called with modules that need not be
// provisioned.
type Modules struct {
	// Door returns what an elasticsearch_jwt does; ok is false for any other handler.
	Door func(handler any) (door Door, ok bool)

	// Published returns the key sets that an elasticsearch_jwks publishes; ok is false for any other handler.
	Published func(handler any) (keys []string, ok bool)

	// Delivers reports whether a transport is elasticsearch_jwt.
	Delivers func(transport any) bool
}

// Door is what an elasticsearch_jwt does to a request that it lets through.
type Door struct {
	Keys     string                 // the key set that it signs with
	Injects  []string               // the names of the headers that it sets
	Protects func(name string) bool // whether it removes a header that a client sends
	Needs    Needs
}

// Needs is what a credential that is no token needs of every reverse_proxy behind an elasticsearch_jwt.
type Needs struct {
	Credential string // its kind, which needs the transport elasticsearch_jwt; "" for a token, which needs nothing
	Nodes      bool   // it asks the nodes, whose addresses must be there
}

// Map is what there is on the ways of a configuration.
type Map struct {
	Handlers  []*Handler
	Proxies   []*Proxy
	Published map[string]bool // the key sets that an elasticsearch_jwks publishes

	// Complete is false if there is a handler that is neither one of Caddy's own nor one of the plugin's, or that
	// cannot be read. It can have routes of its own, which nobody here can see.
	Complete bool
}

// Handler is an elasticsearch_jwt.
type Handler struct {
	Door
	Module    any // the *esjwt.Handler
	Proxies   []*Proxy
	OwnErrors bool                       // a subroute around it has error routes
	Hosts     map[string]map[string]bool // whose requests reach it, by server; "" stands for every host

	// Strangers is true if a handler behind it is neither one of Caddy's own nor one of the plugin's. It could send
	// the request by itself.
	Strangers bool

	index  int // in [Map.Handlers]
	sites  sites
	first  bool              // requests reach it that no other handler has let in
	after  map[*Handler]bool // those that have let in other requests, or the same ones before
	hidden any               // what ends every request before it, on one of the ways to it
}

// Delivered reports whether every reverse_proxy behind the handler has the transport elasticsearch_jwt, and nothing
// else there can send a request.
func (h *Handler) Delivered() bool {
	return len(h.Proxies) > 0 && !h.Strangers &&
		!slices.ContainsFunc(h.Proxies, func(p *Proxy) bool { return p.kind != delivers })
}

// reached reports whether requests reach the handler at all.
func (h *Handler) reached() bool { return h.first || len(h.after) > 0 }

// Proxy is a reverse_proxy.
type Proxy struct {
	Transport any // nil for the default

	module    *reverseproxy.Handler
	kind      kind
	plainHTTP bool
	upstreams []string
	sites     sites

	open         bool // requests reach it that no handler has let in,
	openToErrors bool // or that are there because of an error
	goesOn       bool // it hands requests on after the answer, as forward_auth does
	behind       map[*Handler][]*change
}

// Behind returns the handlers that let requests through to the proxy, in the order of the configuration.
func (p *Proxy) Behind() []*Handler {
	return slices.SortedFunc(maps.Keys(p.behind), func(a, b *Handler) int { return cmp.Compare(a.index, b.index) })
}

// Look follows the ways through an http app. It changes nothing.
func Look(app *caddyhttp.App, modules Modules) *Map {
	w := &walker{
		modules:  modules,
		found:    &Map{Published: make(map[string]bool), Complete: true},
		handlers: make(map[any]*Handler),
		proxies:  make(map[*reverseproxy.Handler]*Proxy),
		decoded:  make(map[*caddyhttp.Route][]any),
		changes:  make(map[changesKey][]*change),
	}
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		w.server(name, app.Servers[name])
	}
	return w.found
}
