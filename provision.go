package esjwt

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/denylist"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/headersize"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rolemapping"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

const (
	idToken     = "id_token"
	accessToken = "access_token"

	certificateRequired = "required"
	certificateOptional = "optional"

	crlStaleRefuse = "refuse"
	crlStaleAllow  = "allow"

	credentialAPIsAllow  = "allow"
	credentialAPIsRefuse = "refuse"

	defaultPrincipal = "{cert.cn}"
	defaultGroups    = "{cert.o}"
	groupsOff        = "off"
)

// reservedClaims are those that `claim` may not set: the handler sets them, or they would
// change what the others mean (RFC 7519 section 4.1, RFC 7800).
var reservedClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "auth_time"}

// Provision checks the configuration and prepares all that does not depend on a request.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.audit = h.logger.Named("audit")
	h.setDefaults()

	app, err := ctx.App("elasticsearch_jwt")
	if err != nil {
		return fmt.Errorf("loading the app elasticsearch_jwt: %w", err)
	}
	h.app = app.(*App)
	if h.keys, err = h.app.keySet(h.Keys); err != nil {
		return err
	}
	h.keys.needs.add(time.Duration(h.Lifetime), 0)
	h.keys.signs.Store(true)

	h.optional = h.Certificate == certificateOptional
	h.noCredentialAPIs = h.CredentialAPIs == credentialAPIsRefuse

	pool, err := h.loadTrustPool(ctx)
	if err != nil {
		return err
	}
	if err := h.provisionSecret(app.(*App)); err != nil {
		return err
	}
	profile, err := h.profile(setting.Resolve)
	if err != nil {
		return err
	}
	if h.identifier, err = newIdentifier(profile, pool, app.(*App).CacheSize); err != nil {
		return err
	}
	if err := h.provisionFiles(app.(*App)); err != nil {
		return err
	}
	h.rewriter = newRewriter(profile.headers)
	h.server = h.app.servers.Around(ctx)
	h.server.WarnOfHandler(pool != nil, h.logger)
	h.warnOfHeaders(profile.headers)
	h.warnOfAmbiguity(&profile)
	h.app.register(h)
	return nil
}

// provisionFiles reads the files that decide about identities. When one of them changes, every
// client is looked at again.
func (h *Handler) provisionFiles(app *App) error {
	if h.RoleMapping != "" {
		name, err := staticText(h.RoleMapping, setting.Resolve)
		if err != nil {
			return setting.In("role_mapping", err)
		}
		if h.identifier.roleMapping, err = watch.OpenFile("role_mapping", name, rolemapping.Parse, h.logger); err != nil {
			return setting.In("role_mapping", err)
		}
		app.watch(h.identifier.roleMapping)
		h.identifier.files = append(h.identifier.files, h.identifier.roleMapping)
	}
	for _, file := range h.Deny {
		name, err := staticText(file, setting.Resolve)
		if err != nil {
			return setting.In("deny", err)
		}
		list, err := watch.OpenFile("deny", name, h.parseDenyList(name), h.logger)
		if err != nil {
			return setting.In("deny", err)
		}
		app.watch(list)
		h.identifier.files = append(h.identifier.files, list)
		h.identifier.revocation.denied = append(h.identifier.revocation.denied, list)
	}
	for _, source := range h.CRL {
		lists, err := app.watchCRL(source, h.logger)
		if err != nil {
			return setting.In("crl", err)
		}
		h.identifier.files = append(h.identifier.files, lists)
		h.identifier.revocation.lists = append(h.identifier.revocation.lists, lists)
	}
	h.identifier.revocation.staleAllowed = h.CRLStale == crlStaleAllow
	return nil
}

// parseDenyList parses a deny list, and tells when its last entry is gone.
func (h *Handler) parseDenyList(name string) func([]byte) (*denylist.List, error) {
	denies := false
	return func(content []byte) (*denylist.List, error) {
		list, err := denylist.Parse(content)
		if err != nil {
			return nil, err
		}
		if denies && list.Len() == 0 {
			h.logger.Warn("the deny list was emptied, and denies nobody any more", zap.String("source", name))
		}
		denies = list.Len() > 0
		return list, nil
	}
}

func (h *Handler) setDefaults() {
	setting.Default(&h.Keys, defaultKeySet)
	setting.Default(&h.TokenType, idToken)
	setting.Default(&h.Certificate, certificateRequired)
	setting.Default(&h.CRLStale, crlStaleRefuse)
	setting.Default(&h.NameCharacters, nameCharactersSafe)
	setting.Default(&h.CredentialAPIs, credentialAPIsAllow)
	setting.Default(&h.PrincipalClaim, "sub")
	setting.Default(&h.AudienceClaim, "aud")
	setting.Default(&h.GroupsClaim, "roles")
	if h.Lifetime == 0 {
		h.Lifetime = caddy.Duration(timing.DefaultLifetime)
	}
	if h.MaxHeaderSize == 0 {
		h.MaxHeaderSize = headersize.Default
	}
}

// loadTrustPool loads the handler's own trust pool, if it has one. crypto/x509 takes a missing
// pool for the system's roots: what is configured must be there.
func (h *Handler) loadTrustPool(ctx caddy.Context) (caddytls.CA, error) {
	if h.TrustPoolRaw == nil {
		return nil, nil
	}
	module, err := ctx.LoadModule(h, "TrustPoolRaw")
	if err != nil {
		return nil, fmt.Errorf("loading trust_pool: %w", setting.WithRedactedURLs(err))
	}
	pool, ok := module.(caddytls.CA)
	if !ok {
		return nil, fmt.Errorf("trust_pool: %T is no source of certificate authorities", module)
	}
	if p := pool.CertPool(); p == nil || p.Equal(x509.NewCertPool()) {
		return nil, errors.New("trust_pool is empty: name the authority of the client certificates, in PEM")
	}
	return pool, nil
}

// warnOfHeaders says which headers with a token in them Caddy's own log lines show.
func (h *Handler) warnOfHeaders(headers []headerTemplate) {
	for _, t := range headers {
		if t.hasJWT() && t.name != "Authorization" && t.name != "Proxy-Authorization" && t.name != "Cookie" {
			h.logger.Warn("reverse_proxy prints this header, which has the token, in some of its log lines: filter it out with " +
				"log { format filter { wrap json fields { request>headers>" + t.name + " delete } } }")
		}
	}
}

func (h *Handler) provisionSecret(app *App) error {
	if h.SharedSecret == "" {
		return nil
	}
	var err error
	if h.secret, err = setting.WatchSecret(h.SharedSecret, h.logger); err != nil {
		return setting.In("shared_secret", err)
	}
	app.watch(h.secret)
	h.logger.Warn("reverse_proxy prints the header Es-Client-Authentication, which has the shared_secret, in some of its log lines; " +
		"write the shared_secret into `transport elasticsearch_jwt { … }` instead, or filter it out: " +
		"log { format filter { wrap json fields { request>headers>Es-Client-Authentication delete } } }")
	return nil
}

func checkMaxHeaderSize(limit int) error {
	if err := headersize.Check(limit); err != nil {
		return setting.In("max_header_size", err)
	}
	return nil
}

// othersSize is how much the headers of a client and of reverse_proxy may have beside those that we inject.
// A certificate whose token leaves less is refused, whatever the request is.
const othersSize = 2 << 10

// maxInjected returns how many bytes of headers we add to a request at most.
func (p *profile) maxInjected() int { return p.maxHeaderSize - othersSize }
