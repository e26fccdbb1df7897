package esjwt

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/eserror"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/headersize"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/nodefault"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/proof"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/retry"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rewrite"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/throttle"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

func init() {
	caddy.RegisterModule(new(Transport))
}

const (
	// authenticatedVar is the variable of a request that the handler has let through. Its value is an
	// *admission, for the transport.
	authenticatedVar = "elasticsearch_jwt.client"

	// idleConnsPerHost is how many idle connections to a node are kept. Requests come in bursts. A connection
	// that is not kept after a burst costs a TLS handshake in the next one.
	idleConnsPerHost = 512
)

// Transport is Caddy's http transport, with the same settings, made for the nodes of a cluster:
//
//   - It has the last word on who a request is from: it removes the identity headers that header_up or a
//     handler behind elasticsearch_jwt has set, and sets those that follow from the client's certificate.
//   - It sends only what elasticsearch_jwt has let in. It answers any other request with 502 and the reason
//     not_admitted. Active health checks are sent as they are, or as the user of health_principal.
//   - It adds the shared secret of an Elasticsearch JWT realm to requests of clients with a certificate.
//     The log lines of reverse_proxy, which print almost every header, do not have it. They do not have a
//     client's own ES-Client-Authentication either.
//   - It never sends a node more headers than it reads (see max_header_size of elasticsearch_jwt), also if
//     header_up has added some. It answers such a request with 431.
//   - It answers a request with 400 whose body cannot be read to its end, or which has a header or a method that
//     cannot be sent. For Caddy's own transport these are failures of the node, which fail_duration counts.
//   - It answers a request with 502 by itself over which a node closes the connection, if the node accepts another
//     one over TLS. For Caddy's own transport that is a failure of the node, too.
//   - It sends a node the whole body of a request. What another node has left of it, which can be nothing, Caddy's
//     own transport sends as if it were all. This one answers with 502, unless request_buffers has kept the body.
//   - It speaks HTTP/1.1, unless versions says otherwise. Over HTTP/2, OpenSearch reads only a few KB of
//     headers, fewer than it reads over HTTP/1.1, and Elasticsearch does not speak it.
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

	// The user that active health checks are for the cluster. They go with a token of the
	// elasticsearch_jwt in front of the reverse_proxy, for that name and with no groups, and with the
	// shared secret. Without it they go as they are: with the headers of health_headers, or nobody's.
	// It is a name, {env.*} or {file.*}. Default: none.
	HealthPrincipal string `json:"health_principal,omitempty"`

	secret   *watch.Setting[string]
	nodes    *retry.Transport
	proofs   *proof.Proofs
	logger   *zap.Logger
	warnings throttle.Throttle

	app     *App
	inFront []*Handler // known when the app has begun
	checks  healthChecks
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
	t.logger = ctx.Logger()
	var err error
	if t.app, err = appOf(ctx); err != nil {
		return err
	}
	if t.SharedSecret != "" {
		if t.secret, err = setting.WatchHeaderSecret(t.SharedSecret, ctx.Logger()); err != nil {
			return setting.In("shared_secret", err)
		}
		t.app.watch(t.secret)
	}
	if t.KeepAlive == nil {
		t.KeepAlive = new(reverseproxy.KeepAlive)
	}
	if t.KeepAlive.MaxIdleConnsPerHost == 0 {
		t.KeepAlive.MaxIdleConnsPerHost = idleConnsPerHost
	}
	if len(t.Versions) == 0 {
		t.Versions = []string{"1.1"}
	}
	if err := t.HTTPTransport.Provision(ctx); err != nil {
		return setting.WithRedactedURLs(err)
	}
	if err := t.provisionHealthChecks(ctx); err != nil {
		return setting.In("health_principal", err)
	}
	t.nodes = retry.New(&t.HTTPTransport, metrics.retries.Inc)
	t.proofs = proof.New(&t.HTTPTransport)
	return t.app.lookOnce(ctx)
}

