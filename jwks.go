package esjwt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/go-jose/go-jose/v4"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

func init() {
	caddy.RegisterModule(new(JWKS))
}

// JWKS serves the public keys of key sets as a JWK Set (RFC 7517 section 5). The URL is for the setting
// pkc_jwkset_path of Elasticsearch's JWT realm, and for jwks_uri of OpenSearch. Requests for other paths go to the
// next handler.
//
// The answer comes from memory. It stays the same to the byte until a key is added or removed, because a cluster
// takes any changed byte for new keys, and drops its cache of tokens. If there is no key to publish, the answer is
// 503, because an empty set would remove the keys that the cluster has.
type JWKS struct {
	// The names of the key sets to publish. Each must have public keys. Default: the set "default".
	Keys []string `json:"keys,omitempty"`

	// The path to answer on. It begins with a slash, and is not a pattern.
	// Default: /.well-known/jwks.json.
	Path string `json:"path,omitempty"`

	// How long an HTTP cache may keep the answer, as Cache-Control and Expires say (RFC 9111). A
	// new key signs only when every cache has dropped the old answer. At least 1s, at most 24h.
	// Default: 1m.
	MaxAge caddy.Duration `json:"max_age,omitempty"`

	// The issuer for which to serve an OpenID Provider document (OpenID Connect Discovery 1.0) at
	// /.well-known/openid-configuration. It is an https URL of this site, without a path. The
	// setting openid_connect_url of OpenSearch and other clients find the JWKS with it.
	// Default: none, and no such document.
	OpenIDConfiguration string `json:"openid_configuration,omitempty"`

	sets         []*keyset.Set
	cacheControl string
	rendered     atomic.Pointer[jwksDocument]
}

// document is what is sent to a client.
type document struct {
	body []byte
	etag string
}

// jwksDocument is a rendered JWK Set.
type jwksDocument struct {
	document
	discovery document // the OpenID Provider document; empty if it is not configured

	schedules  []*keyset.Schedule // of the key sets, which it was rendered from
	algorithms []jose.SignatureAlgorithm
	expires    time.Time // when the keys are others; the zero time if that is not known
}

const (
	defaultJWKSPath = "/.well-known/jwks.json"

	// discoveryPath is where clients look for an OpenID Provider document (OpenID Connect Discovery 1.0 section 4).
	discoveryPath = "/.well-known/openid-configuration"

	// maxKeysWait is how long a request waits for the first keys. A node of Elasticsearch fetches the JWKS when
	// it starts, and waits five seconds for it. Without an answer it does not start.
	maxKeysWait = 3 * time.Second
)

// CaddyModule returns the Caddy module information.
func (*JWKS) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.elasticsearch_jwks",
		New: func() caddy.Module { return new(JWKS) },
	}
}

// Provision finds the key sets and fills in the defaults.
func (j *JWKS) Provision(ctx caddy.Context) error {
	if err := j.check(); err != nil {
		return err
	}
	if len(j.Keys) == 0 {
		j.Keys = []string{defaultKeySet}
	}
	setting.SetDefault(&j.Path, defaultJWKSPath)
	if j.MaxAge == 0 {
		j.MaxAge = caddy.Duration(timing.DefaultMaxAge)
	}
	j.cacheControl = fmt.Sprintf("public, max-age=%d", int(time.Duration(j.MaxAge).Seconds()))

	app, err := appOf(ctx)
	if err != nil {
		return err
	}
	for _, name := range j.Keys {
		ks, err := app.keySet(name)
		if err != nil {
			return err
		}
		if !ks.Source.Public() {
			return fmt.Errorf("the key set %s is a shared secret, which is never published: give it to the cluster with "+
				"`elasticsearch-keystore add xpack.security.authc.realms.jwt.<realm>.hmac_key`, "+
				"and take it out of elasticsearch_jwks", name)
		}
		if err := ks.PublishFor(time.Duration(j.MaxAge)); err != nil {
			return setting.In("max_age", err)
		}
		j.sets = append(j.sets, ks.Set)
	}
	app.servers.Of(ctx).WarnOfJWKS(ctx.Logger())
	return app.lookOnce(ctx)
}

