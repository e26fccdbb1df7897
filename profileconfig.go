package esjwt

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/name"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/pattern"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// profile compiles what the configuration says about identities.
func (h *Handler) profile(resolve setting.Resolver) (profile, error) {
	p := profile{
		lifetime:     time.Duration(h.Lifetime),
		groupsClaim:  h.GroupsClaim,
		confirmation: h.Confirmation,
		jti:          h.TokenID,
		safeNames:    h.safeNames(),

		maxHeaderSize: h.MaxHeaderSize,
	}
	if err := checkMaxHeaderSize(p.maxHeaderSize); err != nil {
		return profile{}, err
	}
	if err := h.checkNameCharacters(); err != nil {
		return profile{}, err
	}
	if p.lifetime < timing.MinLifetime || p.lifetime > timing.MaxLifetime {
		return profile{}, setting.In("lifetime", fmt.Errorf("use %s to %s, not %s", setting.Short(timing.MinLifetime), setting.Short(timing.MaxLifetime), setting.Short(p.lifetime)))
	}
	if h.Certificate != certificateRequired && h.Certificate != certificateOptional {
		return profile{}, setting.In("certificate", fmt.Errorf("%q: use required or optional", h.Certificate))
	}
	if h.CRLStale != crlStaleRefuse && h.CRLStale != crlStaleAllow {
		return profile{}, setting.In("crl_stale", fmt.Errorf("%q: use refuse or allow", h.CRLStale))
	}
	if h.CRLStale != crlStaleRefuse && len(h.CRL) == 0 {
		return profile{}, setting.In("crl_stale", errors.New("there is no revocation list that it could be about: add a line `crl <file|url>`"))
	}
	if h.CredentialAPIs != credentialAPIsAllow && h.CredentialAPIs != credentialAPIsRefuse {
		return profile{}, setting.In("credential_apis", fmt.Errorf("%q: use refuse or allow", h.CredentialAPIs))
	}
	var err error
	if p.fixed, err = h.fixedClaims(resolve); err != nil {
		return profile{}, err
	}
	if p.principal, err = h.principalRule(resolve); err != nil {
		return profile{}, err
	}
	if p.groups, err = h.groupRules(resolve); err != nil {
		return profile{}, err
	}
	if p.principalClaims, err = h.principalClaims(); err != nil {
		return profile{}, err
	}
	if err := h.checkClaimNames(p.principalClaims); err != nil {
		return profile{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(h.Claims)) {
		required := slices.Contains(h.RequiredClaims, name)
		if err := h.addClaim(&p, claimTemplate{name: name, required: required}, h.Claims[name], resolve); err != nil {
			return profile{}, setting.In("claim "+name, err)
		}
	}
	for _, name := range h.RequiredClaims {
		if _, ok := h.Claims[name]; !ok {
			return profile{}, setting.In("required_claim "+name, errors.New("there is no such claim: give it a value"))
		}
	}
	if p.headers, err = h.headerTemplates(resolve); err != nil {
		return profile{}, err
	}
	return p, nil
}

// principalRule compiles where the principal comes from.
func (h *Handler) principalRule(resolve setting.Resolver) (principalRule, error) {
	switch {
	case h.UsernamePattern != "" && h.UsernameRDN != "":
		return principalRule{}, setting.In("username_rdn", errors.New("there is a username_pattern too: keep one of them, as the PKI realm would"))
	case (h.UsernamePattern != "" || h.UsernameRDN != "") && h.Principal != "":
		return principalRule{}, setting.In("principal", errors.New("there is a username_pattern or username_rdn too: keep one of them"))
	case h.UsernamePattern != "":
		compiled, err := pattern.Compile(h.UsernamePattern)
		if err != nil {
			return principalRule{}, setting.In("username_pattern", err)
		}
		return principalRule{setting: "username_pattern " + h.UsernamePattern, pattern: compiled}, nil
	case h.UsernameRDN != "":
		oid, err := x500.ParseAttributeType(h.UsernameRDN)
		if err != nil {
			return principalRule{}, setting.In("username_rdn", err)
		}
		return principalRule{setting: "username_rdn " + h.UsernameRDN, rdn: oid}, nil
	}
	source := h.Principal
	setting.Default(&source, defaultPrincipal)
	t, err := h.templateOf(source, name.Plain, resolve)
	if err != nil {
		return principalRule{}, setting.In("principal", err)
	}
	if t.isStatic() {
		return principalRule{}, setting.In("principal", fmt.Errorf("%q has nothing of the certificate in it: everybody would be the same user", source))
	}
	return principalRule{setting: "principal " + source, template: t}, nil
}

// groupRules compiles where groups come from.
func (h *Handler) groupRules(resolve setting.Resolver) ([]groupRule, error) {
	sources := h.Groups
	if slices.Equal(sources, []string{groupsOff}) {
		return nil, nil
	}
	if slices.Contains(sources, groupsOff) {
		return nil, setting.In("groups", errors.New("`off` stands alone: leave it or the others out"))
	}
	if len(sources) == 0 && len(h.GroupPatterns) == 0 && h.RoleMapping == "" {
		sources = []string{defaultGroups}
	}
	var rules []groupRule
	for _, source := range sources {
		t, err := h.templateOf(source, name.Group, resolve)
		if err == nil {
			err = checkStaticGroup(t)
		}
		if err != nil {
			return nil, setting.In("groups", err)
		}
		rules = append(rules, groupRule{source: source, template: t})
	}
	for _, source := range h.GroupPatterns {
		compiled, err := pattern.Compile(source)
		if err != nil {
			return nil, setting.In("group_pattern", err)
		}
		rules = append(rules, groupRule{source: source, pattern: compiled, names: h.nameRule(name.Group)})
	}
	return rules, nil
}

// defaultUsernamePattern is the PKI realm's default of username_pattern.
const defaultUsernamePattern = "CN=(.*?)(?:,|$)"

// checkStaticText finds a value that is the same for every client, and could be used for none.
func checkStaticText(t template) error {
	if !t.isStatic() {
		return nil
	}
	if values, err := t.values(nil); err != nil || !cleanText(values[0]) {
		return errors.New("a value is empty or has control characters in it")
	}
	return nil
}

func checkStaticGroup(t template) error {
	if err := checkStaticText(t); err != nil || !t.isStatic() {
		return err
	}
	if values, err := t.values(nil); err != nil || looksLikeDN(values[0]) {
		return errors.New("a group looks like a distinguished name, which could match a role mapping for another group: write it without the comma or the equals sign")
	}
	return nil
}

// fixedClaims are the issuer and the audiences.
func (h *Handler) fixedClaims(resolve setting.Resolver) ([]token.Claim, error) {
	if h.Issuer == "" {
		return nil, errors.New("no issuer: write `issuer https://es.example.com`, the same as the realm's allowed_issuer")
	}
	if len(h.Audience) == 0 {
		return nil, errors.New("no audience: write `audience https://elasticsearch.example.com:9200`, one of the realm's allowed_audiences")
	}
	issuer, err := staticText(h.Issuer, resolve)
	if err != nil {
		return nil, setting.In("issuer", err)
	}
	audience := make([]string, len(h.Audience))
	for i, a := range h.Audience {
		if audience[i], err = staticText(a, resolve); err != nil {
			return nil, setting.In("audience", err)
		}
	}
	if h.TokenType == idToken && h.AudienceClaim != "aud" {
		return nil, setting.In("audience_claim", fmt.Errorf("%s: an id_token realm reads aud and nothing else: write `token_type access_token` too, or leave audience_claim out", h.AudienceClaim))
	}
	return []token.Claim{{Name: "iss", Value: issuer}, {Name: h.AudienceClaim, Value: audience}}, nil
}

// staticText evaluates a setting that may have {env.*} and {file.*} in it, and nothing else.
func staticText(s string, resolve setting.Resolver) (string, error) {
	t, err := parseTemplate(s, false, resolve)
	if err != nil {
		return "", err
	}
	if !t.isStatic() {
		return "", fmt.Errorf("%s has a {cert.*} placeholder: it must be the same for every client", setting.Quoted(s))
	}
	values, err := t.values(nil)
	if err != nil {
		return "", err
	}
	if !cleanText(values[0]) {
		return "", fmt.Errorf("%s is empty or has control characters in it", setting.Quoted(s))
	}
	return values[0], nil
}

// principalClaims are the claims that hold the principal. An id_token realm insists on sub.
func (h *Handler) principalClaims() ([]string, error) {
	switch {
	case h.TokenType != idToken && h.TokenType != accessToken:
		return nil, setting.In("token_type", fmt.Errorf("%q: use id_token or access_token, as the realm does", h.TokenType))
	case h.TokenType == idToken && h.PrincipalClaim != "sub":
		return []string{"sub", h.PrincipalClaim}, nil
	default:
		return []string{h.PrincipalClaim}, nil
	}
}

// checkClaimNames finds claims that would be there twice, which no realm accepts, and those
// that have a meaning of their own.
func (h *Handler) checkClaimNames(principal []string) error {
	settings := []struct{ name, claim, own string }{
		{"groups_claim", h.GroupsClaim, "roles"},
		{"principal_claim", h.PrincipalClaim, "sub"},
		{"audience_claim", h.AudienceClaim, "aud"},
	}
	for i, s := range settings {
		if s.claim != s.own && slices.Contains(reservedClaims, s.claim) {
			return setting.In(s.name, fmt.Errorf("%s has a meaning of its own (RFC 7519): choose another name", s.claim))
		}
		for _, other := range settings[:i] {
			if s.claim == other.claim {
				at := s
				if s.claim == s.own {
					at = other
				}
				return setting.In(at.name, fmt.Errorf("the claim %s would be there twice: give principal_claim, audience_claim and groups_claim different names", s.claim))
			}
		}
	}
	names := append(slices.Clone(principal), h.AudienceClaim, h.GroupsClaim)
	for name := range h.Claims {
		switch {
		case name == "":
			return setting.In("claim ", errors.New("it has no name"))
		case slices.Contains(reservedClaims, name):
			return setting.In("claim "+name, errors.New("the handler sets it, or it has a meaning of its own (RFC 7519): choose another name"))
		case slices.Contains(names, name):
			return setting.In("claim "+name, errors.New("it already holds the principal, the audience or the groups: choose another name"))
		}
	}
	return nil
}

// addClaim compiles a configured claim.
func (h *Handler) addClaim(p *profile, t claimTemplate, value any, resolve setting.Resolver) error {
	switch v := value.(type) {
	case string:
		return h.addClaimTemplates(p, t, resolve, v)
	case []any:
		t.list = true
		texts := make([]string, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				return fmt.Errorf("a list of %T: use a list of strings", e)
			}
			texts[i] = s
		}
		return h.addClaimTemplates(p, t, resolve, texts...)
	case []string:
		t.list = true
		return h.addClaimTemplates(p, t, resolve, v...)
	case bool, float64:
		p.fixed = append(p.fixed, token.Claim{Name: t.name, Value: v})
		return nil
	default:
		return fmt.Errorf("a %T: use a string, a list of strings, a number or a boolean (Elasticsearch takes no objects)", value)
	}
}

