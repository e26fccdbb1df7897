package esjwt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/name"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/retry"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rewrite"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// This file gives the active health checks of reverse_proxy an identity. They come from Caddy itself, past all
// handlers, and a node with security answers 401 to those without credentials.

// isHealthCheck reports whether a request is one of reverse_proxy's active health checks. They are no client's: Caddy
// gives variables to each request that it gets.
func isHealthCheck(req *http.Request) bool {
	return req.Context().Value(caddyhttp.VarsCtxKey) == nil
}

// healthChecks are the health checks of one reverse_proxy.
type healthChecks struct {
	principal string // empty: they are sent as they are

	as   func() (checker, error) // finds out once whose tokens they have
	last sync.Map                // the status of the last answer, by the node's address
}

// checker is who asks.
type checker struct {
	handler *Handler // whose tokens the checks have
	client  *identity.Client
}

// provisionHealthChecks checks the name, and that it has a use.
func (t *Transport) provisionHealthChecks(ctx caddy.Context) error {
	if t.HealthPrincipal == "" {
		return nil
	}
	principal, err := setting.Resolve(t.HealthPrincipal)
	if err == nil {
		err = name.Safe(principal, name.Plain)
	}
	if err != nil {
		return fmt.Errorf("%w; it is a user of the cluster, for health checks alone: write a name such as caddy-health",
			err)
	}
	active := activeHealthChecks(ctx)
	if active == nil {
		t.logger.Warn("health_principal does nothing, since there are no active health checks: " +
			"write `health_uri /` beside the transport, or leave health_principal out")
		return nil
	}
	for header := range active.Headers {
		if rewrite.Always.Protects(header) {
			return fmt.Errorf("the health checks have the header %s too, by health_headers: leave one of them out",
				http.CanonicalHeaderKey(header))
		}
	}
	t.checks.principal, t.checks.as = principal, sync.OnceValues(t.newChecker)
	return nil
}

// activeHealthChecks returns those of the reverse_proxy around the transport, or nil if it has none.
func activeHealthChecks(ctx caddy.Context) *reverseproxy.ActiveHealthChecks {
	for _, module := range slices.Backward(ctx.Modules()) { // the inner ones are last
		proxy, ok := module.(*reverseproxy.Handler)
		if !ok {
			continue
		}
		if proxy.HealthChecks == nil || proxy.HealthChecks.Active == nil || !proxy.HealthChecks.Active.IsEnabled() {
			return nil
		}
		return proxy.HealthChecks.Active
	}
	return nil
}

// checkHealth sends a health check to a node: as the user of health_principal, or else as it is.
func (t *Transport) checkHealth(req *http.Request) (*http.Response, error) {
	node, _ := reverseproxy.GetDialInfo(req.Context())
	if t.checks.principal == "" {
		res, err := t.nodes.Send(req, node.Address, "", new(retry.Attempts))
		if err == nil && res.StatusCode == http.StatusUnauthorized && req.Header["Authorization"] == nil {
			t.warnOfNobody(node.Address)
		}
		return res, explained(err, node.Address, req)
	}
	as, with, err := t.healthCredential(req.Context())
	if err != nil {
		return t.skip(req, node.Address, err)
	}
	ours := *req
	ours.Header = maps.Clone(req.Header)
	admitted := &admission{decision: decision{credential: with}, handler: as.handler, client: as.client}
	asked := sent{admitted, t.setHealthHeaders(ours.Header, admitted)}
	res, err := t.nodes.Send(&ours, node.Address, with.KeyID, new(retry.Attempts))
	if err != nil {
		t.checks.last.Store(node.Address, http.StatusServiceUnavailable)
		return nil, explained(err, node.Address, &ours)
	}
	t.checks.last.Store(node.Address, res.StatusCode)
	if isRefusal(res.StatusCode) {
		t.listen(asked, node.Address, res)
	}
	return res, nil
}

// warnOfNobody warns of a node that refuses health checks for having no credentials.
func (t *Transport) warnOfNobody(node string) {
	if times, due := t.warnings.Due("health checks of nobody", time.Now()); due {
		t.logger.Warn("a node answers health checks with 401, and counts as unhealthy (this is logged once a minute)",
			zap.String("node", node),
			zap.String("advice", "they have no credentials: write `health_principal caddy-health` into "+
				"transport elasticsearch_jwt, and give that user the roles that health_uri needs"),
			zap.Int("times", times),
		)
	}
}

