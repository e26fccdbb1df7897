package routes

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// kind is how a reverse_proxy sends requests.
type kind int

const (
	other    kind = iota // by a transport that is not known
	plain                // by Caddy's own http transport
	delivers             // by the transport elasticsearch_jwt
)

// proxy follows a reverse_proxy. A request that it has sent only goes on if handle_response says so.
func (w *walker) proxy(module *reverseproxy.Handler, in states, at place) states {
	p := w.proxies[module]
	if p == nil {
		p = w.newProxy(module)
		w.proxies[module] = p
		w.found.Proxies = append(w.found.Proxies, p)
	}
	p.sites.add(at)
	for h, state := range in {
		switch {
		case h != nil:
			p.behind[h] = union(p.behind[h], state.changes)
			if module.Headers != nil && module.Headers.Request != nil {
				p.behind[h] = union(p.behind[h], w.changesOf(module.Headers.Request, h, "header_up"))
			}
			h.Proxies = union(h.Proxies, []*Proxy{p})
		case w.errorsFrom > 0:
			p.openToErrors = true
		default:
			p.open = true
		}
	}
	var out states
	for i := range module.HandleResponse {
		// One without routes goes on too, unless it is for a status alone.
		if handler := &module.HandleResponse[i]; handler.StatusCode == "" || len(handler.Routes) > 0 {
			out = out.join(w.routes(handler.Routes, in, at))
		}
	}
	if len(out) > 0 {
		p.goesOn = true
		return out
	}
	return w.end(module, in)
}

func (w *walker) newProxy(module *reverseproxy.Handler) *Proxy {
	p := &Proxy{
		Transport: transportOf(module),
		module:    module,
		behind:    make(map[*Handler][]*change),
	}
	for _, upstream := range module.Upstreams {
		p.upstreams = union(p.upstreams, []string{normalize(upstream.Dial)})
	}
	p.upstreams = union(p.upstreams, dynamic(upstreamsSourceOf(module)))
	switch t := p.Transport.(type) {
	case nil:
		p.kind, p.plainHTTP = plain, module.TransportRaw == nil
		if module.TransportRaw != nil {
			p.kind = other // it cannot be read
		}
	case *reverseproxy.HTTPTransport:
		p.kind, p.plainHTTP = plain, t.TLS == nil
	case reverseproxy.TLSTransport:
		p.plainHTTP = !t.TLSEnabled()
	}
	if p.Transport != nil && w.modules.Delivers(p.Transport) {
		p.kind = delivers
	}
	if p.plainHTTP && len(p.upstreams) > 0 {
		p.plainHTTP = slices.ContainsFunc(p.upstreams, func(u string) bool { return !strings.HasPrefix(u, "unix") })
	}
	return p
}

// Nodes returns the addresses of the proxy's upstreams, each as host:port. It returns none if they are not known before
// there is a request, or if they are sockets.
func (p *Proxy) Nodes() []string {
	if upstreamsSourceOf(p.module) != nil {
		return nil
	}
	var nodes []string
	for _, upstream := range p.module.Upstreams {
		dial := upstream.Dial
		if strings.Contains(dial, "{env.") {
			dial = caddy.NewReplacer().ReplaceKnown(dial, "")
		}
		address, err := caddy.ParseNetworkAddress(dial)
		if err != nil || strings.Contains(dial, "{") || address.IsUnixNetwork() || address.PortRangeSize() != 1 {
			return nil
		}
		nodes = append(nodes, net.JoinHostPort(address.Host, fmt.Sprint(address.StartPort)))
	}
	return nodes
}

// normalize returns an upstream's address in such a way that addresses of the same node are the same.
func normalize(dial string) string {
	if strings.Contains(dial, "{env.") {
		dial = caddy.NewReplacer().ReplaceKnown(dial, "")
	}
	address, err := caddy.ParseNetworkAddress(dial)
	if err != nil {
		return dial
	}
	if address.IsUnixNetwork() {
		return "unix/" + address.Host
	}
	if address.PortRangeSize() != 1 {
		return dial
	}
	host := strings.TrimSuffix(strings.ToLower(address.Host), ".")
	if isLoopback(host) {
		host = "localhost"
	}
	return net.JoinHostPort(host, fmt.Sprint(address.StartPort))
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// dynamic returns what stands for the upstreams of a source that finds them for each request.
func dynamic(source any) []string {
	switch s := source.(type) {
	case nil:
		return nil
	case *reverseproxy.AUpstreams:
		return []string{normalize(net.JoinHostPort(s.Name, s.Port))}
	case *reverseproxy.SRVUpstreams:
		return []string{fmt.Sprintf("srv %s %s %s", s.Service, s.Proto, strings.ToLower(s.Name))}
	default:
		return nil
	}
}