func (h *Handler) addClaimTemplates(p *profile, t claimTemplate, resolve setting.Resolver, texts ...string) error {
	for _, s := range texts {
		parsed, err := h.templateOf(s, name.Plain, resolve)
		if err == nil {
			err = checkStaticText(parsed)
		}
		if err != nil {
			return err
		}
		t.values = append(t.values, parsed)
	}
	if len(texts) == 0 {
		return errors.New("no value")
	}
	p.claims = append(p.claims, t)
	return nil
}

// headerTemplates compiles the headers, Authorization first.
func (h *Handler) headerTemplates(resolve setting.Resolver) ([]headerTemplate, error) {
	const authorization = "Authorization"
	configured := make(map[string]string, len(h.Headers)+1)
	for name, value := range h.Headers {
		name = http.CanonicalHeaderKey(name)
		if _, ok := configured[name]; ok {
			return nil, setting.In("header "+name, errors.New("it is there twice, and the upstream gets exactly one value"))
		}
		configured[name] = value
	}
	if _, ok := configured[authorization]; !ok {
		configured[authorization] = bearer + "{jwt}"
	}
	var headers []headerTemplate
	jwt := false
	for _, name := range slices.Sorted(maps.Keys(configured)) {
		t, err := h.headerTemplateOf(name, configured[name], resolve)
		if err != nil {
			return nil, setting.In("header "+name, err)
		}
		jwt = jwt || t.hasJWT()
		headers = append(headers, t)
	}
	if !jwt {
		return nil, setting.In("header "+authorization, errors.New("no header has {jwt} in it, so that the upstream would get no token: write `header Authorization \"Bearer {jwt}\"`"))
	}
	return headers, nil
}

