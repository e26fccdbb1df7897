package routes_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/routes"
)

func init() {
	caddy.RegisterModule(new(door))
	caddy.RegisterModule(new(coin))
	caddy.RegisterModule(stranger{})
	caddy.RegisterModule(new(wire))
}

// door stands for elasticsearch_jwt. While it runs, the request is of the door, which its header says.
type door struct {
	ID int `json:"id"`
}

func (*door) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_door", New: func() caddy.Module { return new(door) }}
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	around, of := caddyhttp.GetVar(r.Context(), "door"), r.Header.Get("X-Door")
	if rand.IntN(4) == 0 {
		return errors.New("refused")
	}
	caddyhttp.SetVar(r.Context(), "door", d)
	r.Header.Set("X-Door", fmt.Sprint(d.ID))
	defer func() {
		caddyhttp.SetVar(r.Context(), "door", around)
		if of == "" {
			r.Header.Del("X-Door")
		} else {
			r.Header.Set("X-Door", of)
		}
	}()
	return next.ServeHTTP(w, r)
}

// stranger is a handler of another plugin.
type stranger struct{}

func (stranger) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_stranger", New: func() caddy.Module { return new(stranger) }}
}

func (stranger) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(w, r)
}

// coin is a matcher that matches sometimes, but not too often for one request.
type coin struct{}

func (*coin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.matchers.test_coin", New: func() caddy.Module { return new(coin) }}
}

func (*coin) MatchWithError(r *http.Request) (bool, error) {
	tossed, _ := caddyhttp.GetVar(r.Context(), "tossed").(int)
	caddyhttp.SetVar(r.Context(), "tossed", tossed+1)
	return tossed < 40 && rand.IntN(2) == 0, nil
}

// wire is the transport of a reverse_proxy. It remembers what reaches it.
type wire struct {
	ID int  `json:"id"`
	OK bool `json:"ok"` // whether it delivers

	seen []arrival
}

// arrival is a request that reaches a wire.
type arrival struct {
	by      *door
	changed bool // its header is not the door's
}

func (*wire) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.transport.test_wire", New: func() caddy.Module { return new(wire) }}
}

func (x *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	by, _ := caddyhttp.GetVar(r.Context(), "door").(*door)
	// What intercept runs afterwards can see changes that were made after it. They are not followed.
	_, intercepted := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).Get("http.intercept.status_code")
	x.seen = append(x.seen, arrival{by, !intercepted && by != nil && r.Header.Get("X-Door") != fmt.Sprint(by.ID)})
	if rand.IntN(3) == 0 {
		return nil, errors.New("the node does not answer")
	}
	status := []int{200, 401}[rand.IntN(2)]
	return &http.Response{StatusCode: status, Header: make(http.Header), Body: http.NoBody, Request: r}, nil
}

var modules = routes.Modules{
	Door: func(handler any) (routes.Door, bool) {
		_, ok := handler.(*door)
		return routes.Door{Injects: []string{"X-Door"}, Protects: func(name string) bool { return name == "X-Door" }}, ok
	},
	Published: func(any) ([]string, bool) { return nil, false },
	Delivers:  func(transport any) bool { x, ok := transport.(*wire); return ok && x.OK },
}

// discard is a client that takes every answer, also one without a status, which intercept can give.
type discard struct{}

func (discard) Header() http.Header         { return make(http.Header) }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

type object = map[string]any

// config makes random routes.
type config struct {
	*rand.Rand
	ids int
}

func (c *config) id() int { c.ids++; return c.ids }

func (c *config) routes(depth int) []object {
	list := []object{}
	for range 1 + c.IntN(4) {
		route := object{}
		handlers := []object{}
		for range 1 + c.IntN(2) {
			handlers = append(handlers, c.handler(depth))
		}
		route["handle"] = handlers
		invokes := slices.ContainsFunc(handlers, func(h object) bool { return h["handler"] == "invoke" })
		if invokes || c.IntN(2) == 0 { // a route that invokes itself for every request never ends
			route["match"] = []object{{"test_coin": object{}}}
		}
		if c.IntN(3) == 0 {
			route["group"] = []string{"a", "b"}[c.IntN(2)]
		}
		if c.IntN(5) == 0 {
			route["terminal"] = true
		}
		list = append(list, route)
	}
	return list
}

