package identity

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/headersize"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/name"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/pattern"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// Settings are what an operator decides about identities. They are those of the handler, where each is
// described.
type Settings struct {
	Issuer    string
	Audience  []string
	TokenType string
	Lifetime  time.Duration

	Principal       string
	UsernamePattern string
	UsernameRDN     string

	Groups        []string
	GroupPatterns []string
	RoleMapping   string

	NameCharacters string

	PrincipalClaim string
	AudienceClaim  string
	GroupsClaim    string
	Claims         map[string]any
	RequiredClaims []string
	Confirmation   bool
	TokenID        bool

	Deny     []string
	CRL      []string
	CRLStale string

	Headers       map[string]string
	MaxHeaderSize int
}

const (
	idToken     = "id_token"
	accessToken = "access_token"

	crlStaleRefuse = "refuse"
	crlStaleAllow  = "allow"

	defaultPrincipal = "{cert.cn}"
	defaultGroups    = "{cert.o}"
	groupsOff        = "off"

	// DefaultUsernamePattern is the PKI realm's default of username_pattern.
	DefaultUsernamePattern = "CN=(.*?)(?:,|$)"
)

// reservedClaims are those that `claim` may not set: the handler sets them, or they would
// change what the others mean (RFC 7519 section 4.1, RFC 7800).
var reservedClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "auth_time"}

// SetDefaults gives the settings that are left out their defaults.
func (s *Settings) SetDefaults() {
	setting.Default(&s.TokenType, idToken)
	setting.Default(&s.CRLStale, crlStaleRefuse)
	setting.Default(&s.NameCharacters, nameCharactersSafe)
	setting.Default(&s.PrincipalClaim, "sub")
	setting.Default(&s.AudienceClaim, "aud")
	setting.Default(&s.GroupsClaim, "roles")
	s.Lifetime = cmp.Or(s.Lifetime, timing.DefaultLifetime)
	s.MaxHeaderSize = cmp.Or(s.MaxHeaderSize, headersize.Default)
}

// Compile compiles the settings, whose defaults are set. Its errors know the setting that is wrong.
func (s *Settings) Compile(resolve setting.Resolver) (*Profile, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	p := &Profile{settings: *s}
	var err error
	if p.issuer, p.fixed, err = s.fixedClaims(resolve); err != nil {
		return nil, err
	}
	if p.principal, err = s.principalRule(resolve); err != nil {
		return nil, err
	}
	if p.groups, err = s.groupRules(resolve); err != nil {
		return nil, err
	}
	if p.principalClaims, err = s.principalClaims(); err != nil {
		return nil, err
	}
	if err := s.checkClaimNames(p.principalClaims); err != nil {
		return nil, err
	}
	if err := p.addClaims(resolve); err != nil {
		return nil, err
	}
	if p.headers, err = s.headers(resolve); err != nil {
		return nil, err
	}
	return p, nil
}

// check checks the settings that are a word or a number.
func (s *Settings) check() error {
	if err := headersize.Check(s.MaxHeaderSize); err != nil {
		return setting.In("max_header_size", err)
	}
	if err := s.checkNameCharacters(); err != nil {
		return err
	}
	if s.Lifetime < timing.MinLifetime || s.Lifetime > timing.MaxLifetime {
		return setting.In("lifetime", fmt.Errorf("use %s to %s, not %s",
			setting.Short(timing.MinLifetime), setting.Short(timing.MaxLifetime), setting.Short(s.Lifetime)))
	}
	if s.CRLStale != crlStaleRefuse && s.CRLStale != crlStaleAllow {
		return setting.In("crl_stale", fmt.Errorf("%q: use refuse or allow", s.CRLStale))
	}
	if s.CRLStale != crlStaleRefuse && len(s.CRL) == 0 {
		return setting.In("crl_stale", errors.New("there is no revocation list that it could be about: "+
			"add a line `crl <file|url>`"))
	}
	return nil
}

// principalRule compiles where the principal comes from.
func (s *Settings) principalRule(resolve setting.Resolver) (principalRule, error) {
	switch {
	case s.UsernamePattern != "" && s.UsernameRDN != "":
		return principalRule{}, setting.In("username_rdn", errors.New("there is a username_pattern too: "+
			"keep one of them, as the PKI realm would"))
	case (s.UsernamePattern != "" || s.UsernameRDN != "") && s.Principal != "":
		return principalRule{}, setting.In("principal", errors.New("there is a username_pattern or username_rdn too: "+
			"keep one of them"))
	case s.UsernamePattern != "":
		compiled, err := pattern.Compile(s.UsernamePattern)
		if err != nil {
			return principalRule{}, setting.In("username_pattern", err)
		}
		return principalRule{setting: "username_pattern " + s.UsernamePattern, pattern: compiled}, nil
	case s.UsernameRDN != "":
		oid, err := x500.ParseAttributeType(s.UsernameRDN)
		if err != nil {
			return principalRule{}, setting.In("username_rdn", err)
		}
		return principalRule{setting: "username_rdn " + s.UsernameRDN, rdn: oid}, nil
	}
	source := s.Principal
	setting.Default(&source, defaultPrincipal)
	t, err := s.templateOf(source, name.Plain, resolve)
	if err != nil {
		return principalRule{}, setting.In("principal", err)
	}
	if t.isStatic() {
		return principalRule{}, setting.In("principal", fmt.Errorf("%q has nothing of the certificate in it: "+
			"everybody would be the same user", source))
	}
	return principalRule{setting: "principal " + source, template: t}, nil
}

