package esjwt

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
)

// What the admin API answers, for tests that read it.
type (
	SetStatus = keyset.Status
	KeyStatus = keyset.KeyStatus
)

// AdminRoutes are the routes of the admin API of this app, in a process that has several.
func (a *App) AdminRoutes() []caddy.AdminRoute {
	api := &adminAPI{running: func() *App { return a }}
	return api.Routes()
}

// Started tells the app, as Caddy does, that all apps have started.
func (a *App) Started() { _ = startedHandler{a}.Handle(context.Background(), caddy.Event{}) }

// OnceStarted has something done in its turn with the app's events.
func (a *App) OnceStarted(send func()) { a.onceStarted(send) }

// Deliver tells the handler that the transport sets the headers, as [App.Start] does.
func (h *Handler) Deliver() { h.delivered.Store(true) }

// Explained is the principal of a certificate, or the reason for which it has none.
func (h *Handler) Explained(sent ...*x509.Certificate) string {
	e := h.explain(sent, time.Now())
	return e.Principal + e.Reason
}

// SetClock gives the app, before it starts, a clock of its own for its keys.
func (a *App) SetClock(now func() time.Time) {
	for _, ks := range a.sets {
		ks.Now = now
	}
}

// ClockedSet is what the default key set of an app does at an instant, whatever the clock says.
type ClockedSet struct{ ks *signingSet }

// DefaultSet is the app's default key set.
func (a *App) DefaultSet() ClockedSet { return ClockedSet{a.sets[defaultKeySet]} }

// Ready reports whether there is a key to sign with.
func (c ClockedSet) Ready(now time.Time) bool {
	current := c.ks.State.Current()
	return current != nil && current.Signing(now) != nil
}

// Published are the kids of the JWKS.
func (c ClockedSet) Published(now time.Time) []string {
	var kids []string
	for _, r := range c.ks.State.Current().Published(now) {
		kids = append(kids, r.ID)
	}
	return kids
}

// Document is the JWKS.
func (c ClockedSet) Document(now time.Time) (string, error) {
	document, err := renderJWKS([]*keyset.Set{c.ks.Set}, now)
	if err != nil {
		return "", err
	}
	return string(document.body), nil
}

// Signs is which key signs for a client, and until when the client's token lives.
func (c ClockedSet) Signs(client string, now time.Time) (kid string, expires time.Time) {
	w := token.WindowAt(now.Unix(), timing.DefaultLifetime, clientClaims(client), 1<<62)
	return c.ks.State.Current().SigningFor(time.Unix(w.Start, 0), now).ID, time.Unix(w.Expires, 0)
}

// Token is a new client's token.
func (c ClockedSet) Token(client string, now time.Time) (string, error) {
	holder := &token.Holder{Claims: clientClaims(client), Lifetime: timing.DefaultLifetime}
	wants := &credential.Client{Holder: holder, NotAfter: 1 << 62}
	signed, err := c.ks.signer.Get(context.Background(), wants, now, func(*credential.Credential) {})
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(signed.Authorization, token.Bearer), nil
}

func clientClaims(client string) token.Claims {
	return token.Claims{Members: fmt.Appendf(nil, `"sub":%q,`, client)}
}
