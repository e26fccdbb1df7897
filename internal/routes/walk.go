package routes

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// walker follows the ways through the servers of a configuration. Each function takes the states before something,
// and returns those after it.
//
// It also goes where no request comes, with no states: that is how it finds handlers that nothing reaches.
type walker struct {
	modules Modules
	found   *Map

	handlers map[any]*Handler
	proxies  map[*reverseproxy.Handler]*Proxy
	decoded  map[*caddyhttp.Route][]any
	changes  map[changesKey][]*change

	named      map[string]*caddyhttp.Route // the named routes of the server
	invoked    map[string]bool             // those of them that something invokes
	invoking   map[string]*invocation      // those that the walker is in
	made       []changesBehind             // all changes of headers so far
	ownErrors  int                         // the subroutes around that have error routes
	lastToEnd  any                         // the handler that ended the last way, or nil
	errorsFrom int                         // the error routes around
}

// terminalRoute stands for an earlier route that takes every request, by its settings.
type terminalRoute struct{}

// uninvoked is the name of a named route that nothing invokes.
type uninvoked string

// place is where in the configuration something is.
type place struct {
	server string
	hosts  []string // none for every host
}

// in returns the place of what is in a route that is in p.
func (p place) in(route *caddyhttp.Route) place {
	if hosts := hostsOf(route); len(hosts) > 0 {
		p.hosts = hosts
	}
	return p
}

func (w *walker) server(name string, server *caddyhttp.Server) {
	w.named = server.NamedRoutes
	w.invoked, w.invoking = make(map[string]bool), make(map[string]*invocation)
	at := place{server: name}
	w.routes(server.Routes, begin(), at)
	if server.Errors != nil {
		// Each handler takes its admission back before the server handles the error.
		w.errorRoutes(server.Errors.Routes, begin(), at)
	}
	for _, name := range slices.Sorted(maps.Keys(server.NamedRoutes)) {
		if !w.invoked[name] {
			w.lastToEnd = uninvoked(name)
			w.route(server.NamedRoutes[name], nil, at)
		}
	}
}

func (w *walker) errorRoutes(routes caddyhttp.RouteList, in states, at place) states {
	w.errorsFrom++
	defer func() { w.errorsFrom-- }()
	return w.routes(routes, in.later(), at)
}

// flow are the requests for which routes of the same groups have matched in a list of routes. The others of these
// groups are skipped.
type flow struct {
	matched []string
	states  states
}

// routes follows a list of routes.
func (w *walker) routes(list caddyhttp.RouteList, in states, at place) states {
	lastOf := make(map[string]int)
	for i := range list {
		lastOf[list[i].Group] = i
	}
	flows := []flow{{states: in}}
	for i := range list {
		flows = w.through(&list[i], flows, at)
		if group := list[i].Group; lastOf[group] == i {
			flows = forget(group, flows)
		}
	}
	return flows[0].states // the groups of the list are all forgotten
}

// through follows the flows through one route of a list.
func (w *walker) through(route *caddyhttp.Route, in []flow, at place) []flow {
	var out []flow
	walked := false
	for _, f := range in {
		if route.Group != "" && slices.Contains(f.matched, route.Group) {
			out = add(out, f)
			continue
		}
		walked = true
		after := w.route(route, f.states.inGroup(route.Group), at.in(route))
		if route.Terminal && len(f.states) > 0 {
			if len(after) > 0 {
				w.lastToEnd = terminalRoute{}
			}
			after = nil
		}
		skipped := f.states
		if !hasMatchers(route) {
			skipped = skipped.mayHaveMatched(route.Group)
		}
		out = add(out, flow{f.matched, skipped})
		matched := f.matched
		if route.Group != "" {
			matched = union(matched, []string{route.Group})
		}
		out = add(out, flow{matched, after})
	}
	if !walked { // another route of its group has matched every request
		last := w.lastToEnd
		w.lastToEnd = terminalRoute{}
		w.route(route, nil, at.in(route))
		w.lastToEnd = last
	}
	return out
}

// add adds a flow to others, of which one may have the same groups.
func add(flows []flow, f flow) []flow {
	for i := range flows {
		if slices.Equal(flows[i].matched, f.matched) {
			flows[i].states = flows[i].states.join(f.states)
			return flows
		}
	}
	return append(flows, f)
}

// forget joins flows that differ by a group, after its last route.
func forget(group string, flows []flow) []flow {
	var out []flow
	for _, f := range flows {
		matched := slices.DeleteFunc(slices.Clone(f.matched), func(g string) bool { return g == group })
		out = add(out, flow{slices.Clip(matched), f.states})
	}
	return out
}

// route follows the handlers of a route that matches.
func (w *walker) route(route *caddyhttp.Route, in states, at place) states {
	for _, handler := range w.handlersOf(route) {
		in = w.handler(handler, in, at)
	}
	return in
}

// handler follows a handler, and the routes inside it.
func (w *walker) handler(handler any, in states, at place) states {
	if door, ok := w.modules.Door(handler); ok {
		return w.door(handler, door, in, at)
	}
	if keys, ok := w.modules.Published(handler); ok {
		for _, name := range keys {
			w.found.Published[name] = true
		}
		return in
	}
	switch h := handler.(type) {
	case *caddyhttp.Subroute:
		return w.subroute(h, in, at)
	case *caddyhttp.Invoke:
		return w.invoke(h.Name, in, at)
	case *reverseproxy.Handler:
		return w.proxy(h, in, at)
	case *intercept.Intercept:
		for i := range h.HandleResponse {
			w.routes(h.HandleResponse[i].Routes, in.later(), at) // when what follows has answered
		}
		return in
	case *headers.Handler:
		return w.headers(h.Request, in)
	case *fileserver.FileServer:
		if h.PassThru {
			return in
		}
		return w.end(h, in)
	case caddyhttp.StaticResponse: // of the redirects that Caddy adds by itself
		return w.end(h, in)
	case *caddyhttp.StaticResponse:
		status, err := strconv.Atoi(h.StatusCode.String())
		placeholder := err != nil && strings.Contains(h.StatusCode.String(), "{")
		if !h.Abort && (status == http.StatusEarlyHints || placeholder) {
			return in // after Early Hints, the next handler answers
		}
		return w.end(h, in)
	}
	return w.other(handler, in)
}

