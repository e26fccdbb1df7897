package esjwt

import (
	"encoding/base64"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/name"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rolemapping"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// profile is what the configuration says that a certificate means.
type profile struct {
	principal   principalRule
	groups      []groupRule
	roleMapping *watch.Setting[*rolemapping.Mapping] // nil: none
	fixed       []token.Claim                        // iss, aud and what else does not depend on the certificate
	claims      []claimTemplate
	headers     []headerTemplate
	lifetime    time.Duration

	maxHeaderSize int // that the cluster reads

	principalClaims []string
	groupsClaim     string
	confirmation    bool
	jti             bool
	safeNames       bool
}

// issuer is the iss of the tokens.
func (p *profile) issuer() string {
	for _, c := range p.fixed {
		if iss, ok := c.Value.(string); ok && c.Name == "iss" {
			return iss
		}
	}
	return ""
}

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
func (p *profile) read(cert *certificate) (reading, error) {
	principal, err := p.principalOf(cert)
	if err != nil {
		return reading{}, err
	}
	groups, err := p.groupsOf(cert)
	if err != nil {
		return reading{}, err
	}
	claims, err := p.claimsOf(cert, principal, groups)
	if err != nil {
		return reading{}, err
	}
	return reading{principal, groups, claims}, nil
}

// principalName is what a refusal calls it.
const principalName = "the name that would be the principal"

// principalOf returns the one user name that the certificate gives.
func (p *profile) principalOf(cert *certificate) (string, error) {
	values, err := p.principal.values(cert)
	switch {
	case errors.Is(err, errSeveral) || errors.Is(err, x500.ErrSeveral) || len(values) > 1:
		return "", refuse(noPrincipal, "the certificate has several values for the principal, and which one is the user cannot be guessed: choose a principal that is single").because(p.principal.setting, err)
	case err != nil:
		return "", refuseName(invalidName, principalName, p.principal.setting, err)
	case len(values) == 0:
		return "", refuse(noPrincipal, "the certificate lacks what the principal is made of: issue it with such a name, or choose another principal").because(p.principal.setting, err)
	}
	if err := name.Clean(values[0]); err != nil {
		return "", refuseName(invalidName, principalName, p.principal.setting, err)
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

// groupName is what a refusal calls a group.
const groupName = "a group in the certificate"

// groupsOf returns the groups in the order of the configuration, each once.
func (p *profile) groupsOf(cert *certificate) ([]string, error) {
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
			return nil, refuseName(invalidGroup, groupName, rule.setting(), err)
		}
		for _, group := range values {
			if err := name.Clean(group); err != nil {
				return nil, refuseName(invalidGroup, groupName, rule.setting(), err)
			}
			if !rule.template.dn && looksLikeDN(group) {
				return nil, refuse(invalidGroup, "a group in the certificate looks like a distinguished name, which could match a role mapping for another group: issue it without the equals sign, or take whole names with {cert.dn}").because(rule.setting(), err)
			}
			if add(group); size > p.maxInjected() {
				return nil, refuse(tooLarge, "the groups of this certificate would not fit into the headers that the cluster reads, %d bytes in all: "+
					"put fewer or shorter groups into the token", p.maxHeaderSize)
			}
		}
	}
	if p.roleMapping != nil {
		subject, err := rendered(cert.subject, x500.Name.String)
		if err != nil {
			return nil, refuse(invalidGroup, "the certificate's subject has a control character in it, so that no role mapping can be trusted to tell it from another: issue it without").because("role_mapping "+p.roleMapping.Name, err)
		}
		if err := p.unfolded(subject); err != nil {
			return nil, refuseName(invalidGroup, "the certificate's subject, which role_mapping is about,", "role_mapping "+p.roleMapping.Name, err)
		}
		for _, role := range p.roleMapping.Get().Roles(subject) {
			add(role)
		}
	}
	return groups, nil
}

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

// looksLikeDN reports whether a role-mapping rule for a subtree, such as "*,ou=y", could take
// a plain group for a name in it, or for another spelling of one. Elasticsearch compares groups as
// distinguished names.
func looksLikeDN(group string) bool {
	return strings.Contains(group, "=") && strings.ContainsAny(group, `,;+\#"`)
}

// unfolded reports whether a subject can be told from another one where case does not count.
func (p *profile) unfolded(subject string) error {
	if !p.safeNames {
		return nil
	}
	return name.Unfolded(subject)
}

// claimsOf puts the claims together, in an order that the certificate cannot influence.
func (p *profile) claimsOf(cert *certificate, principal string, groups []string) ([]token.Claim, error) {
	claims := slices.Clone(p.fixed)
	for _, name := range p.principalClaims {
		claims = append(claims, token.Claim{Name: name, Value: principal})
	}
	claims = append(claims, token.Claim{Name: p.groupsClaim, Value: groups})
	for _, t := range p.claims {
		value, err := t.value(cert)
		if err != nil {
			return nil, err
		}
		if value == nil && t.required {
			return nil, refuse(noClaim, "the certificate lacks what the claim %s is made of: issue it with such a value, or do not require the claim", t.name)
		}
		claims = append(claims, token.Claim{Name: t.name, Value: value})
	}
	if p.confirmation {
		fingerprint := cert.fingerprint()
		claims = append(claims, token.Claim{Name: "cnf", Value: map[string]string{"x5t#S256": base64.RawURLEncoding.EncodeToString(fingerprint[:])}})
	}
	return claims, nil
}

// value returns a string, a []string, or nil for a claim that the certificate has no value for.
func (t claimTemplate) value(cert *certificate) (any, error) {
	var all []string
	for _, v := range t.values {
		values, err := v.values(cert)
		if err != nil {
			return nil, refuseName(invalidName, "the value of the claim "+t.name+" in the certificate", "claim "+t.name, err)
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
func (p *profile) headersOf(cert *certificate) ([]string, error) {
	rendered := make([]string, len(p.headers))
	for i, h := range p.headers {
		if h.hasJWT() {
			continue
		}
		values, err := h.values(cert)
		switch {
		case name.ProblemOf(err) != "":
			return nil, refuseName(invalidName, "the value of the header "+h.name+" in the certificate", "header "+h.name, err)
		case err != nil || len(values) != 1 || values[0] != strings.TrimSpace(values[0]):
			// A header's value loses the blanks around it on the way, and is another name then.
			return nil, refuse(invalidName, "the certificate has no single clean value for the header %s: issue it with one, without blanks around it, or take the header out", h.name).because("header "+h.name, err)
		}
		rendered[i] = values[0]
	}
	return rendered, nil
}
