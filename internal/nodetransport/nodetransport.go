// Package nodetransport sends what the proxy asks a node on its own behalf over Caddy's http transport.
package nodetransport

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/nodefault"
)

// Over returns a transport for the proxy's own requests. Caddy's takes from each request what reverse_proxy has put into
// it, which is not there, or is that of a client's request to another node:
//
//   - the placeholders of tls_server_name. Without a replacer it panics, in a goroutine of its own.
//   - the client's address, for proxy_protocol, without which no connection is made.
//   - the address to connect to. A connection to another node would be kept as one to this node.
//
// An error says what to do about it, where that is known.
func Over(transport *reverseproxy.HTTPTransport) http.RoundTripper { return own{transport} }

type own struct{ *reverseproxy.HTTPTransport }

// RoundTrip implements [http.RoundTripper].
func (o own) RoundTrip(req *http.Request) (*http.Response, error) {
	const upstream = "http.reverse_proxy.upstream." // reverse_proxy's own placeholders
	repl := caddy.NewReplacer()
	repl.Set(upstream+"hostport", req.URL.Host)
	repl.Set(upstream+"host", req.URL.Hostname())
	repl.Set(upstream+"port", req.URL.Port())
	ctx := context.WithValue(req.Context(), caddy.ReplacerCtxKey, repl)
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{
		// A node behind proxy_protocol sees the proxy itself.
		"reverse_proxy.proxy_protocol_info": reverseproxy.ProxyProtocolInfo{AddrPort: netip.AddrPortFrom(netip.IPv4Unspecified(), 0)},
	})
	res, err := o.HTTPTransport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, nodefault.Explain(err, req.URL.Host, req.URL.Scheme == "https")
	}
	return res, nil
}
