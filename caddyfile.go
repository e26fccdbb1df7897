package esjwt

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/namedroute"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("elasticsearch_jwt", parseGlobalOption)

	httpcaddyfile.RegisterDirective("elasticsearch_jwt", parseHandlerDirective)
	httpcaddyfile.RegisterDirectiveOrder("elasticsearch_jwt", httpcaddyfile.After, "request_header")

	httpcaddyfile.RegisterDirective("elasticsearch_jwks", parseJWKSDirective)
	httpcaddyfile.RegisterDirectiveOrder("elasticsearch_jwks", httpcaddyfile.Before, "redir")
}

// parseGlobalOption parses the global option:
//
//	elasticsearch_jwt {
//	    keys <name> <source> {
//	        …
//	    }
//	    cache_size <n>
//	}
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Err("the global option elasticsearch_jwt is there twice: put everything into one")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "elasticsearch_jwt", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile sets up the app from Caddyfile tokens. See parseGlobalOption.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the option's name
	if d.NextArg() {
		return d.Errf("elasticsearch_jwt takes no %q: write its settings in a block", d.Val())
	}
	return setting.ParseBlock(d, setting.Parsers{
		"keys": a.unmarshalKeys,
		"cache_size": func(d *caddyfile.Dispenser) error {
			if err := setting.ParseInt(d, &a.CacheSize); err != nil {
				return err
			}
			if a.CacheSize < 1 {
				return d.Errf("cache_size %d: it must be positive", a.CacheSize)
			}
			return nil
		},
	}, "keys")
}

func (a *App) unmarshalKeys(d *caddyfile.Dispenser) error {
	var name, source string
	if !d.Args(&name, &source) {
		return d.Errf("write `keys <name> <source> { … }`, where the source is one of %s",
			strings.Join(setting.ModuleNames(keySources), ", "))
	}
	if _, ok := a.KeysRaw[name]; ok {
		return d.Errf("the key set %s is there twice: give each set a name of its own", name)
	}
	if err := checkKeySetName(name); err != nil {
		return d.WrapErr(err)
	}
	unmarshaled, err := setting.UnmarshalModule(d, "source", keySources, source)
	if err != nil {
		return fmt.Errorf("keys %s: %w", name, err)
	}
	module, ok := unmarshaled.(keys.Source)
	if !ok {
		return d.Errf("%s is no source of keys", source)
	}
	if a.KeysRaw == nil {
		a.KeysRaw = make(caddy.ModuleMap)
	}
	a.KeysRaw[name] = caddyconfig.JSONModuleObject(module, "source", source, nil)
	return nil
}

// parseHandlerDirective parses the directive elasticsearch_jwt. A matcher is an error: see [Handler].
func parseHandlerDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // the directive
	if matcher, ok, err := h.MatcherToken(); err != nil {
		return nil, err
	} else if ok && matcher != nil {
		return nil, h.Errf("elasticsearch_jwt takes no matcher, "+
			"since what it does not match would reach Elasticsearch with the headers that the client chose: "+
			"for a part of a site, put it into a handle block together with its reverse_proxy, "+
			"as in `handle %s { … }`", h.Val())
	} else if ok {
		h.Delete() // "*"
	}
	h.Reset()
	handler := new(Handler)
	lines, err := handler.unmarshal(h.Dispenser)
	if err != nil {
		return nil, err
	}
	if handler.Keys != "" {
		if err := checkKeySets(h, handler.Keys); err != nil {
			return nil, lines.Wrap(err)
		}
	}
	return namedroute.NewRoute(h, handler)
}

func parseJWKSDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	jwks := new(JWKS)
	lines, err := jwks.unmarshal(h.Dispenser)
	if err != nil {
		return nil, err
	}
	if err := checkKeySets(h, jwks.Keys...); err != nil {
		return nil, lines.Wrap(err)
	}
	return h.NewRoute(nil, jwks), nil
}

// checkKeySets checks that the global option has these key sets.
func checkKeySets(h httpcaddyfile.Helper, names ...string) error {
	known, err := configuredKeySets(h)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := known[name]; !ok && name != defaultKeySet {
			return setting.In("keys", errUnknownKeySet(name, maps.Keys(known)))
		}
	}
	return nil
}

