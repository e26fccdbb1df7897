package identity

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/name"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/pattern"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rolemapping"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// groupRule makes groups of a certificate, with a template or with a pattern. All matches of the pattern in the
// subject, as Java renders it, are groups.
type groupRule struct {
	source   string // the value of the setting
	template template
	pattern  *regexp.Regexp // nil: there is a template
	names    nameRule       // for what the pattern finds
}

// setting returns the setting that the rule comes from, with its value.
func (r *groupRule) setting() string {
	if r.pattern != nil {
		return "group_pattern " + r.source
	}
	return "groups " + r.source
}

// groupsOf returns the groups of a certificate in the order of the configuration, each once.
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
		// Elasticsearch compares names without regard to case, and takes U+212A, the Kelvin sign, for a k.
		if err := name.Unfolded(subject); err != nil {
			return nil, refuseName(InvalidGroup, roleMappingSubject, "role_mapping "+roles.Name, err)
		}
	}
	return roles.Get().Roles(subject), nil
}

// values returns the groups that the rule makes of a certificate. There may be none.
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

// looksLikeDN reports whether Elasticsearch could take a plain group for a distinguished name. It compares groups in
// role mappings as distinguished names:
//
//	role mapping   groups: "*,ou=y"    all groups of a subtree
//	group          x,ou=y              would match it
//	group          a+b or a=b          would not
func looksLikeDN(group string) bool {
	return strings.Contains(group, "=") && strings.ContainsAny(group, `,;+\#"`)
}

// compileGroups compiles the settings groups and group_pattern.
func (s *Settings) compileGroups(resolve setting.Resolver) ([]groupRule, error) {
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
