package routes

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// handlersOf returns the handlers of a route: those that Caddy has loaded, or what their JSON says. A handler that
// cannot be read is nil. Caddy says why, when it loads the handler.
func (w *walker) handlersOf(route *caddyhttp.Route) []any {
	if handlers, ok := w.decoded[route]; ok {
		return handlers
	}
	handlers := make([]any, 0, max(len(route.Handlers), len(route.HandlersRaw)))
	for _, handler := range route.Handlers {
		handlers = append(handlers, handler)
	}
	if len(route.Handlers) == 0 {
		for _, raw := range route.HandlersRaw {
			handlers = append(handlers, decode("http.handlers", raw))
		}
	}
	w.decoded[route] = handlers // a named route is looked at again and again
	return handlers
}

// transportOf returns the transport of a reverse_proxy; nil for the default.
func transportOf(proxy *reverseproxy.Handler) any {
	if proxy.Transport == nil && proxy.TransportRaw != nil {
		return decode("http.reverse_proxy.transport", proxy.TransportRaw)
	}
	return proxy.Transport
}

// upstreamsSourceOf returns the source of a reverse_proxy's dynamic upstreams; nil if it has none.
func upstreamsSourceOf(proxy *reverseproxy.Handler) any {
	if proxy.DynamicUpstreams == nil && proxy.DynamicUpstreamsRaw != nil {
		return decode("http.reverse_proxy.upstreams", proxy.DynamicUpstreamsRaw)
	}
	return proxy.DynamicUpstreams
}

// decode reads the JSON of a module into its own type, as Caddy does, but does not provision it.
func decode(namespace string, raw json.RawMessage) any {
	var inline struct {
		Handler  string `json:"handler"`
		Protocol string `json:"protocol"`
		Source   string `json:"source"`
	}
	if json.Unmarshal(raw, &inline) != nil {
		return nil
	}
	name := inline.Handler
	switch namespace {
	case "http.reverse_proxy.transport":
		name = inline.Protocol
	case "http.reverse_proxy.upstreams":
		name = inline.Source
	}
	info, err := caddy.GetModule(namespace + "." + name)
	if err != nil || info.New == nil {
		return nil
	}
	module := info.New()
	if json.Unmarshal(raw, module) != nil {
		return nil
	}
	return module
}

// hasMatchers reports whether a route is only for some requests.
func hasMatchers(route *caddyhttp.Route) bool {
	return len(route.MatcherSets) > 0 || len(route.MatcherSetsRaw) > 0
}

// hostsOf returns the hosts that a route is for; none if it is for all, or for those of the route around it.
func hostsOf(route *caddyhttp.Route) []string {
	var hosts []string
	for _, set := range route.MatcherSets {
		for _, matcher := range set {
			if names, ok := matcher.(*caddyhttp.MatchHost); ok {
				hosts = append(hosts, *names...)
			}
		}
	}
	for _, set := range route.MatcherSetsRaw {
		var names caddyhttp.MatchHost
		if raw, ok := set["host"]; ok && json.Unmarshal(raw, &names) == nil {
			hosts = append(hosts, names...)
		}
	}
	return hosts
}
