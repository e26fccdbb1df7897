package esjwt

import (
	"maps"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/eserror"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/headersize"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/retry"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

func init() {
	caddy.RegisterModule(new(Transport))
}

const (
	// clientAuthHeader has the shared secret of a realm whose client_authentication.type is shared_secret.
	clientAuthHeader = "Es-Client-Authentication"

	// authenticatedVar is the variable of a request that the handler has let through. Its value is an
	// *admission, for the transport.
	authenticatedVar = "elasticsearch_jwt.client"

	// idleConnsPerHost is how many idle connections to a node are kept. Requests come in bursts. A connection
	// that is not kept after a burst costs a TLS handshake in the next one.
	idleConnsPerHost = 512
)

// setSharedSecret sets the header by which Elasticsearch recognizes the proxy, and returns its size.
func setSharedSecret(h http.Header, secret string) (size int) {
	value := "SharedSecret " + secret
	h[clientAuthHeader] = []string{value}
	return headersize.Line(clientAuthHeader, value)
}

// Transport is Caddy's http transport, with the same settings, made for the nodes of a cluster:
//
//   - It adds the shared secret of an Elasticsearch JWT realm to requests that elasticsearch_jwt has let
//     through with a certificate. The log lines of reverse_proxy, which print almost every header, do not
//     have it. They do not have a client's own ES-Client-Authentication either.
//   - It never sends a node more headers than it reads (see max_header_size of elasticsearch_jwt), also if
//     header_up has added some. It answers such a request with 431.
//   - It keeps 512 idle connections to each node, unless keepalive_idle_conns_per_host says otherwise.
//   - It sends a request once more, after a moment, if a node has refused it with 401 and may just have
//     failed to fetch the key of its token. It does so in the first minute in which the node refuses that
//     key, only for tokens of elasticsearch_jwt, and for requests with a body of at most 64 KiB.
type Transport struct {
	reverseproxy.HTTPTransport

	// The client_authentication.shared_secret of the realm, which is sent in the header
	// ES-Client-Authentication. It must be a {file.*} or {env.*} placeholder. A changed file is
	// noticed. Default: none.
	SharedSecret string `json:"shared_secret,omitempty"`

	secret *watch.Setting[string]
	nodes  *retry.Transport
}

// CaddyModule returns the Caddy module information.
func (*Transport) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.transport.elasticsearch_jwt",
		New: func() caddy.Module { return new(Transport) },
	}
}

// Provision sets up the transport.
func (t *Transport) Provision(ctx caddy.Context) error {
	if t.SharedSecret != "" {
		var err error
		if t.secret, err = setting.WatchHeaderSecret(t.SharedSecret, ctx.Logger()); err != nil {
			return setting.In("shared_secret", err)
		}
		app, err := appOf(ctx)
		if err != nil {
			return err
		}
		app.watch(t.secret)
	}
	if t.KeepAlive == nil {
		t.KeepAlive = new(reverseproxy.KeepAlive)
	}
	if t.KeepAlive.MaxIdleConnsPerHost == 0 {
		t.KeepAlive.MaxIdleConnsPerHost = idleConnsPerHost
	}
	if err := t.HTTPTransport.Provision(ctx); err != nil {
		return setting.WithRedactedURLs(err)
	}
	t.nodes = retry.New(&t.HTTPTransport, metrics.retries.Inc)
	return nil
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	admitted, ok := caddyhttp.GetVar(req.Context(), authenticatedVar).(*admission)
	if !ok || admitted.over.Load() {
		// It is a health check, or a request that did not come through elasticsearch_jwt.
		admitted = &admission{maxHeaderSize: headersize.Default}
	}
	ours := *req // a copy: reverse_proxy logs its own request, which must not have the secret
	ours.Header = maps.Clone(req.Header)
	if admitted.client != nil && t.secret != nil {
		setSharedSecret(ours.Header, t.secret.Get())
	}
	if ok {
		admitted.hideClientAuth(req.Header, ours.Header)
	}
	if headersize.Request(&ours) <= admitted.maxHeaderSize {
		node, _ := reverseproxy.GetDialInfo(req.Context())
		res, err := t.nodes.Send(&ours, node.Address, admitted.kid)
		if err == nil || !isHeaderListTooLarge(err) {
			return res, err
		}
	}
	metrics.refused(identity.TooLarge)
	admitted.reason = string(identity.TooLarge)
	return eserror.Response(req, identity.TooLarge.Status(), eserror.TooLongHeader,
		refuseTooLarge(admitted.maxHeaderSize).Error()), nil
}

// hideClientAuth removes the client's own ES-Client-Authentication from the headers that reverse_proxy will log. ours
// are a copy of them, which is sent, and keeps it. If the attempt fails, reverse_proxy may send the request to
// another node, so hideClientAuth remembers the header and puts it into the copy for the next attempt.
func (a *admission) hideClientAuth(logged, ours http.Header) {
	if values, ok := logged[clientAuthHeader]; ok {
		a.clientAuth = values
		delete(logged, clientAuthHeader)
	} else if _, set := ours[clientAuthHeader]; !set && a.clientAuth != nil {
		ours[clientAuthHeader] = a.clientAuth
	}
}

// isHeaderListTooLarge reports whether an error says that the headers are larger than a node reads over HTTP/2
// (SETTINGS_MAX_HEADER_LIST_SIZE, RFC 9113 section 6.5.2). The error of net/http has no type, so its text must do.
func isHeaderListTooLarge(err error) bool {
	return strings.Contains(err.Error(), "request header list larger than peer's advertised limit")
}

// UnmarshalCaddyfile sets up the transport from Caddyfile tokens:
//
//	elasticsearch_jwt {
//	    shared_secret <placeholder>
//	    … every setting of the http transport
//	}
func (t *Transport) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the transport's name
	if d.NextArg() {
		return d.Errf("the transport takes no %q: write its settings in a block", d.Val())
	}
	for d.NextBlock(0) {
		if d.Val() != "shared_secret" {
			d.NextSegment()
			continue
		}
		if t.SharedSecret != "" {
			return d.Err("shared_secret is there twice")
		}
		if err := setting.ParseSecret(d, &t.SharedSecret); err != nil {
			return err
		}
		d.DeleteN(2) // the http transport does not know this setting
	}
	d.Reset()
	return t.HTTPTransport.UnmarshalCaddyfile(d)
}

// Interface guards
var (
	_ caddy.Provisioner                                = (*Transport)(nil)
	_ caddy.CleanerUpper                               = (*Transport)(nil)
	_ http.RoundTripper                                = (*Transport)(nil)
	_ reverseproxy.TLSTransport                        = (*Transport)(nil)
	_ reverseproxy.H2CTransport                        = (*Transport)(nil)
	_ reverseproxy.ProxyProtocolTransport              = (*Transport)(nil)
	_ reverseproxy.HealthCheckSchemeOverriderTransport = (*Transport)(nil)
	_ reverseproxy.RequestHeaderOpsTransport           = (*Transport)(nil)
	_ caddyfile.Unmarshaler                            = (*Transport)(nil)
)
