package identity

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/name"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
)

// claimTemplate is a configured claim.
type claimTemplate struct {
	name     string
	values   []template
	list     bool // always an array, even of one value
	required bool // a certificate without a value is refused
}

// claimsOf returns the claims of a certificate's tokens. Their order does not depend on the certificate.
func (p *Profile) claimsOf(cert *certificate, principal string, groups []string) ([]token.Claim, error) {
	claims := slices.Clone(p.fixed)
	for _, name := range p.principalClaims {
		claims = append(claims, token.Claim{Name: name, Value: principal})
	}
	claims = append(claims, token.Claim{Name: p.settings.GroupsClaim, Value: groups})
	for _, t := range p.claims {
		value, err := t.value(cert)
		if err != nil {
			return nil, err
		}
		if value == nil && t.required {
			return nil, refuseNoClaim(t.name)
		}
		claims = append(claims, token.Claim{Name: t.name, Value: value})
	}
	if p.settings.Confirmation {
		fingerprint := cert.fingerprint()
		thumbprint := base64.RawURLEncoding.EncodeToString(fingerprint[:])
		claims = append(claims, token.Claim{Name: "cnf", Value: map[string]string{"x5t#S256": thumbprint}})
	}
	return claims, nil
}

// value returns a string, a []string, or nil for a claim that the certificate has no value for.
func (t claimTemplate) value(cert *certificate) (any, error) {
	var all []string
	for _, v := range t.values {
		values, err := v.values(cert)
		if err != nil {
			return nil, refuseName(InvalidName, claimName(t.name), "claim "+t.name, err)
		}
		all = append(all, values...)
	}
	switch {
	case len(all) == 0:
		return nil, nil
	case len(all) == 1 && !t.list:
		return all[0], nil
	default:
		return all, nil
	}
}

// reservedClaims are the claims that the setting `claim` may not set. The handler sets them, or they would change what
// the others mean (RFC 7519 section 4.1, RFC 7800).
var reservedClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "auth_time"}

// fixedClaims returns the issuer, and the claims that have the issuer and the audiences.
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

// principalClaims returns the names of the claims that have the principal. An id_token realm requires sub.
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

// checkClaimNames returns an error if a claim would be in the token twice, which no realm accepts, or if a name is
// reserved.
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

// compileClaims compiles the configured claims.
func (p *Profile) compileClaims(resolve setting.Resolver) error {
	s := &p.settings
	for _, name := range slices.Sorted(maps.Keys(s.Claims)) {
		required := slices.Contains(s.RequiredClaims, name)
		if err := p.compileClaim(claimTemplate{name: name, required: required}, s.Claims[name], resolve); err != nil {
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

// compileClaim compiles a configured claim.
func (p *Profile) compileClaim(t claimTemplate, value any, resolve setting.Resolver) error {
	switch v := value.(type) {
	case string:
		return p.compileClaimValues(t, resolve, v)
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
		return p.compileClaimValues(t, resolve, texts...)
	case []string:
		t.list = true
		return p.compileClaimValues(t, resolve, v...)
	case bool, float64:
		p.fixed = append(p.fixed, token.Claim{Name: t.name, Value: v})
		return nil
	default:
		return fmt.Errorf("a %T: use a string, a list of strings, "+
			"a number or a boolean (Elasticsearch takes no objects)", value)
	}
}

func (p *Profile) compileClaimValues(t claimTemplate, resolve setting.Resolver, texts ...string) error {
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