// groupRules compiles where groups come from.
func (s *Settings) groupRules(resolve setting.Resolver) ([]groupRule, error) {
	sources := s.Groups
	if slices.Equal(sources, []string{groupsOff}) {
		return nil, nil
	}
	if slices.Contains(sources, groupsOff) {
		return nil, setting.In("groups", errors.New("`off` stands alone: leave it or the others out"))
	}
	if len(sources) == 0 && len(s.GroupPatterns) == 0 && s.RoleMapping == "" {
		sources = []string{defaultGroups}
	}
	var rules []groupRule
	for _, source := range sources {
		t, err := s.templateOf(source, name.Group, resolve)
		if err == nil {
			err = checkStaticGroup(t)
		}
		if err != nil {
			return nil, setting.In("groups", err)
		}
		rules = append(rules, groupRule{source: source, template: t})
	}
	for _, source := range s.GroupPatterns {
		compiled, err := pattern.Compile(source)
		if err != nil {
			return nil, setting.In("group_pattern", err)
		}
		rules = append(rules, groupRule{source: source, pattern: compiled, names: s.nameRule(name.Group)})
	}
	return rules, nil
}

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
		return errors.New("a group looks like a distinguished name, " +
			"which could match a role mapping for another group: write it without the comma or the equals sign")
	}
	return nil
}