// other follows a handler that has nothing to do with identities.
func (w *walker) other(handler any, in states) states {
	switch name := nameOf(handler); {
	case slices.Contains(endingHandlers, name):
		return w.end(handler, in)
	case slices.Contains(continuingHandlers, name):
		return in
	}
	w.found.Complete = false
	for h := range in {
		if h != nil {
			h.Strangers = true
		}
	}
	return in
}

// The handlers of Caddy's own that have no settings by which a request would go on or not. Those that sometimes
// answer themselves count as continuing.
var (
	endingHandlers = []string{"copy_response", "error", "metrics"}

	continuingHandlers = []string{
		"acme_server", "authentication", "copy_response_headers", "encode", "log_append", "map", "push", "request_body",
		"rewrite", "templates", "timeouts", "tracing", "vars",
	}
)

// nameOf returns the name of a handler's module, or "" if it is not known.
func nameOf(handler any) string {
	module, ok := handler.(caddy.Module)
	if !ok {
		return ""
	}
	id := module.CaddyModule().ID
	if id.Namespace() != "http.handlers" {
		return ""
	}
	return id.Name()
}

// end follows a handler that answers every request, so that none goes on.
func (w *walker) end(handler any, in states) states {
	if len(in) > 0 {
		w.lastToEnd = handler
	}
	return nil
}

// subroute follows a subroute. If one of its handlers fails, its error routes have the request, and then what
// follows the subroute. They are inside those handlers that are around the subroute, whose admission still counts,
// and outside those that are in it.
func (w *walker) subroute(subroute *caddyhttp.Subroute, in states, at place) states {
	if subroute.Errors == nil { // without routes, too, a request goes on after an error
		return w.routes(subroute.Routes, in, at)
	}
	w.ownErrors++
	before := len(w.made)
	out := w.routes(subroute.Routes, in, at)
	w.ownErrors--
	failed := make(states, len(in))
	for h, state := range in {
		for _, made := range w.made[before:] { // a header stays changed
			if made.behind == h {
				state.changes = union(state.changes, made.changes)
			}
		}
		failed[h] = state
	}
	return out.join(w.errorRoutes(subroute.Errors.Routes, failed, at))
}

// invocation is a named route that the walker is in.
type invocation struct {
	in, out states
}

// invoke follows a named route. A named route can invoke itself, even by others. The inner invocation then has the
// result that is known so far, and the route is followed again until nothing is added to that.
func (w *walker) invoke(name string, in states, at place) states {
	route := w.named[name]
	if route == nil {
		return w.end(nil, in) // it is an error
	}
	if around := w.invoking[name]; around != nil {
		around.in = around.in.join(in)
		return around.out
	}
	w.invoked[name] = true
	now := &invocation{in: in}
	w.invoking[name] = now
	defer delete(w.invoking, name)
	for {
		before := now.in.size() + now.out.size()
		now.out = now.out.join(w.routesOf(route, now.in, at))
		if now.in.size()+now.out.size() == before {
			return now.out
		}
	}
}

// door follows an elasticsearch_jwt, which lets each request through as one of its own.
func (w *walker) door(module any, door Door, in states, at place) states {
	h := w.handlers[module]
	if h == nil {
		h = &Handler{Door: door, Module: module, index: len(w.found.Handlers), after: make(map[*Handler]bool)}
		w.handlers[module] = h
		w.found.Handlers = append(w.found.Handlers, h)
	}
	h.sites.add(at)
	h.OwnErrors = h.OwnErrors || w.ownErrors > 0
	if len(in) == 0 {
		if _, known := h.hidden.(*reverseproxy.Handler); !known {
			h.hidden = w.lastToEnd
		}
		return nil
	}
	h.addHosts(at)
	var after state
	for before, state := range in {
		if before == nil {
			h.first = true
		} else {
			h.after[before] = true
		}
		after = after.join(state)
	}
	after.changes = nil
	return states{h: after}
}

// addHosts adds the hosts of a place that requests come by to the handler.
func (h *Handler) addHosts(at place) {
	if h.Hosts == nil {
		h.Hosts = make(map[string]map[string]bool)
	}
	if h.Hosts[at.server] == nil {
		h.Hosts[at.server] = make(map[string]bool)
	}
	for _, host := range at.hosts {
		h.Hosts[at.server][host] = true
	}
	if len(at.hosts) == 0 {
		h.Hosts[at.server][""] = true
	}
}

// changesBehind are changes of headers that are made behind a handler.
type changesBehind struct {
	behind  *Handler
	changes []*change
}

// headers follows a handler that changes the headers of a request.
func (w *walker) headers(ops *headers.HeaderOps, in states) states {
	if ops == nil {
		return in
	}
	out := make(states, len(in))
	for h, state := range in {
		if h != nil {
			changes := w.changesOf(ops, h, "request_header")
			state.changes = union(state.changes, changes)
			w.made = append(w.made, changesBehind{h, changes})
		}
		out[h] = state
	}
	return out
}

// routesOf follows a route that is in no list.
func (w *walker) routesOf(route *caddyhttp.Route, in states, at place) states {
	flows := w.through(route, []flow{{states: in}}, at)
	return forget(route.Group, flows)[0].states
}
