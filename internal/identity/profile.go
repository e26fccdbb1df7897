package identity

import (
	"encoding/base64"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/name"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rolemapping"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
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

// principalRule is where the principal comes from: one of template, pattern and rdn.
type principalRule struct {
	setting  string // as an operator writes it
	template template

	// pattern is the PKI realm's username_pattern: searched in the subject as Java renders it;
	// the first group is the name.
	pattern *regexp.Regexp

	// rdn is the PKI realm's username_rdn_name or username_rdn_oid: the attribute's last value,
	// which is its most specific one.
	rdn x500.OID
}

// groupRule is where groups come from: a template, or a pattern that is searched, again and
// again, in the subject as Java renders it.
type groupRule struct {
	source   string // as an operator writes it
	template template
	pattern  *regexp.Regexp
	names    nameRule // for what the pattern finds
}

// setting is the setting that the rule comes from.
func (r *groupRule) setting() string {
	if r.pattern != nil {
		return "group_pattern " + r.source
	}
	return "groups " + r.source
}

// claimTemplate is a configured claim.
type claimTemplate struct {
	name     string
	values   []template
	list     bool // always an array, even of one value
	required bool // a certificate without a value is refused
}

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

// principalOf returns the one user name that the certificate gives.
func (p *Profile) principalOf(cert *certificate) (string, error) {
	values, err := p.principal.values(cert)
	switch {
	case errors.Is(err, errSeveral) || errors.Is(err, x500.ErrSeveral) || len(values) > 1:
		return "", refuseSeveralPrincipals().because(p.principal.setting, err)
	case err != nil:
		return "", refuseName(InvalidName, principalName, p.principal.setting, err)
	case len(values) == 0:
		return "", refuseNoPrincipal().because(p.principal.setting, err)
	}
	if err := name.Clean(values[0]); err != nil {
		return "", refuseName(InvalidName, principalName, p.principal.setting, err)
	}
	return values[0], nil
}

// values returns what the rule finds: one value, or several where the rule is ambiguous.
func (r *principalRule) values(cert *certificate) ([]string, error) {
	switch {
	case r.pattern != nil:
		subject, err := rendered(cert.subject, x500.Name.String)
		if err != nil {
			return nil, err
		}
		if match := r.pattern.FindStringSubmatch(subject); match != nil {
			return []string{match[1]}, nil
		}
		return nil, nil
	case r.rdn != "":
		value, found, err := cert.subject.Last(r.rdn)
		if err != nil || !found {
			return nil, err
		}
		return []string{value}, nil
	default:
		return r.template.values(cert)
	}
}

// groupsOf returns the groups in the order of the configuration, each once.
func (p *Profile) groupsOf(cert *certificate, roles *watch.Setting[*rolemapping.Mapping]) ([]string, error) {
	groups := []string{} // an empty array, not null: no groups
	seen, size := make(map[string]bool), 0
	add := func(group string) {
		if !seen[group] {
			seen[group] = true
			size += len(group)
			groups = append(groups, group)
		}
	}
	for i := range p.groups {
		rule := &p.groups[i]
		values, err := rule.values(cert)
		if err != nil {
			return nil, refuseName(InvalidGroup, groupName, rule.setting(), err)
		}
		for _, group := range values {
			if err := name.Clean(group); err != nil {
				return nil, refuseName(InvalidGroup, groupName, rule.setting(), err)
			}
			if !rule.template.dn && looksLikeDN(group) {
				return nil, refuseGroupLikeDN().because(rule.setting(), err)
			}
			if add(group); size > p.maxInjected() {
				return nil, refuseTooManyGroups(p.settings.MaxHeaderSize)
			}
		}
	}
	mapped, err := p.rolesOf(cert, roles)
	if err != nil {
		return nil, err
	}
	for _, role := range mapped {
		add(role)
	}
	return groups, nil
}

// rolesOf returns the roles that the role mapping, if there is one, gives the certificate's subject.
func (p *Profile) rolesOf(cert *certificate, roles *watch.Setting[*rolemapping.Mapping]) ([]string, error) {
	if roles == nil {
		return nil, nil
	}
	subject, err := rendered(cert.subject, x500.Name.String)
	if err != nil {
		return nil, refuseUnmappableSubject().because("role_mapping "+roles.Name, err)
	}
	if p.settings.safeNames() {
		// Names are compared without regard to case, for which U+212A, the sign for kelvin, is a k.
		if err := name.Unfolded(subject); err != nil {
			return nil, refuseName(InvalidGroup, roleMappingSubject, "role_mapping "+roles.Name, err)
		}
	}
	return roles.Get().Roles(subject), nil
}

// values returns what the rule finds, which may be nothing.
func (r *groupRule) values(cert *certificate) ([]string, error) {
	if r.pattern == nil {
		return r.template.values(cert)
	}
	subject, err := rendered(cert.subject, x500.Name.String)
	if err != nil {
		return nil, err
	}
	var values []string
	for _, match := range r.pattern.FindAllStringSubmatch(subject, -1) {
		if err := r.names.check(match[1]); err != nil {
			return nil, err
		}
		values = append(values, match[1])
	}
	return values, nil
}

// looksLikeDN reports whether Elasticsearch, which compares groups as distinguished names, could take a
// plain group for one, or for another spelling of one:
//
//	rule   groups: "*,ou=y"    for all of a subtree
//	group  x,ou=y              would match it
//	group  a+b, a=b            would not
func looksLikeDN(group string) bool {
	return strings.Contains(group, "=") && strings.ContainsAny(group, `,;+\#"`)
}

// claimsOf puts the claims together, in an order that the certificate cannot influence.
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

// headersOf renders the header values that do not have the token in them.
func (p *Profile) headersOf(cert *certificate) ([]string, error) {
	rendered := make([]string, len(p.headers))
	for i, h := range p.headers {
		if h.template.hasJWT() {
			continue
		}
		values, err := h.template.values(cert)
		switch {
		case name.ProblemOf(err) != "":
			return nil, refuseName(InvalidName, headerName(h.Name), "header "+h.Name, err)
		case err != nil || len(values) != 1 || values[0] != strings.TrimSpace(values[0]):
			// A header's value loses the blanks around it on the way, and is another name then.
			return nil, refuseHeaderValue(h.Name).because("header "+h.Name, err)
		}
		rendered[i] = values[0]
	}
	return rendered, nil
}