func (h *Handler) headerTemplateOf(header, value string, resolve setting.Resolver) (headerTemplate, error) {
	switch {
	case !httpguts.ValidHeaderFieldName(header):
		return headerTemplate{}, errors.New("it is not a header name (RFC 9110)")
	case slices.Contains([]string{"Connection", "Content-Length", "Host", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}, header):
		return headerTemplate{}, errors.New("it belongs to the connection, and cannot be set")
	case header == clientAuthHeader:
		return headerTemplate{}, errors.New("write `shared_secret {file./path}` instead")
	}
	t, err := h.templateOf(value, name.Header, resolve)
	if err != nil {
		return headerTemplate{}, err
	}
	cert := slices.ContainsFunc(t.parts, func(p templatePart) bool { return p.value != nil })
	if t.hasJWT() && cert {
		return headerTemplate{}, errors.New("{jwt} and {cert.*} cannot stand in one value: use two headers")
	}
	if len(t.parts) == 0 {
		return headerTemplate{}, errors.New("it has no value")
	}
	for _, p := range t.parts {
		if !httpguts.ValidHeaderFieldValue(p.text) || strings.ContainsAny(p.text, "\r\n") {
			return headerTemplate{}, errors.New("its value has characters that no header can carry")
		}
	}
	return headerTemplate{name: header, template: t}, nil
}
