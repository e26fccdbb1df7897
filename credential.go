package esjwt

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rewrite"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/routes"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// This file is about handlers whose clients go on with something else than a token.

const (
	credentialKinds = "elasticsearch_jwt.credentials" // the namespace of the modules
	jwtKind         = "jwt"
)

// credentialKind returns the kind of credential that clients of the handler go on with.
func (h *Handler) credentialKind() string {
	var module struct {
		Kind string `json:"kind"`
	}
	if json.Unmarshal(h.CredentialRaw, &module) != nil || module.Kind == "" {
		return jwtKind
	}
	return module.Kind
}

// sendsTokens reports whether clients go on with a token.
func (h *Handler) sendsTokens() bool { return h.credentialKind() == jwtKind }

// checkCredential checks that the setting credential has a kind. Otherwise clients would go on with tokens, which nobody
// has asked for.
func (h *Handler) checkCredential() error {
	if raw := string(h.CredentialRaw); raw == "" || raw == "null" {
		return nil
	}
	var (
		members map[string]json.RawMessage
		kind    string
	)
	if json.Unmarshal(h.CredentialRaw, &members) != nil {
		return setting.In("credential", errors.New(`it is no object: write {"kind": "api_key", …}`))
	}
	if json.Unmarshal(members["kind"], &kind) != nil || kind == "" {
		return setting.In("credential", errors.New("it has no kind: use jwt or one of "+
			strings.Join(setting.ModuleNames(credentialKinds), ", ")))
	}
	if kind == jwtKind {
		if len(members) > 1 {
			return setting.In("credential", errors.New("a jwt has no settings there: they are those of elasticsearch_jwt"))
		}
		return nil
	}
	if known := setting.ModuleNames(credentialKinds); !slices.Contains(known, kind) {
		return setting.In("credential", fmt.Errorf("there is no kind %q: use jwt or one of %s", kind,
			strings.Join(known, ", ")))
	}
	return nil
}

// checkTokenSettings returns an error if the handler has settings of tokens, and sends none.
func (h *Handler) checkTokenSettings() error {
	if h.sendsTokens() {
		return nil
	}
	for _, s := range []struct {
		name  string
		isSet bool
	}{
		{"issuer", h.Issuer != ""},
		{"audience", len(h.Audience) > 0},
		{"keys", h.Keys != ""},
		{"token_type", h.TokenType != ""},
		{"lifetime", h.Lifetime != 0},
		{"principal_claim", h.PrincipalClaim != ""},
		{"audience_claim", h.AudienceClaim != ""},
		{"groups_claim", h.GroupsClaim != ""},
		{"claim", len(h.Claims) > 0},
		{"required_claim", len(h.RequiredClaims) > 0},
		{"confirmation", h.Confirmation},
		{"jti", h.TokenID},
		{"shared_secret", h.SharedSecret != ""},
	} {
		if s.isSet {
			return setting.In(s.name, fmt.Errorf("it is about tokens, and `credential %s` sends none: leave it out",
				h.credentialKind()))
		}
	}
	return nil
}

// provisionKind prepares what makes the credentials of clients.
func (h *Handler) provisionKind(ctx caddy.Context, settings *identity.Settings) error {
	if h.sendsTokens() {
		setting.SetDefault(&h.Keys, defaultKeySet)
		var err error
		if h.keys, err = h.app.keySet(h.Keys); err != nil {
			return err
		}
		h.keys.SignFor(settings.Lifetime)
		h.kind = h.keys.signer
		return nil
	}
	settingsOfKind := h.CredentialRaw // which LoadModule clears
	module, err := ctx.LoadModule(h, "CredentialRaw")
	if err != nil {
		return setting.In("credential", err)
	}
	h.CredentialRaw = settingsOfKind
	maker, ok := module.(credential.Maker)
	if !ok {
		return setting.In("credential", fmt.Errorf("%T makes no credentials", module))
	}
	if err := h.checkHeaders(maker.Sets()); err != nil {
		return err
	}
	kind := h.credentialKind()
	h.cache = credential.NewCache(maker, func(took time.Duration, err error) {
		observeCredential(kind, took, err)
		if err != nil {
			h.warnOfCredential(err)
		}
	})
	h.kind = h.cache
	if watcher, ok := maker.(credential.Watcher); ok {
		for _, w := range watcher.Watched() {
			h.app.watch(w)
		}
	}
	return nil
}