// configuredKeySets returns the key sets of the global option. It decodes the option once for all directives of a
// Caddyfile.
func configuredKeySets(h httpcaddyfile.Helper) (map[string]json.RawMessage, error) {
	const stateKey = "elasticsearch_jwt.key_sets"
	if known, ok := h.State[stateKey].(map[string]json.RawMessage); ok {
		return known, nil
	}
	var app App
	if option, ok := h.Option("elasticsearch_jwt").(httpcaddyfile.App); ok {
		if err := json.Unmarshal(option.Value, &app); err != nil {
			return nil, err
		}
	}
	if h.State != nil {
		h.State[stateKey] = app.KeysRaw
	}
	return app.KeysRaw, nil
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens:
//
//	elasticsearch_jwt {
//	    credential      <kind> …
//	    issuer          <issuer>
//	    audience        <audiences...>
//	    keys            <set>
//	    token_type      id_token|access_token
//	    lifetime        <duration>
//	    certificate     required|optional
//	    trust_pool      <source> …
//	    principal       <value>
//	    username_pattern [<regexp>]
//	    username_rdn    <attribute>
//	    groups          <values...>
//	    group_pattern   <regexps...>
//	    role_mapping    <file>
//	    name_characters safe|any
//	    principal_claim <name>
//	    audience_claim  <name>
//	    groups_claim    <name>
//	    claim           <name> <values...>
//	    claim_list      <name> <values...>
//	    required_claim  <name> <values...>
//	    required_claim_list <name> <values...>
//	    confirmation
//	    jti
//	    shared_secret   <placeholder>
//	    deny            <files...>
//	    crl             <files or URLs...>
//	    crl_stale       refuse|allow
//	    credential_apis refuse|allow
//	    header          <name> <value>
//	    max_header_size <size>
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	_, err := h.unmarshal(d)
	return err
}

func (h *Handler) unmarshal(d *caddyfile.Dispenser) (*setting.Lines, error) {
	d.Next() // the directive
	if d.NextArg() {
		return nil, d.Errf("elasticsearch_jwt takes no %q: write its settings in a block", d.Val())
	}
	text := func(field *string) func(*caddyfile.Dispenser) error {
		return func(d *caddyfile.Dispenser) error { return setting.ParseString(d, field) }
	}
	texts := func(field *[]string) func(*caddyfile.Dispenser) error {
		return func(d *caddyfile.Dispenser) error { return setting.ParseStrings(d, field) }
	}
	lines := setting.NewLines(d)
	err := setting.ParseBlock(d, lines.Record(setting.Parsers{
		"credential":       h.unmarshalCredential,
		"issuer":           text(&h.Issuer),
		"audience":         texts(&h.Audience),
		"keys":             text(&h.Keys),
		"token_type":       text(&h.TokenType),
		"lifetime":         func(d *caddyfile.Dispenser) error { return setting.ParseDuration(d, &h.Lifetime) },
		"certificate":      text(&h.Certificate),
		"trust_pool":       h.unmarshalTrustPool,
		"principal":        text(&h.Principal),
		"username_pattern": h.unmarshalUsernamePattern,
		"username_rdn":     text(&h.UsernameRDN),
		"groups":           texts(&h.Groups),
		"group_pattern":    texts(&h.GroupPatterns),
		"role_mapping":     text(&h.RoleMapping),
		"name_characters":  text(&h.NameCharacters),
		"principal_claim":  text(&h.PrincipalClaim),
		"audience_claim":   text(&h.AudienceClaim),
		"groups_claim":     text(&h.GroupsClaim),
		"claim":            h.unmarshalClaim,
		"claim_list":       h.unmarshalClaim,
		"required_claim":   h.unmarshalClaim,
		"confirmation":     func(d *caddyfile.Dispenser) error { return setting.ParseFlag(d, &h.Confirmation) },
		"jti":              func(d *caddyfile.Dispenser) error { return setting.ParseFlag(d, &h.TokenID) },
		"shared_secret":    func(d *caddyfile.Dispenser) error { return setting.ParseSecret(d, &h.SharedSecret) },
		"deny":             texts(&h.Deny),
		"crl":              texts(&h.CRL),
		"crl_stale":        text(&h.CRLStale),
		"credential_apis":  text(&h.CredentialAPIs),
		"header":           h.unmarshalHeader,
		"max_header_size":  func(d *caddyfile.Dispenser) error { return setting.ParseSize(d, &h.MaxHeaderSize) },

		"required_claim_list": h.unmarshalClaim,
	}), "audience", "groups", "group_pattern", "claim", "claim_list", "required_claim", "required_claim_list",
		"deny", "crl", "header")
	if err != nil {
		return nil, err
	}
	if err := h.check(); err != nil {
		return nil, lines.Wrap(err)
	}
	return lines, nil
}