// fixedClaims are the issuer and the claims with the issuer and the audiences.
func (s *Settings) fixedClaims(resolve setting.Resolver) (issuer string, claims []token.Claim, err error) {
	if s.Issuer == "" {
		return "", nil, errors.New("no issuer: write `issuer https://es.example.com`, " +
			"the same as the realm's allowed_issuer")
	}
	if len(s.Audience) == 0 {
		return "", nil, errors.New("no audience: write `audience https://elasticsearch.example.com:9200`, " +
			"one of the realm's allowed_audiences")
	}
	if issuer, err = staticText(s.Issuer, resolve); err != nil {
		return "", nil, setting.In("issuer", err)
	}
	audience := make([]string, len(s.Audience))
	for i, a := range s.Audience {
		if audience[i], err = staticText(a, resolve); err != nil {
			return "", nil, setting.In("audience", err)
		}
	}
	if s.TokenType == idToken && s.AudienceClaim != "aud" {
		return "", nil, setting.In("audience_claim", fmt.Errorf("%s: an id_token realm reads aud and nothing else: "+
			"write `token_type access_token` too, or leave audience_claim out", s.AudienceClaim))
	}
	return issuer, []token.Claim{{Name: "iss", Value: issuer}, {Name: s.AudienceClaim, Value: audience}}, nil
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
func (s *Settings) principalClaims() ([]string, error) {
	switch {
	case s.TokenType != idToken && s.TokenType != accessToken:
		return nil, setting.In("token_type", fmt.Errorf("%q: use id_token or access_token, as the realm does",
			s.TokenType))
	case s.TokenType == idToken && s.PrincipalClaim != "sub":
		return []string{"sub", s.PrincipalClaim}, nil
	default:
		return []string{s.PrincipalClaim}, nil
	}
}

// checkClaimNames finds claims that would be there twice, which no realm accepts, and those
// that have a meaning of their own.
func (s *Settings) checkClaimNames(principal []string) error {
	settings := []struct{ name, claim, own string }{
		{"groups_claim", s.GroupsClaim, "roles"},
		{"principal_claim", s.PrincipalClaim, "sub"},
		{"audience_claim", s.AudienceClaim, "aud"},
	}
	for i, c := range settings {
		if c.claim != c.own && slices.Contains(reservedClaims, c.claim) {
			return setting.In(c.name, fmt.Errorf("%s has a meaning of its own (RFC 7519): choose another name",
				c.claim))
		}
		for _, other := range settings[:i] {
			if c.claim == other.claim {
				at := c
				if c.claim == c.own {
					at = other
				}
				return setting.In(at.name, fmt.Errorf("the claim %s would be there twice: "+
					"give principal_claim, audience_claim and groups_claim different names", c.claim))
			}
		}
	}
	names := append(slices.Clone(principal), s.AudienceClaim, s.GroupsClaim)
	for name := range s.Claims {
		switch {
		case name == "":
			return setting.In("claim ", errors.New("it has no name"))
		case slices.Contains(reservedClaims, name):
			return setting.In("claim "+name, errors.New("the handler sets it, "+
				"or it has a meaning of its own (RFC 7519): choose another name"))
		case slices.Contains(names, name):
			return setting.In("claim "+name, errors.New("it already holds the principal, "+
				"the audience or the groups: choose another name"))
		}
	}
	return nil
}

// addClaims compiles the configured claims.
func (p *Profile) addClaims(resolve setting.Resolver) error {
	s := &p.settings
	for _, name := range slices.Sorted(maps.Keys(s.Claims)) {
		required := slices.Contains(s.RequiredClaims, name)
		if err := p.addClaim(claimTemplate{name: name, required: required}, s.Claims[name], resolve); err != nil {
			return setting.In("claim "+name, err)
		}
	}
	for _, name := range s.RequiredClaims {
		if _, ok := s.Claims[name]; !ok {
			return setting.In("required_claim "+name, errors.New("there is no such claim: give it a value"))
		}
	}
	return nil
}

// addClaim compiles a configured claim.
func (p *Profile) addClaim(t claimTemplate, value any, resolve setting.Resolver) error {
	switch v := value.(type) {
	case string:
		return p.addClaimTemplates(t, resolve, v)
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
		return p.addClaimTemplates(t, resolve, texts...)
	case []string:
		t.list = true
		return p.addClaimTemplates(t, resolve, v...)
	case bool, float64:
		p.fixed = append(p.fixed, token.Claim{Name: t.name, Value: v})
		return nil
	default:
		return fmt.Errorf("a %T: use a string, a list of strings, "+
			"a number or a boolean (Elasticsearch takes no objects)", value)
	}
}

func (p *Profile) addClaimTemplates(t claimTemplate, resolve setting.Resolver, texts ...string) error {
	for _, s := range texts {
		parsed, err := p.settings.templateOf(s, name.Plain, resolve)
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

// headers compiles the headers, Authorization first.
func (s *Settings) headers(resolve setting.Resolver) ([]Header, error) {
	const authorization = "Authorization"
	configured := make(map[string]string, len(s.Headers)+1)
	for name, value := range s.Headers {
		name = http.CanonicalHeaderKey(name)
		if _, ok := configured[name]; ok {
			return nil, setting.In("header "+name, errors.New(
				"it is there twice, and the upstream gets exactly one value"))
		}
		configured[name] = value
	}
	if _, ok := configured[authorization]; !ok {
		configured[authorization] = token.Bearer + "{jwt}"
	}
	var headers []Header
	jwt := false
	for _, name := range slices.Sorted(maps.Keys(configured)) {
		h, err := s.headerOf(name, configured[name], resolve)
		if err != nil {
			return nil, setting.In("header "+name, err)
		}
		jwt = jwt || h.HasToken()
		headers = append(headers, h)
	}
	if !jwt {
		return nil, setting.In("header "+authorization, errors.New("no header has {jwt} in it, "+
			"so that the upstream would get no token: write `header Authorization \"Bearer {jwt}\"`"))
	}
	return headers, nil
}

// connectionHeaders are those of one hop, which are for the proxy to set.
var connectionHeaders = []string{
	"Connection", "Content-Length", "Host", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

func (s *Settings) headerOf(header, value string, resolve setting.Resolver) (Header, error) {
	switch {
	case !httpguts.ValidHeaderFieldName(header):
		return Header{}, errors.New("it is not a header name (RFC 9110)")
	case slices.Contains(connectionHeaders, header):
		return Header{}, errors.New("it belongs to the connection, and cannot be set")
	case header == "Es-Client-Authentication":
		return Header{}, errors.New("write `shared_secret {file./path}` instead")
	}
	t, err := s.templateOf(value, name.Header, resolve)
	if err != nil {
		return Header{}, err
	}
	cert := slices.ContainsFunc(t.parts, func(p templatePart) bool { return p.value != nil })
	if t.hasJWT() && cert {
		return Header{}, errors.New("{jwt} and {cert.*} cannot stand in one value: use two headers")
	}
	if len(t.parts) == 0 {
		return Header{}, errors.New("it has no value")
	}
	for _, p := range t.parts {
		if !httpguts.ValidHeaderFieldValue(p.text) || strings.ContainsAny(p.text, "\r\n") {
			return Header{}, errors.New("its value has characters that no header can carry")
		}
	}
	return Header{Name: header, template: t}, nil
}
