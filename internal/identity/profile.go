package identity

import (
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rolemapping"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// Profile is what settings say that a certificate means, compiled.
type Profile struct {
	settings  Settings
	issuer    string
	principal principalRule
	groups    []groupRule
	fixed     []token.Claim // iss, aud and what else does not depend on the certificate
	claims    []claimTemplate
	headers   []Header

	principalClaims []string
}

// Headers are those that the upstream gets, in the order of [Client.Headers].
func (p *Profile) Headers() []Header { return p.headers }

// othersSize is what the headers of a client and of reverse_proxy may have beside those that we
// inject: a certificate whose token leaves less is refused, whatever the request.
const othersSize = 2 << 10

// maxInjected is how many bytes of headers we add to a request at most: the rest is for the client's and
// the proxy's own.
func (p *Profile) maxInjected() int { return p.settings.MaxHeaderSize - othersSize }

// reading is what a profile makes of a certificate.
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