// RoundTrip implements [http.RoundTripper]. It is the last code that sees a request before the node does, below
// header_up and every handler, so it has the last word on who the request is from.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	admitted := admissionOf(req.Context())
	switch {
	case admitted != nil:
	case isHealthCheck(req):
		return t.checkHealth(req)
	default:
		return t.refuse(req), nil
	}
	if req.Method == http.MethodConnect {
		// net/http would send its body as it is, without a length, and the node take it for the next requests.
		return refuseToSend(req, admitted, refuseNoPath()), nil
	}
	limit := admitted.handler.MaxHeaderSize
	out, size := t.deliver(req, admitted)
	if size > limit {
		return refuseToSend(req, admitted, refuseTooLarge(limit)), nil
	}
	node, _ := reverseproxy.GetDialInfo(req.Context())
	t.SetScheme(out) // a node that must prove something is asked at this URL
	if err := t.prove(out, node.Address, admitted); err != nil {
		if req.Context().Err() != nil {
			return nil, context.Cause(req.Context()) // the client has gone, and nobody has refused it
		}
		return refuseToSend(req, admitted, refuseNoCredential(credential.AsRefusal(err))), nil
	}
	res, err := t.send(out, node.Address, admitted)
	switch {
	case err != nil && isHeaderListTooLarge(err):
		return refuseToSend(req, admitted, refuseTooLarge(limit)), nil
	case err != nil:
		if status, kind := otherFault(err); status != 0 {
			return eserror.Response(req, status, kind, err.Error()), nil
		}
		if answer := t.answerForNode(req, node, err); answer != nil {
			return answer, nil
		}
		t.proofs.Forget(node.Address)
		return nil, explained(err, node.Address, out)
	case res.StatusCode == http.StatusUnauthorized && admitted.isUnsure():
		return refuseUnsure(req, admitted, res), nil
	case isRefusal(res.StatusCode):
		t.listen(sent{admitted, out.Header[rewrite.ClientAuthentication] != nil}, node.Address, res)
	}
	return res, nil
}

// prove returns why a node must not get a request: it may not obey the client's credential.
func (t *Transport) prove(out *http.Request, node string, admitted *admission) error {
	if admitted.client == nil || admitted.handler.cache == nil {
		return nil
	}
	prover, ok := admitted.handler.cache.Maker().(credential.Prover)
	if !ok {
		return nil
	}
	return t.proofs.Check(out, node, prover, admitted.credential)
}

// refuseToSend answers a request that no node must get.
func refuseToSend(req *http.Request, admitted *admission, refusal *Refusal) *http.Response {
	_ = admitted.handler.refused(req, refusal) // an error would be a failure of the node, for reverse_proxy
	reason := identity.Reason(refusal.Reason)
	res := eserror.Response(req, reason.Status(), kindOf(reason), refusal.Error())
	if res.StatusCode == http.StatusServiceUnavailable {
		res.Header.Set("Retry-After", retryAfter)
	}
	return res
}

// otherFault returns the status and the kind of error for a request that could not be sent, if that is no fault of the
// node's. Otherwise the status is 0.
func otherFault(err error) (status int, kind string) {
	limit, ofHandler := errors.AsType[caddyhttp.HandlerError](err)
	_, ofBody := errors.AsType[*retry.BodyError](err)
	switch {
	case errors.Is(err, retry.ErrBodyGone):
		return http.StatusBadGateway, eserror.NodeDisconnected
	case ofBody && ofHandler && limit.StatusCode != 0:
		return limit.StatusCode, eserror.IllegalArgument // such as that of request_body
	case ofBody, errors.Is(err, retry.ErrHeader), errors.Is(err, retry.ErrMethod):
		return http.StatusBadRequest, eserror.IllegalArgument
	default:
		return 0, ""
	}
}