// check returns what is wrong with the settings.
func (j *JWKS) check() error {
	for i, name := range j.Keys {
		if slices.Contains(j.Keys[:i], name) {
			return setting.In("keys", fmt.Errorf("%s is there twice: keep one of them", name))
		}
	}
	if j.Path != "" && (!strings.HasPrefix(j.Path, "/") || strings.ContainsAny(j.Path, "*?#{}")) {
		return setting.In("path",
			fmt.Errorf("%q: write one path that begins with a slash, such as %s", j.Path, defaultJWKSPath))
	}
	if age := time.Duration(j.MaxAge); age != 0 && (age < time.Second || age > timing.MaxMaxAge) {
		return setting.In("max_age", fmt.Errorf("use 1s to %s, not %s",
			setting.ShortDuration(timing.MaxMaxAge), setting.ShortDuration(age)))
	}
	if j.OpenIDConfiguration != "" {
		if err := checkDiscoveryIssuer(j.OpenIDConfiguration); err != nil {
			return setting.In("openid_configuration", err)
		}
		if j.Path == discoveryPath {
			return setting.In("path", fmt.Errorf("%s is where the openid_configuration is: choose another", j.Path))
		}
	}
	return nil
}

// ServeHTTP implements [caddyhttp.MiddlewareHandler].
func (j *JWKS) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	discovery := j.OpenIDConfiguration != "" && r.URL.Path == discoveryPath
	if r.URL.Path != j.Path && !discovery {
		return next.ServeHTTP(w, r)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		metrics.jwks.methodNotAllowed.Inc()
		w.Header().Set("Allow", "GET, HEAD")
		return caddyhttp.Error(http.StatusMethodNotAllowed,
			fmt.Errorf("a JWKS is read with GET or HEAD, not with %q", r.Method))
	}
	if r.ProtoMajor == 1 {
		// The node must not keep the connection until its next fetch, which is at the next rotation. If
		// Caddy reloads or ends at that moment, it closes the connection, and the fetch fails. The node
		// would then refuse clients, although the load balancer has other replicas to ask.
		w.Header().Set("Connection", "close")
	}
	now := time.Now()
	jwks, err := j.current(now)
	if errors.Is(err, errNoPublicKey) {
		j.awaitKeys(r.Context())
		now = time.Now()
		jwks, err = j.current(now)
	}
	if err != nil {
		metrics.jwks.unavailable.Inc()
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Retry-After", retryAfter)
		return caddyhttp.Error(http.StatusServiceUnavailable, err)
	}
	metrics.jwks.served.Inc()
	doc, contentType := jwks.document, "application/jwk-set+json"
	if discovery {
		doc, contentType = jwks.discovery, "application/json"
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", j.cacheControl)
	h.Set("Expires", now.Add(time.Duration(j.MaxAge)).UTC().Format(http.TimeFormat))
	h.Set("ETag", doc.etag)
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(doc.body))
	return nil
}

// errNoPublicKey says that there is nothing to publish.
var errNoPublicKey = errors.New("no public key to show yet: " +
	"see the log of elasticsearch_jwt for why the keys could not be loaded or made")

// awaitKeys waits for the first keys of all sets, for at most maxKeysWait.
func (j *JWKS) awaitKeys(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, maxKeysWait)
	defer cancel()
	for _, ks := range j.sets {
		if _, err := ks.State.Wait(ctx); err != nil {
			return
		}
	}
}

// current returns the JWK Set as it is at a point in time. It renders it if the keys have changed.
func (j *JWKS) current(now time.Time) (*jwksDocument, error) {
	if doc := j.rendered.Load(); doc != nil && j.isCurrent(doc, now) {
		return doc, nil
	}
	doc, err := renderJWKS(j.sets, now)
	if err != nil {
		return nil, err
	}
	if j.OpenIDConfiguration != "" {
		if doc.discovery, err = renderDiscovery(j.OpenIDConfiguration, j.Path, doc.algorithms); err != nil {
			return nil, err
		}
	}
	j.rendered.Store(doc)
	return doc, nil
}

// renderJWKS renders the keys that the sets publish at a point in time.
func renderJWKS(sets []*keyset.Set, now time.Time) (*jwksDocument, error) {
	doc := new(jwksDocument)
	var set jose.JSONWebKeySet
	for _, ks := range sets {
		current := ks.State.Current()
		if current == nil {
			// A document without the keys of this set would remove them from the cluster.
			return nil, errNoPublicKey
		}
		doc.schedules = append(doc.schedules, current)
		doc.expires = timing.EarliestAfter(now, doc.expires, current.NextJWKSChange(now))
		for _, key := range current.Published(now) {
			same := func(k jose.JSONWebKey) bool {
				return k.KeyID == key.ID && k.Algorithm == key.Public.Algorithm
			}
			if slices.ContainsFunc(set.Keys, same) {
				continue // two sets can have the same key
			}
			set.Keys = append(set.Keys, *key.Public)
			if !slices.Contains(doc.algorithms, key.Algorithm) {
				doc.algorithms = append(doc.algorithms, key.Algorithm)
			}
		}
	}
	if len(set.Keys) == 0 {
		return nil, errNoPublicKey
	}
	body, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("rendering the JWKS: %w", err)
	}
	doc.document = newDocument(body)
	return doc, nil
}

