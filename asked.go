package esjwt

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// ownQuestions sends what the proxy asks a node on its own behalf over Caddy's http transport. That one takes from each
// request what reverse_proxy has put into it, which is not there, or is that of a client's request to another node:
//
//   - the placeholders of tls_server_name. Without a replacer it panics, in a goroutine of its own.
//   - the client's address, for proxy_protocol, without which no connection is made.
//   - the address to connect to. A connection to another node would be kept as one to this node.
type ownQuestions struct{ *reverseproxy.HTTPTransport }

// RoundTrip implements [http.RoundTripper].
func (o ownQuestions) RoundTrip(req *http.Request) (*http.Response, error) {
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
	return res, explained(err, req.URL.Host, req)
}