// deliver returns the request to send, and the size of its headers: without any identity header, whoever put it there,
// but those of the admission.
//
// The request is reverse_proxy's own, so it is changed in place, as long as nothing in it is a secret that the log lines
// of reverse_proxy would print. They do not print an Authorization.
func (t *Transport) deliver(req *http.Request, admitted *admission) (out *http.Request, size int) {
	h := admitted.handler
	secret := t.secretFor(h)
	if admitted.client == nil {
		secret = nil // it says that the proxy vouches for the client
	}
	place := &admitted.byTransport
	if admitted.renewed || admitted.sent && !h.rewriter.SetsOne() { // net/http may still be reading these headers
		own := *req
		own.Header = maps.Clone(req.Header)
		req, place = &own, new([1]string)
	}
	req.Trailer = nil
	out = req
	size, sent := h.rewriter.Sweep(req.Header, place)
	if sent {
		return req, headersize.Sent(req, size) // net/http may still be reading these headers
	}
	rewrite.DropUpgrade(req.Header, admitted.upgrade)
	if secret != nil || admitted.own.HasSecret() || h.rewriter.Hidden() {
		own := *req
		own.Header = maps.Clone(req.Header)
		out = &own
	}
	size += admitted.set(out.Header, place)
	admitted.sent = true
	if secret != nil {
		size += rewrite.SetSharedSecret(out.Header, secret.Get())
	}
	return out, headersize.Sent(out, size)
}

// scheme returns that of the requests to nodes.
func (t *Transport) scheme() string {
	if t.TLSEnabled() {
		return "https"
	}
	return "http"
}

// secretFor returns the shared secret for requests that a handler has let in: the transport's, or else the handler's. It
// is nil if there is none.
func (t *Transport) secretFor(h *Handler) *watch.Setting[string] {
	if t.secret != nil {
		return t.secret
	}
	return h.secret
}

// refuse answers a request that no handler has let in.
func (t *Transport) refuse(req *http.Request) *http.Response {
	refusal := refuseNotAdmitted(req)
	metrics.refused(identity.NotAdmitted)
	logDecision(req, &decision{certificate: certificateOf(req), reason: refusal.Reason})
	if times, due := t.warnings.Due(refusal.Error(), time.Now()); due {
		t.logger.Error("requests that no elasticsearch_jwt has let in are not sent (this is logged once a minute)",
			zap.String("reason", refusal.Reason),
			zap.String("advice", refusal.Detail),
			zap.Int("times", times),
			zap.String("host", req.Host),
			zap.String("remote_addr", req.RemoteAddr),
		)
	}
	return eserror.Response(req, identity.NotAdmitted.Status(), eserror.Security, refusal.Error())
}

// explained adds to the error of a request to a node, which can be nil, what to do about it.
func explained(err error, node string, sent *http.Request) error {
	if err == nil {
		return nil
	}
	return nodefault.Explain(err, node, sent.URL.Scheme == "https")
}

// isHeaderListTooLarge reports whether an error says that the headers are larger than a node reads over HTTP/2
// (SETTINGS_MAX_HEADER_LIST_SIZE, RFC 9113 section 6.5.2). The error of net/http has no type, so its text must do.
func isHeaderListTooLarge(err error) bool {
	return strings.Contains(err.Error(), "request header list larger than peer's advertised limit")
}

// UnmarshalCaddyfile sets up the transport from Caddyfile tokens:
//
//	elasticsearch_jwt {
//	    shared_secret    <placeholder>
//	    health_principal <name>
//	    … every setting of the http transport
//	}
func (t *Transport) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the transport's name
	if d.NextArg() {
		return d.Errf("the transport takes no %q: write its settings in a block", d.Val())
	}
	for d.NextBlock(0) {
		var field *string
		name, parse := d.Val(), setting.ParseString
		switch name {
		case "shared_secret":
			field, parse = &t.SharedSecret, setting.ParseSecret
		case "health_principal":
			field = &t.HealthPrincipal
		default:
			d.NextSegment()
			continue
		}
		if *field != "" {
			return d.Errf("%s is there twice", name)
		}
		if err := parse(d, field); err != nil {
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