// check returns what is wrong with the handler's settings. Provision checks the same, and also the variables and
// files, which the machine that adapts a Caddyfile may not have.
func (h *Handler) check() error {
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
	_, err := settings.Compile(setting.KeepPlaceholder)
	return err
}

// The namespaces of the modules that settings can name.
const (
	keySources       = "elasticsearch_jwt.keys"
	trustPoolSources = "tls.ca_pool.source"
)

// unmarshalCredential parses the kind of credential, and its settings. A JWT has those of the handler itself.
func (h *Handler) unmarshalCredential(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.Errf("write `credential <kind> { … }`, where the kind is jwt or one of %s",
			strings.Join(setting.ModuleNames(credentialKinds), ", "))
	}
	kind := d.Val()
	if kind == jwtKind {
		if d.NextArg() || d.NextBlock(d.Nesting()) {
			return d.Errf("credential jwt takes no %q: its settings are those of elasticsearch_jwt", d.Val())
		}
		return nil
	}
	unmarshaled, err := setting.UnmarshalModule(d, "kind", credentialKinds, kind)
	if err != nil {
		return fmt.Errorf("credential: %w", err)
	}
	maker, ok := unmarshaled.(credential.Maker)
	if !ok {
		return d.Errf("%s is no kind of credential", kind)
	}
	h.CredentialRaw = caddyconfig.JSONModuleObject(maker, "kind", kind, nil)
	return nil
}

func (h *Handler) unmarshalTrustPool(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.Err("write `trust_pool file clients-ca.pem`, or another source of authorities")
	}
	source := d.Val()
	if strings.ContainsAny(source, "./") && !slices.Contains(setting.ModuleNames(trustPoolSources), source) {
		return d.Errf("trust_pool %s: a file is written as `trust_pool file %[1]s`", source)
	}
	unmarshaled, err := setting.UnmarshalModule(d, "source", trustPoolSources, source)
	if err != nil {
		return fmt.Errorf("trust_pool: %w", err)
	}
	pool, ok := unmarshaled.(caddytls.CA)
	if !ok {
		return d.Errf("%s is no source of certificate authorities", source)
	}
	h.TrustPoolRaw = caddyconfig.JSONModuleObject(pool, "provider", source, nil)
	return nil
}

func (h *Handler) unmarshalUsernamePattern(d *caddyfile.Dispenser) error {
	if d.CountRemainingArgs() == 0 {
		h.UsernamePattern = identity.DefaultUsernamePattern
		return nil
	}
	return setting.ParseString(d, &h.UsernamePattern)
}

// unmarshalClaim parses one of the four settings for a claim.
func (h *Handler) unmarshalClaim(d *caddyfile.Dispenser) error {
	kind := d.Val() // claim, claim_list, required_claim or required_claim_list
	args := d.RemainingArgs()
	if len(args) < 2 {
		return d.Errf("write `%[1]s <name> <value>`, as in `%[1]s email {cert.san.email}`", kind)
	}
	name, values := args[0], args[1:]
	if strings.HasPrefix(kind, "required_") {
		h.RequiredClaims = append(h.RequiredClaims, name)
	}
	if _, ok := h.Claims[name]; ok {
		return d.Errf("the claim %s is there twice: put all of its values into one line", name)
	}
	if h.Claims == nil {
		h.Claims = make(map[string]any)
	}
	if len(values) == 1 && !strings.HasSuffix(kind, "_list") {
		h.Claims[name] = values[0]
	} else {
		h.Claims[name] = values
	}
	return nil
}

func (h *Handler) unmarshalHeader(d *caddyfile.Dispenser) error {
	var name, value string
	if !d.AllArgs(&name, &value) {
		return d.Err("write `header <name> <value>`, as in `header Authorization \"Bearer {jwt}\"`")
	}
	for other := range h.Headers {
		if strings.EqualFold(other, name) {
			return d.Errf("the header %s is there twice: the upstream gets exactly one value", name)
		}
	}
	if h.Headers == nil {
		h.Headers = make(map[string]string)
	}
	h.Headers[name] = value
	return nil
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*App)(nil)
	_ caddyfile.Unmarshaler = (*Handler)(nil)
)