// checkHeaders returns an error if a configured header would take the place of one of the credential's.
func (h *Handler) checkHeaders(sets []string) error {
	for _, name := range slices.Sorted(maps.Keys(h.Headers)) {
		for _, other := range sets {
			if rewrite.Fold(name) == rewrite.Fold(other) {
				return setting.In("header "+name, errors.New("the credential sets it: leave it out"))
			}
		}
	}
	return nil
}

// sets returns the names of the headers of the credentials, if these are no tokens.
func (h *Handler) sets() []string {
	if h.cache == nil {
		return nil
	}
	return h.cache.Maker().Sets()
}

// believed returns the names of the headers of the credentials that a node believes, whoever sent them.
func (h *Handler) believed() []string {
	if h.cache == nil {
		return nil
	}
	if maker, ok := h.cache.Maker().(credential.Believed); ok {
		return maker.Believed()
	}
	return nil
}

// protectWith has what a node believes of one handler removed by the others too. No requests come yet.
func (h *Handler) protectWith(others []*Handler) {
	for _, other := range others {
		other.rewriter.Protect(h.believed())
		h.rewriter.Protect(other.believed())
	}
}

// wants returns who wants a credential.
func wants(client *identity.Client, chain []*x509.Certificate, notAfter int64) *credential.Client {
	return &credential.Client{
		Holder: &client.Holder, Principal: client.Name(), Groups: client.Groups, Chain: chain, NotAfter: notAfter,
	}
}

// refuseWithout returns the refusal of a client for which there is no credential.
func (h *Handler) refuseWithout(err error) *Refusal {
	if h.cache == nil {
		return refuseNoKey(err)
	}
	return refuseNoCredential(credential.AsRefusal(err))
}

// warnOfCredential warns that a credential could not be made. It may be one that is being renewed, of which the client
// notices nothing yet.
func (h *Handler) warnOfCredential(err error) {
	refusal := credential.AsRefusal(err)
	times, due := h.warnings.Due("credential "+refusal.Detail, time.Now())
	if !due {
		return
	}
	h.logger.Warn("credentials cannot be made or renewed; those that are still good go on "+
		"(this is logged once a minute)",
		zap.String("kind", h.credentialKind()),
		zap.String("advice", refusal.Detail),
		zap.Int("times", times),
		zap.Error(refusal.Cause),
	)
}

// mayReplace reports whether another credential can replace one that a node has refused with 401.
func (h *Handler) mayReplace() bool {
	if h.cache == nil {
		return false
	}
	_, ok := h.cache.Maker().(credential.Dropper)
	return ok
}

// needs returns what the handler's credentials need of the reverse_proxy behind it. The handler need not be
// provisioned.
func (h *Handler) needs() routes.Needs {
	kind := h.credentialKind()
	if kind == jwtKind {
		return routes.Needs{}
	}
	needs := routes.Needs{Credential: kind}
	if clustered, ok := h.decodeKind().(credential.Clustered); ok {
		needs.Nodes = len(clustered.Nodes()) == 0
	}
	return needs
}

// decodeKind returns the module of the setting credential, which is not provisioned, or nil if there is none. That it
// cannot be loaded is said when it is.
func (h *Handler) decodeKind() caddy.Module {
	info, err := caddy.GetModule(credentialKinds + "." + h.credentialKind())
	if err != nil {
		return nil
	}
	module := info.New()
	_ = json.Unmarshal(h.CredentialRaw, module)
	return module
}

// takesNames returns an error if there is no credential for somebody who has a name alone, such as a health check. The
// handler need not be provisioned.
func (h *Handler) takesNames() error {
	choosy, ok := h.decodeKind().(credential.Choosy)
	if !ok || choosy.Requires() == "" {
		return nil
	}
	return fmt.Errorf("`credential %s` in front of it has nothing for who has a name alone, and not %s too: leave "+
		"health_principal out, and write a credential into health_headers", h.credentialKind(), choosy.Requires())
}

// refuseNoCredential keeps the cause from the client. The log has it.
func refuseNoCredential(r *credential.Refusal) *Refusal {
	reason := identity.NoCredential
	switch r.Problem {
	case credential.NoRole:
		reason = identity.NoRole
	case credential.InvalidName:
		reason = identity.InvalidName
	case credential.Unverified:
		reason = identity.Unverified
	case credential.ProxyRefused:
		reason = identity.ProxyRefused
	case credential.Unavailable:
	}
	return identity.Refuse(reason, "%s", r.Detail).From(r.Cause)
}
