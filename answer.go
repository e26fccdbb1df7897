package esjwt

import (
	"errors"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/eserror"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
)

// This file answers requests that are refused, or leaves that to the error routes of the site.

// serveError ends a request with an error, which is most often a [Refusal]. If the site has error routes for it, as
// handle_errors makes them, it returns the error, and they answer. Otherwise it answers itself: all that Caddy
// would send is the status.
func (h *Handler) serveError(w http.ResponseWriter, r *http.Request, err error) error {
	if before := admissionOf(r.Context()); before != nil {
		before.over.Store(true) // another handler has let the request in, and this one has the last word
	}
	if ended := r.Context().Err(); ended != nil {
		return caddyhttp.Error(statusClientClosedRequest, ended) // the client has gone
	}
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		return caddyhttp.Error(http.StatusInternalServerError, err)
	}
	if refusal.Reason == string(identity.NoCertificate) {
		refusal = h.withoutCertificate(r, refusal)
	}
	err = h.refused(r, refusal)
	reason := identity.Reason(refusal.Reason)
	w.Header().Set("Cache-Control", "no-store")
	switch reason.Status() {
	case http.StatusUnauthorized:
		w.Header()["Www-Authenticate"] = h.challenges(r)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	default:
	}
	if h.hasErrorRoutes(r, err) {
		return err
	}
	eserror.Write(w, r, reason.Status(), kindOf(reason), refusal.Error())
	return nil
}

// retryAfter is after how many seconds a client may ask again, when there is no key and may soon be one.
const retryAfter = "5"

// statusClientClosedRequest is the status that Caddy logs for a request whose client has gone.
const statusClientClosedRequest = 499

// kindOf returns the type that Elasticsearch's own error would have.
func kindOf(reason identity.Reason) string {
	if reason == identity.TooLarge {
		return eserror.TooLongHeader
	}
	return eserror.Security
}

// challenges returns what a client can authenticate itself with, which every 401 must say (RFC 9110 section 11.6.1).
//
// No scheme for the certificates of TLS is registered. This one is that of an Internet-Draft which has expired
// (draft-thomson-httpbis-cant). A client that does not know it shows the answer, and asks nobody for a password.
// Where a certificate is optional, a client without one is offered what Elasticsearch itself offers, in its order.
// A client that sent a certificate is not: its own credentials would count for nothing.
func (h *Handler) challenges(r *http.Request) []string {
	const certificate = `ClientCertificate realm="security"`
	if h.optional && identity.HasNoCertificate(r.TLS) {
		return []string{`Basic realm="security", charset="UTF-8"`, `Bearer realm="security"`, "ApiKey", certificate}
	}
	return []string{certificate}
}

// hasErrorRoutes reports whether error routes of the site answer an error that the handler returns. It sets the
// placeholders {http.error.*} in any case, which the access log may use.
func (h *Handler) hasErrorRoutes(r *http.Request, err error) bool {
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return true // it is not Caddy's server, and shall see the error
	}
	_, isErrorRoute := r.Context().Value(caddyhttp.ErrorCtxKey).(error)
	failed := asItCame(server.Errors.WithError(r, err))
	if isErrorRoute {
		return false // the handler is in one, and for its own errors there is no other
	}
	return h.ownErrors.Load() || server.Errors != nil && answers(server.Errors.Routes, failed)
}

// asItCame returns a request as Caddy's server has got it, before handlers such as handle_path rewrote it. Error
// routes are asked about that one.
func asItCame(r *http.Request) *http.Request {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok {
		return r
	}
	came := *r
	came.Method, came.RemoteAddr, came.RequestURI, came.URL = original.Method, original.RemoteAddr,
		original.RequestURI, original.URL
	return &came
}

// answers reports whether one of the routes matches a request and does something with it. In a site's Caddyfile,
// `handle_errors 5xx` is a route for the site's host, which has a route for these statuses in it.
func answers(routes caddyhttp.RouteList, r *http.Request) bool {
	return slices.ContainsFunc(routes, func(route caddyhttp.Route) bool {
		matches, err := route.MatcherSets.AnyMatchWithError(r)
		return err != nil || matches && slices.ContainsFunc(route.Handlers, func(h caddyhttp.MiddlewareHandler) bool {
			inner, ok := h.(*caddyhttp.Subroute)
			return !ok || answers(inner.Routes, r)
		})
	})
}
