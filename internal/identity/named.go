package identity

import (
	"slices"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
)

// Named returns a client whose name comes from the configuration, and not from a certificate: one for health checks. It
// has no groups, and of the configured claims and headers those that are the same for every client.
func (id *Identifier) Named(principal string) (*Client, error) {
	p := id.profile
	client := &Client{
		Holder:    token.Holder{Lifetime: p.settings.Lifetime},
		Principal: principal,
		Headers:   p.constantHeaders(),
	}
	var err error
	client.Claims, err = token.Encode(p.claimsOfName(principal), p.settings.TokenID)
	return client, err
}

// claimsOfName returns the claims that need no certificate, in the order of claimsOf.
func (p *Profile) claimsOfName(principal string) []token.Claim {
	claims := slices.Clone(p.fixed)
	for _, name := range p.principalClaims {
		claims = append(claims, token.Claim{Name: name, Value: principal})
	}
	claims = append(claims, token.Claim{Name: p.settings.GroupsClaim, Value: []string{}})
	for _, t := range p.claims {
		if slices.ContainsFunc(t.values, func(v template) bool { return !v.isStatic() }) {
			continue
		}
		if value, err := t.value(nil); err == nil {
			claims = append(claims, token.Claim{Name: t.name, Value: value})
		}
	}
	return claims
}

// constantHeaders returns the values of the headers that need neither a certificate nor a token. The others are "".
func (p *Profile) constantHeaders() []string {
	rendered := make([]string, len(p.headers))
	for i, h := range p.headers {
		if !h.template.isStatic() {
			continue
		}
		if values, err := h.template.values(nil); err == nil {
			rendered[i] = values[0]
		}
	}
	return rendered
}
