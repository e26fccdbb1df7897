package esjwt

import (
	"fmt"
	"maps"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func init() {
	caddy.RegisterModule(new(Transport))
}

const (
	// clientAuthHeader carries the shared secret of a realm whose client_authentication.type
	// is shared_secret.
	clientAuthHeader = "Es-Client-Authentication"

	// authenticatedVar is the variable by which the transport knows a request that the handler
	// has let through as a client.
	authenticatedVar = "elasticsearch_jwt.client"
)

// setSharedSecret sets the header by which Elasticsearch knows the proxy.
func setSharedSecret(h http.Header, secret string) {
	h[clientAuthHeader] = []string{"SharedSecret " + secret}
}

// Transport is Caddy's http transport, with the same settings, and one more: the shared secret
// of an Elasticsearch JWT realm. It adds the secret below reverse_proxy, whose log lines print
// every header but a few, and only to requests that elasticsearch_jwt has let through as the
// holder of a certificate.
type Transport struct {
	reverseproxy.HTTPTransport

	// The realm's client_authentication.shared_secret, sent as ES-Client-Authentication. It
	// is a {file.*} or {env.*} placeholder; a changed file is noticed.
	SharedSecret string `json:"shared_secret,omitempty"`

	secret *watched[string]
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
		if t.secret, err = watchSecret(t.SharedSecret, ctx.Logger()); err != nil {
			return inSetting("shared_secret", err)
		}
		app, err := ctx.App("elasticsearch_jwt")
		if err != nil {
			return fmt.Errorf("loading the app elasticsearch_jwt: %w", err)
		}
		app.(*App).watch(t.secret)
	}
	return t.HTTPTransport.Provision(ctx)
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	admitted, ok := caddyhttp.GetVar(req.Context(), authenticatedVar).(*admission)
	if t.secret == nil || !ok || admitted.over.Load() {
		return t.HTTPTransport.RoundTrip(req)
	}
	// The caller logs its own request: this one is ours.
	ours := *req
	ours.Header = maps.Clone(req.Header)
	setSharedSecret(ours.Header, t.secret.get())
	return t.HTTPTransport.RoundTrip(&ours)
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
		if err := parseString(d, &t.SharedSecret); err != nil {
			return err
		}
		if err := checkSecretPlaceholder(d, t.SharedSecret); err != nil {
			return err
		}
		d.DeleteN(2) // the http transport does not know it
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
