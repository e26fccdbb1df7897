package esjwt

import (
	"context"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/nodetransport"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rewrite"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/routes"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/site"
)

// lookOnce looks at the routes of the whole configuration when the first of the plugin's modules in it is being
// provisioned, so that `caddy validate` says what is wrong. ctx is the context of that module.
func (a *App) lookOnce(ctx caddy.Context) error {
	http := httpAppAround(ctx)
	if http == nil {
		return nil // as in some tests
	}
	a.looking.Do(func() {
		seen := routes.Look(http, ownModules)
		if a.wrong = a.report(seen.Findings()); a.wrong == nil {
			a.wrong = checkHealthPrincipals(seen)
		}
		a.warnOfSilentSites(http, seen)
		if seen.Complete {
			a.warnOfUse(seen)
		}
	})
	return a.wrong
}

// httpAppAround returns the http app that a module is in.
func httpAppAround(ctx caddy.Context) *caddyhttp.App {
	for _, module := range ctx.Modules() {
		if app, ok := module.(*caddyhttp.App); ok {
			return app
		}
	}
	return nil
}

// report logs what may be wrong, and returns the first thing that certainly is.
func (a *App) report(findings []*routes.Finding) error {
	for _, f := range findings {
		if f.Wrong {
			return f
		}
		fields := []zap.Field{zap.Strings("sites", f.Sites)}
		if len(f.Upstreams) > 0 {
			fields = append(fields, zap.Strings("upstreams", f.Upstreams))
		}
		a.logger.Warn(f.Message, fields...)
	}
	return nil
}

// checkHealthPrincipals returns an error if the health checks of a transport can never have a credential of the handler
// in front of it.
func checkHealthPrincipals(seen *routes.Map) error {
	for _, p := range seen.Proxies {
		t, ok := p.Transport.(*Transport)
		if !ok || t.HealthPrincipal == "" || len(p.Behind()) == 0 {
			continue
		}
		if err := p.Behind()[0].Module.(*Handler).takesNames(); err != nil {
			return setting.In("health_principal", err)
		}
	}
	return nil
}

// warnOfSilentSites warns of sites that ask no client for a certificate, and have a handler that requires one.
func (a *App) warnOfSilentSites(http *caddyhttp.App, seen *routes.Map) {
	hosts := make(map[string]map[string]bool) // by server
	for _, h := range seen.Handlers {
		if h.Module.(*Handler).Certificate == certificateOptional {
			continue
		}
		for server, its := range h.Hosts {
			if hosts[server] == nil {
				hosts[server] = make(map[string]bool)
			}
			maps.Copy(hosts[server], its)
		}
	}
	for _, server := range slices.Sorted(maps.Keys(hosts)) {
		if silent := site.Silent(http.Servers[server], slices.Sorted(maps.Keys(hosts[server]))); len(silent) > 0 {
			a.logger.Warn("sites ask clients for no certificate, so that their elasticsearch_jwt refuses everybody: "+
				"write `tls { client_auth { mode request } }` into them, one setting a line", zap.Strings("sites", silent))
		}
	}
}

// warnOfUse warns of key sets that nothing uses, or whose keys are not published.
func (a *App) warnOfUse(seen *routes.Map) {
	a.warnedOfUse = true
	signs := make(map[string]bool)
	for _, h := range seen.Handlers {
		if h.Keys != "" {
			signs[h.Keys] = true
		}
	}
	for name := range signs {
		_, _ = a.keySet(name) // the default set may not be there yet; a handler says if another one is not
	}
	for _, name := range slices.Sorted(maps.Keys(a.sets)) {
		a.sets[name].WarnOfUse(signs[name], seen.Published[name])
	}
}

// lookAgain is lookOnce for a configuration that is provisioned: it tells each handler what is behind it, and each
// transport what is in front of it.
func (a *App) lookAgain(ctx context.Context) {
	app, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return
	}
	http, ok := app.(*caddyhttp.App)
	if !ok {
		return
	}
	seen := routes.Look(http, ownModules)
	for _, h := range seen.Handlers {
		handler := h.Module.(*Handler)
		handler.delivered.Store(h.Delivered())
		handler.ownErrors.Store(h.OwnErrors)
		handler.beginCredentials(ctx, nodesBehind(h))
	}
	for _, p := range seen.Proxies {
		if t, ok := p.Transport.(*Transport); ok {
			for _, h := range p.Behind() {
				t.inFront = append(t.inFront, h.Module.(*Handler))
			}
		}
	}
}

// nodesBehind returns the nodes that a handler's requests go to, over the transport of the first reverse_proxy that has
// one of this plugin. If their addresses are not known, it returns one node without an address, to be asked at another.
func nodesBehind(h *routes.Handler) []cluster.Node {
	var nodes []cluster.Node
	for _, p := range h.Proxies {
		t, ok := p.Transport.(*Transport)
		if !ok {
			continue
		}
		over := nodetransport.Over(&t.HTTPTransport)
		for _, address := range p.Nodes() {
			nodes = append(nodes, cluster.NewNode(t.scheme()+"://"+address, over))
		}
		if len(nodes) == 0 {
			nodes = append(nodes, cluster.NewNode("", over))
		}
		break
	}
	return nodes
}

// ownModules tells the plugin's modules from others.
var ownModules = routes.Modules{
	Door: func(handler any) (routes.Door, bool) {
		h, ok := handler.(*Handler)
		if !ok {
			return routes.Door{}, false
		}
		return h.door(), true
	},
	Published: func(handler any) ([]string, bool) {
		j, ok := handler.(*JWKS)
		if !ok {
			return nil, false
		}
		if len(j.Keys) == 0 {
			return []string{defaultKeySet}, true
		}
		return j.Keys, true
	},
	Delivers: func(transport any) bool {
		_, ok := transport.(*Transport)
		return ok
	},
}

// door returns what the handler does to a request. The handler need not be provisioned.
func (h *Handler) door() routes.Door {
	door := routes.Door{Needs: h.needs(), Keys: h.Keys, Injects: slices.Sorted(maps.Keys(h.Headers))}
	if door.Keys == "" && door.Needs.Credential == "" {
		door.Keys = defaultKeySet
	}
	isInjected := func(name string) bool {
		return slices.ContainsFunc(door.Injects, func(injected string) bool {
			return rewrite.Fold(injected) == rewrite.Fold(name)
		})
	}
	if !isInjected("Authorization") {
		door.Injects = append(door.Injects, "Authorization")
	}
	if h.SharedSecret != "" {
		door.Injects = append(door.Injects, rewrite.ClientAuthentication)
	}
	door.Protects = func(name string) bool { return rewrite.Always.Protects(name) || isInjected(name) }
	return door
}
