// Package esjwt is a Caddy plugin that authenticates clients by their TLS certificate and puts
// a signed JWT (RFC 7519) into their requests to Elasticsearch or OpenSearch.
//
// The handler elasticsearch_jwt decides who a client is; the transport elasticsearch_jwt sends
// only what the handler has let in, with the token; the handler elasticsearch_jwks publishes
// the keys to verify it with; the app elasticsearch_jwt owns the keys.
package esjwt

import (
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credentialpath"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/headersize"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rewrite"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/site"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/throttle"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler authenticates clients by their TLS certificate: it takes whatever identity a request
// claims out of it, and puts a signed JWT in that says who the certificate's holder is.
//
// It must see every request that its upstream gets, so it takes no matcher: what it did not
// match would reach Elasticsearch with the headers that the client chose.
//
// A request that it refuses is answered with the reason and what to do about it, in the form of
// Elasticsearch's own errors, or as a page if a browser asks. If the site has error routes
// (handle_errors) for the status, these answer.
//
// It sets these placeholders:
//
// Placeholder | Description
// ------------|------------
// `{http.auth.user.id}` | The client's user name, if it was let in with a certificate; also in the access log, as `user_id`
// `{http.elasticsearch_jwt.reason}` | Why it was refused, in one word such as `no_certificate`, for `handle_errors`
type Handler struct {
	// What requests go on with. "jwt" is a signed token, which the JWT realm of Elasticsearch (licence Platinum,
	// Enterprise or trial) or OpenSearch verifies. The others are "api_key" (an API key for each client), "run_as"
	// (the header es-security-runas-user), "static" (one credential for each group), "delegate_pki" (an access token
	// of the PKI realm) and "proxy_headers" (for OpenSearch's proxy authenticator). They need the transport
	// elasticsearch_jwt behind the handler, and take none of the settings of tokens. Which one is for which licence and
	// deployment is in docs/credentials.md. Default: jwt.
	CredentialRaw json.RawMessage `json:"credential,omitempty" caddy:"namespace=elasticsearch_jwt.credentials inline_key=kind"`

	// The issuer (iss), which must equal the realm's allowed_issuer to the byte. Required for a JWT.
	Issuer string `json:"issuer,omitempty"`

	// The audiences (aud), of which one must be in the realm's allowed_audiences. Required for a JWT.
	Audience []string `json:"audience,omitempty"`

	// The key set to sign with. Default: "default".
	Keys string `json:"keys,omitempty"`

	// The realm's token_type: "id_token" or "access_token". Default: id_token.
	TokenType string `json:"token_type,omitempty"`

	// How long a token lives at most; it never outlives the certificate. A client keeps one
	// token for half of it. Default: 10m. At least 5m, at most 24h.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`

	// Whether a client must have a certificate: "required", or "optional" to let those
	// without one through with their own Basic, ApiKey or Bearer credentials (and, for a JWT, their
	// own ES-Client-Authentication), for Elasticsearch to check. Default: required.
	Certificate string `json:"certificate,omitempty"`

	// The authorities that client certificates must lead to. With it, the handler verifies
	// certificates by itself, whatever client_auth says; without it, what the TLS layer has
	// verified counts. The files of the source file, also as one of the sources of combined, are
	// noticed when they change: a certificate that was let in is decided anew, also on connections
	// that are open. A file that is broken, empty or gone changes nothing. What other sources have
	// is read once, when the configuration is loaded.
	TrustPoolRaw json.RawMessage `json:"trust_pool,omitempty" caddy:"namespace=tls.ca_pool.source inline_key=provider"`

	// Who the client is. {cert.*} placeholders stand for values of the certificate; there must
	// be exactly one. Default: {cert.cn}.
	Principal string `json:"principal,omitempty"`

	// Instead of principal: a pattern that is searched in the certificate's subject as Java
	// renders it, without regard to the case of ASCII's letters; its first group is the principal. It
	// is what the PKI realm's username_pattern is, whose default is CN=(.*?)(?:,|$): what means
	// another thing in Java than here is an error. It sees text, in which a value can look like an
	// attribute: O="x,CN=admin", CN=eve is the user admin" (CVE-2025-37731 of the PKI realm). The
	// default of principal, and username_rdn, cannot be tricked so.
	UsernamePattern string `json:"username_pattern,omitempty"`

	// Instead of principal: an attribute type, by name (CN) or number (2.5.4.3), whose most
	// specific value is the principal, as with the PKI realm's username_rdn_name and
	// username_rdn_oid.
	UsernameRDN string `json:"username_rdn,omitempty"`

	// The client's groups. A {cert.*} placeholder alone stands for all of its values.
	// Default: {cert.o}, if there is neither group_patterns nor role_mapping. `off` alone: none.
	Groups []string `json:"groups,omitempty"`

	// Patterns that are searched, again and again, in the certificate's subject as Java
	// renders it; the first group of each find is a group. Like username_pattern it sees text, in
	// which a value can look like an attribute: groups from values cannot be tricked so.
	GroupPatterns []string `json:"group_patterns,omitempty"`

	// A file in the format of Elasticsearch's role_mapping.yml: the roles that it gives to the
	// certificate's subject are groups. A changed file is noticed; a broken one changes nothing.
	RoleMapping string `json:"role_mapping,omitempty"`

	// Which names of a certificate can be a user, a group, a claim or a header. "safe": those
	// that nobody, and no template of a role that they are put into, can take for another one's.
	// Refused are: what cannot be seen, blanks around a name, the characters * ? " \ < > $ { } | ^ `
	// (in a whole DN, which quotes its values: * ? $ { } | ^ `), a / at the beginning, in a group
	// and a DN the four letters that Elasticsearch takes for one of ASCII (U+0130, U+0131, U+017F,
	// U+212A), and in a header a comma. "any": all but control characters, what is empty and what
	// is not UTF-8. Text of the configuration, username_pattern and username_rdn are not affected.
	// See docs/names.md. Default: safe.
	NameCharacters string `json:"name_characters,omitempty"`

	// The claim that the realm's claims.principal names. In an ID token sub is there as well.
	// Default: sub.
	PrincipalClaim string `json:"principal_claim,omitempty"`

	// The claim with the audiences. Another name than aud leaves aud out, for an access_token
	// realm with fallback_claims.aud. Default: aud.
	AudienceClaim string `json:"audience_claim,omitempty"`

	// The claim that the realm's claims.groups names. Default: roles.
	GroupsClaim string `json:"groups_claim,omitempty"`

	// More claims. A string can have {cert.*} placeholders; alone, one stands for all of its
	// values, and where the certificate has none, the claim is left out. One value is a string,
	// several are an array; a list, which is claim_list in a Caddyfile, is always an array. Numbers
	// and booleans are taken as they are.
	Claims map[string]any `json:"claims,omitempty"`

	// The claims that a client must have a value for: without it, the client is refused.
	RequiredClaims []string `json:"required_claims,omitempty"`

	// Whether to add the confirmation claim cnf with the member x5t#S256 (RFC 8705 section
	// 3.1), which binds a token to the certificate, as the client sent it. Each certificate has
	// tokens of its own then.
	Confirmation bool `json:"confirmation,omitempty"`

	// Whether to add the claim jti (RFC 7519 section 4.1.7): the same on every replica, and
	// another one for each token.
	TokenID bool `json:"jti,omitempty"`

	// The realm's client_authentication.shared_secret, sent as ES-Client-Authentication. It
	// is a {file.*} or {env.*} placeholder; a changed file is noticed. Caddy's reverse_proxy
	// prints this header in some of its log lines: see the transport elasticsearch_jwt.
	SharedSecret string `json:"shared_secret,omitempty"`

	// Files that name clients which are not let in: one a line, `fingerprint <SHA-256>`,
	// `spki <SHA-256>`, `serial 0x<hex> issuer <DN>` or `subject <DN>`. A changed file is
	// noticed, also for connections that are open; one with a bad line changes nothing.
	Deny []string `json:"deny,omitempty"`

	// Certificate revocation lists (RFC 5280 section 5): files or http(s) URLs, DER or PEM. Each
	// is read again when it changes, a URL every minute. A certificate whose issuer has no list here
	// is not looked for in any. If its issuer has lists, one of them must cover it: signed with the
	// issuer's key, and for such certificates (RFC 5280 section 6.3.3).
	CRL []string `json:"crl,omitempty"`

	// What becomes of clients whose issuer's list is out of date (its nextUpdate has passed), does
	// not cover them or cannot be had: "refuse" or "allow". Those that a list names are refused in
	// any case.
	// Default: refuse.
	CRLStale string `json:"crl_stale,omitempty"`

	// The headers that the upstream gets: values with {jwt} or {cert.*} placeholders.
	// Authorization is "Bearer {jwt}" unless it is set here.
	Headers map[string]string `json:"headers,omitempty"`

	// Whether requests by which Elasticsearch or OpenSearch make credentials (API keys, tokens,
	// passwords) go on: "allow", or "refuse" with 403 and the reason credential_api. What is made
	// so goes on to work at the node when the client's certificate is denied, revoked or expired,
	// as long as it lives itself. Requests that only read, and DELETE, go on in any case. A path
	// whose spelling could stand for one of these is refused too. Default: allow.
	CredentialAPIs string `json:"credential_apis,omitempty"`

	// How many bytes of header lines the cluster reads at most: its http.max_header_size. A
	// request that would have more is refused with 431, since a node answers it and then never
	// reads again from the connection, on which another client may be next. Default: 16 KiB, as
	// in Elasticsearch and OpenSearch 3; OpenSearch 2 reads 8 KiB. At least 4 KiB, at most 1 MiB.
	// (Caddy itself reads 16 KiB of a client's headers, unless max_header_size in its global
	// option servers says otherwise.)
	MaxHeaderSize int `json:"max_header_size,omitempty"`

	app        *App
	server     *site.Server // around the handler
	identifier *identity.Identifier
	kind       credential.Kind   // of what requests go on with
	keys       *signingSet       // nil if that is no token
	begun      bool              // whether beginCredentials was called
	cache      *credential.Cache // nil if it is a token
	rewriter   *rewrite.Rewriter
	secret     *watch.Setting[string] // nil without a SharedSecret

	optional         bool // whether Certificate is optional
	noCredentialAPIs bool // whether CredentialAPIs are refused
	logger, audit    *zap.Logger
	warnings         throttle.Throttle
	loggedSecret     sync.Once // warnOfLoggedSecret

	// every reverse_proxy behind the handler has the transport elasticsearch_jwt, which sets the headers itself
	delivered atomic.Bool
	ownErrors atomic.Bool // a subroute around the handler has error routes of its own
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.elasticsearch_jwt",
		New: func() caddy.Module { return new(Handler) },
	}
}