func newDocument(body []byte) document {
	body = append(body, '\n')
	sum := sha256.Sum256(body)
	return document{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`}
}

// isCurrent reports whether the keys of a document are still those that the sets publish.
func (j *JWKS) isCurrent(doc *jwksDocument, now time.Time) bool {
	for i, ks := range j.sets {
		if ks.State.Current() != doc.schedules[i] {
			return false
		}
	}
	return !timing.Reached(doc.expires, now)
}

// openIDConfiguration is an OpenID Provider document (OpenID Connect Discovery 1.0 section 3). It has the members that
// the standard requires, although this provider gives a token to nobody who asks for one.
type openIDConfiguration struct {
	Issuer                 string                    `json:"issuer"`
	AuthorizationEndpoint  string                    `json:"authorization_endpoint"`
	JWKSURI                string                    `json:"jwks_uri"`
	ResponseTypesSupported []string                  `json:"response_types_supported"`
	SubjectTypesSupported  []string                  `json:"subject_types_supported"`
	SigningAlgorithms      []jose.SignatureAlgorithm `json:"id_token_signing_alg_values_supported"`
	ClaimsSupported        []string                  `json:"claims_supported"`
}

// renderDiscovery renders the document of an issuer, whose JWKS is at jwksPath.
func renderDiscovery(issuer, jwksPath string, algorithms []jose.SignatureAlgorithm) (document, error) {
	body, err := json.Marshal(openIDConfiguration{
		Issuer: issuer,
		// There is no such endpoint, but the member is required.
		AuthorizationEndpoint:  "urn:caddy:elasticsearch_jwt:client_certificate",
		JWKSURI:                issuer + jwksPath,
		ResponseTypesSupported: []string{"id_token"},
		SubjectTypesSupported:  []string{"public"},
		SigningAlgorithms:      algorithms,
		ClaimsSupported:        []string{"iss", "sub", "aud", "iat", "nbf", "exp"},
	})
	if err != nil {
		return document{}, fmt.Errorf("rendering the OpenID configuration: %w", err)
	}
	return newDocument(body), nil
}

// checkDiscoveryIssuer checks that a client can find the document with only the issuer.
func checkDiscoveryIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("write the issuer, an https URL such as https://es.example.com")
	}
	if u.Path != "" || strings.HasSuffix(issuer, "/") {
		return errors.New("the issuer must not have a path here, nor end with a slash: " +
			"readers look for the document at its root")
	}
	return nil
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens:
//
//	elasticsearch_jwks {
//	    keys    <sets...>
//	    path    <path>
//	    max_age <duration>
//	    openid_configuration <issuer>
//	}
func (j *JWKS) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	_, err := j.unmarshal(d)
	return err
}

func (j *JWKS) unmarshal(d *caddyfile.Dispenser) (*setting.Lines, error) {
	d.Next() // the directive
	if d.NextArg() {
		return nil, d.Errf("elasticsearch_jwks takes no %q: write its settings in a block, "+
			"among them the path to answer on, as in `path %s`", d.Val(), defaultJWKSPath)
	}
	lines := setting.NewLines(d)
	err := setting.ParseBlock(d, lines.Record(setting.Parsers{
		"keys":    func(d *caddyfile.Dispenser) error { return setting.ParseStrings(d, &j.Keys) },
		"path":    func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &j.Path) },
		"max_age": func(d *caddyfile.Dispenser) error { return setting.ParseDuration(d, &j.MaxAge) },
		"openid_configuration": func(d *caddyfile.Dispenser) error {
			return setting.ParseString(d, &j.OpenIDConfiguration)
		},
	}))
	if err != nil {
		return nil, err
	}
	if err := j.check(); err != nil {
		return nil, lines.Wrap(err)
	}
	return lines, nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*JWKS)(nil)
	_ caddyhttp.MiddlewareHandler = (*JWKS)(nil)
	_ caddyfile.Unmarshaler       = (*JWKS)(nil)
)
