package identity

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/name"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/pattern"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// principalRule makes the principal of a certificate, with one of template, pattern and rdn.
type principalRule struct {
	setting  string // the setting that the rule comes from, with its value
	template template

	// pattern is the PKI realm's username_pattern. Its first group in the subject, as Java renders it, is the name.
	pattern *regexp.Regexp

	// rdn is the PKI realm's username_rdn_name or username_rdn_oid. The last value of the attribute, which is the most
	// specific one, is the name.
	rdn x500.OID
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

// values returns the names that the rule finds. The caller refuses several, since nobody can tell which is the user.
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

// compilePrincipal compiles the settings principal, username_pattern and username_rdn.
func (s *Settings) compilePrincipal(resolve setting.Resolver) (principalRule, error) {
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
	setting.SetDefault(&source, defaultPrincipal)
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
