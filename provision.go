package esjwt

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rewrite"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/trustpool"
)

const (
	certificateRequired = "required"
	certificateOptional = "optional"

	credentialAPIsAllow  = "allow"
	credentialAPIsRefuse = "refuse"
)

// Provision checks the configuration, and prepares everything that does not depend on a request.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.audit = h.logger.Named("audit")
	if err := h.checkWords(); err != nil {
		return err
	}
	if err := h.checkCredential(); err != nil {
		return err
	}
	if err := h.checkTokenSettings(); err != nil {
		return err
	}
	settings := h.settings()
	h.setDefaults(&settings)

	var err error
	if h.app, err = appOf(ctx); err != nil {
		return err
	}
	if err := h.provisionKind(ctx, &settings); err != nil {
		return err
	}
	h.optional = h.Certificate == certificateOptional
	h.noCredentialAPIs = h.CredentialAPIs == credentialAPIsRefuse

	pool, err := h.loadTrustPool(ctx)
	if err != nil {
		return err
	}
	if err := h.provisionSecret(); err != nil {
		return err
	}
	profile, err := settings.Compile(setting.Resolve)
	if err != nil {
		return err
	}
	files, err := identity.OpenFiles(&settings, setting.Resolve, h.logger)
	if err != nil {
		return err
	}
	h.app.watchFiles(files)
	if h.identifier, err = identity.New(profile, files, pool, h.app.CacheSize); err != nil {
		return err
	}
	h.identifier.NoteIn(&metrics.sightings)
	h.rewriter = rewrite.New(profile.Headers(), h.sets())
	h.server = h.app.servers.Of(ctx)
	h.server.WatchHandshakes(h.noteHandshake)
	h.server.WarnOfHandler(pool != nil, h.logger)
	h.warnOfHeaders(profile.Headers())
	profile.Warn(h.logger)
	h.app.registerHandler(h)
	return h.app.lookOnce(ctx)
}

// checkWords checks the settings whose value is one of two words.
func (h *Handler) checkWords() error {
	switch h.Certificate {
	case "", certificateRequired, certificateOptional:
	default:
		return setting.In("certificate", fmt.Errorf("%q: use required or optional", h.Certificate))
	}
	switch h.CredentialAPIs {
	case "", credentialAPIsAllow, credentialAPIsRefuse:
	default:
		return setting.In("credential_apis", fmt.Errorf("%q: use refuse or allow", h.CredentialAPIs))
	}
	return nil
}

// settings returns the settings that decide who a client is. Empty ones have their defaults.
func (h *Handler) settings() identity.Settings {
	s := identity.Settings{
		Issuer:          h.Issuer,
		Audience:        h.Audience,
		TokenType:       h.TokenType,
		Lifetime:        time.Duration(h.Lifetime),
		Principal:       h.Principal,
		UsernamePattern: h.UsernamePattern,
		UsernameRDN:     h.UsernameRDN,
		Groups:          h.Groups,
		GroupPatterns:   h.GroupPatterns,
		RoleMapping:     h.RoleMapping,
		NameCharacters:  h.NameCharacters,
		PrincipalClaim:  h.PrincipalClaim,
		AudienceClaim:   h.AudienceClaim,
		GroupsClaim:     h.GroupsClaim,
		Claims:          h.Claims,
		RequiredClaims:  h.RequiredClaims,
		Confirmation:    h.Confirmation,
		TokenID:         h.TokenID,
		Deny:            h.Deny,
		CRL:             h.CRL,
		CRLStale:        h.CRLStale,
		NoToken:         !h.sendsTokens(),
		Headers:         h.Headers,
		MaxHeaderSize:   h.MaxHeaderSize,
	}
	s.SetDefaults()
	return s
}

// setDefaults fills in the fields that are empty. settings has the defaults of those that decide who a client is.
func (h *Handler) setDefaults(settings *identity.Settings) {
	setting.SetDefault(&h.Certificate, certificateRequired)
	setting.SetDefault(&h.CredentialAPIs, credentialAPIsAllow)
	h.NameCharacters = settings.NameCharacters
	h.CRLStale = settings.CRLStale
	h.MaxHeaderSize = settings.MaxHeaderSize
	if settings.NoToken {
		return
	}
	h.TokenType = settings.TokenType
	h.Lifetime = caddy.Duration(settings.Lifetime)
	h.PrincipalClaim = settings.PrincipalClaim
	h.AudienceClaim = settings.AudienceClaim
	h.GroupsClaim = settings.GroupsClaim
}

// warnOfHeaders warns of headers that have a token, and that Caddy does not hide in its logs.
func (h *Handler) warnOfHeaders(headers []identity.Header) {
	for _, t := range headers {
		if t.HasToken() && t.Name != "Authorization" && t.Name != "Proxy-Authorization" && t.Name != "Cookie" {
			h.logger.Warn("reverse_proxy prints this header, which has the token, in some of its log lines: " +
				"filter it out with log { format filter { wrap json fields { request>headers>" + t.Name + " delete } } }")
		}
	}
}

// loadTrustPool loads the trust pool of the handler; it returns nil if none is configured. A configured pool must not
// be empty, because crypto/x509 would then trust the authorities of the system.
func (h *Handler) loadTrustPool(ctx caddy.Context) (identity.Authorities, error) {
	if h.TrustPoolRaw == nil {
		return nil, nil
	}
	pool, err := h.openTrustPool(ctx)
	if err != nil {
		return nil, setting.In("trust_pool", err)
	}
	if p := pool.CertPool(); p == nil || p.Equal(x509.NewCertPool()) {
		return nil, errors.New("trust_pool is empty: name the authority of the client certificates, in PEM")
	}
	return pool, nil
}

// openTrustPool opens the pool that is configured. The files of the sources `file` and `combined` are watched. What
// other sources have is read once, by Caddy.
func (h *Handler) openTrustPool(ctx caddy.Context) (identity.Authorities, error) {
	names, others, err := trustpool.FilesOf(h.TrustPoolRaw)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		module, err := ctx.LoadModule(h, "TrustPoolRaw")
		if err != nil {
			return nil, setting.WithRedactedURLs(err)
		}
		return authoritiesOf(module)
	}
	var fixed []*x509.Certificate
	if others != nil {
		module, err := ctx.LoadModuleByID(trustPoolSources+".combined", others)
		if err != nil {
			return nil, setting.WithRedactedURLs(err)
		}
		fixed = module.(caddytls.CertificateProvider).Certificates()
	}
	files, err := trustpool.Open(names, fixed, h.logger)
	if err != nil {
		return nil, err
	}
	for _, w := range files.Watched() {
		h.app.watch(w)
	}
	return files, nil
}

func authoritiesOf(module any) (identity.Authorities, error) {
	pool, ok := module.(caddytls.CA)
	if !ok {
		return nil, fmt.Errorf("%T is no source of certificate authorities", module)
	}
	return pool, nil
}

// provisionSecret reads the shared secret, if one is configured, and warns that Caddy's logs may have it.
func (h *Handler) provisionSecret() error {
	if h.SharedSecret == "" {
		return nil
	}
	var err error
	if h.secret, err = setting.WatchHeaderSecret(h.SharedSecret, h.logger); err != nil {
		return setting.In("shared_secret", err)
	}
	h.app.watch(h.secret)
	h.logger.Warn("reverse_proxy prints the header Es-Client-Authentication, which has the shared_secret, " +
		"in some of its log lines; write the shared_secret into `transport elasticsearch_jwt { … }` instead, " +
		"or filter it out: log { format filter { wrap json fields { request>headers>Es-Client-Authentication delete } } }")
	return nil
}
