package esrealm

import (
	"fmt"
	"regexp"
)

// claimParser reads one property of a user from a token's claims. It implements
// the settings claims.* and claim_patterns.*.
type claimParser struct {
	realm   *realm
	setting string
	claim   string
	pattern *regexp.Regexp
}

// values returns the strings of the claim. If there is a pattern, it returns the
// first group of each string that matches. A claim that is neither a string nor
// an array of strings is an error.
func (p *claimParser) values(c claimsSet) ([]string, error) {
	if p.claim == "" {
		return nil, nil
	}
	var texts []string
	switch v := c[p.realm.actualName(c, p.claim)].(type) {
	case nil:
	case string:
		texts = []string{v}
	case []any:
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, p.typeError()
			}
			texts = append(texts, s)
		}
	default:
		return nil, p.typeError()
	}
	if p.pattern == nil {
		return texts, nil
	}
	var values []string
	for _, text := range texts {
		if m := p.pattern.FindStringSubmatch(text); m != nil && m[1] != "" {
			values = append(values, m[1])
		}
	}
	return values, nil
}

func (p *claimParser) typeError() error {
	return fmt.Errorf("setting [%s] expects a claim with a string or an array of strings", p.setting)
}

// value returns the first of the values.
func (p *claimParser) value(c claimsSet) (string, bool, error) {
	values, err := p.values(c)
	if err != nil || len(values) == 0 {
		return "", false, err
	}
	return values[0], true, nil
}

// userData is what role mappings know about a user.
type userData struct {
	username string
	dn       *string
	groups   []string
	metadata map[string]any
	realm    string
}

// user makes a user of the claims of a verified token.
func (r *realm) user(c claimsSet) (*user, error) {
	principal, ok, err := r.principal.value(c)
	if err != nil {
		return nil, err
	}
	if !ok || isBlank(principal) {
		return nil, fmt.Errorf("setting [%s]: the claim has no value", r.principal.setting)
	}
	data := &userData{username: principal, metadata: map[string]any{}, realm: r.Name}
	if *r.PopulateUserMetadata {
		data.metadata = c.metadata()
	}
	data.metadata["jwt_token_type"] = string(r.TokenType)
	if data.groups, err = r.groups.values(c); err != nil {
		return nil, err
	}
	u := &user{name: principal, metadata: data.metadata, realm: realmRef{r.Name, "jwt"}}
	for _, p := range []struct {
		parser *claimParser
		target **string
	}{{r.dn, &data.dn}, {r.mail, &u.email}, {r.name, &u.fullName}} {
		if v, ok, err := p.parser.value(c); err != nil {
			return nil, err
		} else if ok {
			*p.target = &v
		}
	}
	u.roles = r.roles(data)
	return u, nil
}