func (c *config) handler(depth int) object {
	kinds := []string{"door", "door", "door", "proxy", "proxy", "headers", "headers", "vars", "respond", "error", "invoke"}
	if depth > 0 {
		kinds = append(kinds, "subroute", "subroute", "subroute", "errors", "intercept", "forward")
	}
	switch kind := kinds[c.IntN(len(kinds))]; kind {
	case "door":
		return object{"handler": "test_door", "id": c.id()}
	case "headers":
		return object{"handler": "headers", "request": object{"set": object{"X-Door": []string{"forged"}}}}
	case "respond":
		return object{"handler": "static_response"}
	case "error":
		return object{"handler": "error"}
	case "invoke":
		return object{"handler": "invoke", "name": []string{"one", "two"}[c.IntN(2)]}
	case "subroute":
		return object{"handler": "subroute", "routes": c.routes(depth - 1)}
	case "errors":
		errorRoutes := object{"routes": c.routes(depth - 1)}
		if c.IntN(4) == 0 {
			errorRoutes = object{}
		}
		return object{"handler": "subroute", "routes": c.routes(depth - 1), "errors": errorRoutes}
	case "intercept":
		return object{"handler": "intercept", "handle_response": []object{{"routes": c.routes(depth - 1)}}}
	case "proxy", "forward":
		proxy := object{
			"handler": "reverse_proxy", "upstreams": []object{{"dial": "127.0.0.1:1"}},
			"transport": object{"protocol": "test_wire", "id": c.id(), "ok": c.IntN(2) == 0},
		}
		if kind == "forward" {
			answer := object{"match": object{"status_code": []int{2}}}
			if c.IntN(4) > 0 {
				answer["routes"] = c.routes(depth - 1)
			}
			proxy["handle_response"] = []object{answer}
		}
		return proxy
	default:
		return object{"handler": kind}
	}
}

// provision loads an http app as Caddy does.
func provision(t *testing.T, servers object) *caddyhttp.App {
	t.Helper()
	raw, err := json.Marshal(object{"servers": servers})
	require.NoError(t, err)
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "PANIC"}}}},
		AppsRaw: caddy.ModuleMap{"http": raw},
	})
	require.NoError(t, err)
	app, err := ctx.App("http")
	require.NoError(t, err)
	return app.(*caddyhttp.App)
}

// TestNoRequestGoesAWayThatIsNotKnown: random requests go through random routes, and whatever reaches a reverse_proxy
// must be known to reach it. The same is known before Caddy has loaded the routes.
func TestNoRequestGoesAWayThatIsNotKnown(t *testing.T) {
	arrivals, byNone, changed := 0, 0, 0
	for seed := range uint64(200) {
		c := &config{Rand: rand.New(rand.NewPCG(seed, 0))}
		server := object{
			"listen": []string{"127.0.0.1:0"}, "automatic_https": object{"disable": true},
			"routes": c.routes(3), "errors": object{"routes": c.routes(2)},
			"named_routes": object{"one": c.routes(2)[0], "two": c.routes(2)[0]},
		}
		raw, err := json.Marshal(object{"servers": object{"s": server}})
		require.NoError(t, err)
		unloaded := new(caddyhttp.App)
		require.NoError(t, json.Unmarshal(raw, unloaded))
		before := routes.Look(unloaded, modules)

		app := provision(t, object{"s": server})
		known := routes.Look(app, modules)
		require.Equal(t, summary(before), summary(known), "seed %d", seed)

		for range 60 {
			r := httptest.NewRequest(http.MethodGet, "http://es.example.com/", nil)
			app.Servers["s"].ServeHTTP(discard{}, r)
		}
		for _, p := range known.Proxies {
			for _, a := range p.Transport.(*wire).seen {
				arrivals++
				if a.by == nil {
					byNone++
				}
				if a.changed {
					changed++
				}
				require.NoError(t, p.Knows(doorOf(a), a.changed), "seed %d: wire %d\n%s", seed, p.Transport.(*wire).ID, raw)
			}
		}
		for _, h := range known.Handlers {
			for _, p := range known.Proxies {
				x := p.Transport.(*wire)
				if h.Delivered() && !x.OK {
					require.False(t, slices.ContainsFunc(x.seen, func(a arrival) bool { return a.by == h.Module }))
				}
			}
		}
	}
	t.Log(arrivals, byNone, changed)
	require.Greater(t, arrivals, 1000)
	require.Greater(t, byNone, 100)
	require.Greater(t, changed, 20)
	require.Less(t, byNone, arrivals)
}

// doorOf is the door that a request has come through, or nil.
func doorOf(a arrival) any {
	if a.by == nil {
		return nil
	}
	return a.by
}

// summary is what is known, without the modules themselves.
func summary(m *routes.Map) []string {
	var lines []string
	for _, h := range m.Handlers {
		id := h.Module.(*door).ID
		lines = append(lines, fmt.Sprintf("door %d: delivered %v, own errors %v", id, h.Delivered(), h.OwnErrors))
	}
	for _, p := range m.Proxies {
		var behind []int
		for _, h := range p.Behind() {
			behind = append(behind, h.Module.(*door).ID)
		}
		slices.Sort(behind)
		lines = append(lines, fmt.Sprintf("wire %d: behind %v", p.Transport.(*wire).ID, behind))
	}
	for _, f := range m.Findings() {
		lines = append(lines, fmt.Sprint(f.Wrong, f.Message, f.Sites, f.Upstreams))
	}
	slices.Sort(lines)
	return lines
}