// setHealthHeaders sets the headers of a health check, each with one value, and reports whether the shared secret is
// among them.
func (t *Transport) setHealthHeaders(h http.Header, as *admission) (secret bool) {
	rw := as.handler.rewriter
	rw.TakeBack(h)
	for i := range rw.Count(as.credential) {
		// A header whose value depends on the certificate is left out.
		if name, value := rw.Header(i, as.credential, as.client.Headers); value != "" {
			h[name] = []string{value}
		}
	}
	shared := t.secretFor(as.handler)
	if shared == nil {
		return false
	}
	rewrite.SetSharedSecret(h, shared.Get())
	return true
}

// never is when the credentials of health checks end, which have no certificate that would end them.
const never = 1 << 40

// healthCredential returns the credential of a health check. reverse_proxy sends the first checks while it is being
// provisioned, when there are neither all handlers nor keys. It waits for them for half of the time that the check has.
func (t *Transport) healthCredential(ctx context.Context) (checker, *credential.Credential, error) {
	now := time.Now()
	if end, ok := ctx.Deadline(); ok {
		half, cancel := context.WithDeadline(ctx, now.Add(end.Sub(now)/2))
		defer cancel()
		ctx = half
	}
	select {
	case <-t.app.begun:
	case <-ctx.Done():
		return checker{}, nil, errors.New("the configuration is still being loaded")
	}
	as, err := t.checks.as()
	if err != nil {
		return checker{}, nil, err
	}
	with, err := as.handler.kind.Get(ctx, wants(as.client, nil, never), now, as.audit)
	return as, with, err
}

// newChecker finds out whose tokens health checks have: those of the handler in front of the transport.
func (t *Transport) newChecker() (checker, error) {
	if len(t.inFront) == 0 {
		return checker{}, errors.New("there is no elasticsearch_jwt in front of this reverse_proxy, " +
			"whose issuer and keys a health check could have: write one before it, or leave health_principal out")
	}
	first, err := t.inFront[0].checker(t.checks.principal)
	if err != nil {
		return checker{}, err
	}
	for _, h := range t.inFront[1:] {
		other, err := h.checker(t.checks.principal)
		if err != nil {
			return checker{}, err
		}
		if !first.equals(other) {
			t.logger.Warn("the elasticsearch_jwt in front of this reverse_proxy have different settings or keys: "+
				"its health checks have tokens of the first one",
				zap.String("issuer", first.handler.identifier.Issuer()), zap.String("keys", first.handler.Keys))
			break
		}
	}
	return first, nil
}

// checker returns who a health check is that has a token of this handler.
func (h *Handler) checker(principal string) (checker, error) {
	if err := h.takesNames(); err != nil {
		return checker{}, err
	}
	client, err := h.identifier.Named(principal)
	return checker{h, client}, err
}

// equals reports whether a node gets the same from two checkers.
func (c checker) equals(other checker) bool {
	return c.handler.keys == other.handler.keys &&
		bytes.Equal(c.handler.CredentialRaw, other.handler.CredentialRaw) &&
		c.client.Lifetime == other.client.Lifetime && c.client.Same(other.client)
}

// audit logs a credential that is made for health checks.
func (c checker) audit(made *credential.Credential) {
	c.handler.logMade("token signed for health checks", "credential made for health checks", c.client, made,
		[]zap.Field{zap.String("user", c.client.Name())})
}

// skip answers a health check that cannot be sent for want of a token. It answers as the node did last, so that the
// node stays what it was: that there is no key is no fault of the node, which may have clients with tokens or
// credentials of their own.
func (t *Transport) skip(req *http.Request, node string, why error) (*http.Response, error) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err // the configuration has ended
	}
	if times, due := t.warnings.Due("skipped health checks", time.Now()); due {
		t.logger.Warn("health checks are not sent, and nodes stay what they were (this is logged once a minute)",
			zap.String("node", node), zap.Int("times", times), zap.Error(why))
	}
	status := http.StatusOK
	if last, ok := t.checks.last.Load(node); ok {
		status = last.(int)
	}
	return &http.Response{
		StatusCode: status,
		Status:     strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status))),
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     make(http.Header),
		Body:       http.NoBody,
		Request:    req,
	}, nil
}