// ServeHTTP lets a request through as the holder of the client's certificate, or not at all. It first removes
// every header that could say who the client is. Then it finds out who the certificate stands for, and leaves an
// admission with the credential that says so, for the transport. Where another transport sends the request, it adds
// the credential itself. When the next handler returns, all of that is over.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	now := time.Now()
	if !rewrite.HasPath(r) {
		h.rewriter.Strip(r) // handle_errors gets the request, and can have a reverse_proxy
		return h.serveError(w, r, refuseNoPath())
	}
	if h.optional && identity.HasNoCertificate(r.TLS) {
		return h.serveOwnCredentials(w, r, next)
	}
	found := h.rewriter.Strip(r)

	client, notAfter, err := h.identifier.Identify(r.Context(), r.TLS, r.Host, now.Unix())
	if err != nil {
		return h.serveError(w, r, err)
	}
	if h.noCredentialAPIs && credentialpath.Makes(r.Method, r.URL) {
		return h.serveError(w, r, refuseCredentialAPI())
	}
	chain := r.TLS.PeerCertificates
	with := h.kind.Fresh(&client.Holder, now.Unix(), notAfter)
	if with == nil {
		with, err = h.kind.Get(r.Context(), wants(client, chain, notAfter), now, h.auditor(client, chain[0]))
		if err != nil {
			return h.serveError(w, r, h.refuseWithout(err))
		}
	}
	admitted := &admission{
		decision: decision{certificate: chain[0], credential: with}, handler: h, client: client,
		chain: chain, notAfter: notAfter, upgrade: found.Upgrade || r.Method == http.MethodConnect,
	}
	if err := h.fits(found.Size+h.sizeOf(admitted), r); err != nil {
		return h.serveError(w, r, err)
	}
	defer h.takeBack(r.Header, admitted)
	h.announce(r, admitted)
	metrics.authenticated.Inc()
	if found.Authorization {
		h.noteReplaced(r, client)
	}
	if admitted.upgrade {
		return h.serveUpgraded(w, r, next, admitted)
	}
	return next.ServeHTTP(w, r)
}

// fits refuses a request whose headers a node would not read. size is that of the headers with ours.
func (h *Handler) fits(size int, r *http.Request) error {
	if headersize.Fits(size, r.Host, h.MaxHeaderSize) {
		return nil
	}
	return refuseTooLarge(h.MaxHeaderSize)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
