package identity

import (
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rolemapping"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// Profile is the compiled form of [Settings]. It makes the principal, the groups, the claims and the headers of a
// certificate.
type Profile struct {
	settings  Settings
	issuer    string
	principal principalRule
	groups    []groupRule
	fixed     []token.Claim // iss, aud and all other claims that do not depend on the certificate
	claims    []claimTemplate
	headers   []Header

	principalClaims []string
}

// Headers returns the headers that the handler sets, in the order of [Client.Headers].
func (p *Profile) Headers() []Header { return p.headers }

// wantsGroups reports whether the settings say where groups come from.
func (p *Profile) wantsGroups() bool { return len(p.groups) > 0 || p.settings.RoleMapping != "" }

// GroupSettings returns the settings that groups come from.
func (id *Identifier) GroupSettings() []string { return id.profile.groupSettings() }

// othersSize is how many bytes are reserved for the headers of the client and of reverse_proxy. A certificate is
// refused if its token does not leave that many, whatever the request is.
const othersSize = 2 << 10

// maxInjected returns how many bytes of headers may be injected into a request.
func (p *Profile) maxInjected() int { return p.settings.MaxHeaderSize - othersSize }

// reading is what a profile has read from a certificate.
type reading struct {
	principal string
	groups    []string
	claims    []token.Claim
}

// read reads a certificate. Every error is a refusal.
func (p *Profile) read(cert *certificate, roles *watch.Setting[*rolemapping.Mapping]) (reading, error) {
	principal, err := p.principalOf(cert)
	if err != nil {
		return reading{}, err
	}
	groups, err := p.groupsOf(cert, roles)
	if err != nil {
		return reading{}, err
	}
	claims, err := p.claimsOf(cert, principal, groups)
	if err != nil {
		return reading{}, err
	}
	return reading{principal, groups, claims}, nil
}
