package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// template is a configured value with {cert.*} placeholders, and {jwt} in the value of a header. The placeholders
// {env.*} and {file.*} are replaced when a template is parsed.
type template struct {
	parts []templatePart
	dn    bool     // it has a whole distinguished name in it
	names nameRule // for the values of the certificate
}

// templatePart is text, a value of the certificate, or the token.
type templatePart struct {
	text  string
	value certValue // nil: the part is no value of the certificate
	name  string    // of the value, without "cert."
	jwt   bool      // the part is the token
}

// parseTemplate parses a configured value. A brace that does not belong to a placeholder is written \{.
func parseTemplate(s string, allowJWT bool, resolve setting.Resolver) (template, error) {
	var t template
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			t.parts = append(t.parts, templatePart{text: text.String()})
			text.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '{' || s[i+1] == '}'):
			i++
			text.WriteByte(s[i])
		case s[i] == '{':
			length := strings.IndexByte(s[i:], '}')
			if length < 0 {
				return template{}, fmt.Errorf("%s has a { without a }: write \\{ if you mean a brace",
					setting.Quoted(s))
			}
			name := s[i+1 : i+length]
			i += length
			switch {
			case strings.HasPrefix(name, "env."), strings.HasPrefix(name, "file."):
				value, err := resolve("{" + name + "}")
				if err != nil {
					return template{}, err
				}
				text.WriteString(value)
			case name == "jwt" && allowJWT:
				flush()
				t.parts = append(t.parts, templatePart{jwt: true})
			default:
				value, err := lookupCertValue(name, allowJWT)
				if err != nil {
					return template{}, err
				}
				flush()
				part := templatePart{value: value, name: strings.TrimPrefix(name, "cert.")}
				t.parts = append(t.parts, part)
				t.dn = t.dn || part.isDN()
			}
		default:
			text.WriteByte(s[i])
		}
	}
	flush()
	return t, nil
}

// isDN reports whether the part is a whole distinguished name.
func (p templatePart) isDN() bool { return slices.Contains(dnValues, p.name) }

// lookupCertValue returns what a placeholder stands for. Its errors name {jwt} among those that there are if that is
// allowed.
func lookupCertValue(placeholder string, allowJWT bool) (certValue, error) {
	name, isCert := strings.CutPrefix(placeholder, "cert.")
	value, known := certValues[name]
	switch {
	case isCert && known:
		return value, nil
	case strings.HasPrefix(placeholder, setting.FileShorthand):
		return nil, setting.ErrFileShorthand(placeholder)
	case strings.HasPrefix(placeholder, "http."):
		return nil, fmt.Errorf("{%s} comes from the request, and nothing in a request may say who a client is: "+
			"use %s", placeholder, certValueNames())
	case placeholder == "jwt":
		return nil, errors.New("{jwt} can only be used in a header value")
	default:
		known := certValueNames()
		if allowJWT {
			known = "{jwt}, " + known
		}
		if meant := nearestPlaceholder(placeholder, allowJWT); meant != "" {
			return nil, fmt.Errorf("unknown placeholder {%s}: did you mean {%s}? Otherwise use one of %s, {env.*} or {file.*}",
				placeholder, meant, known)
		}
		return nil, fmt.Errorf("unknown placeholder {%s}: use %s, {env.*} or {file.*}", placeholder, known)
	}
}

// errSeveral is the error of a placeholder with several values in a longer text.
var errSeveral = errors.New("has several values where one is needed")

// values returns the values of a template for a certificate. A template that is just one placeholder has all values of
// the placeholder. In a longer text each placeholder must have exactly one value. If one has none, the template has
// none:
//
//	{cert.o}              O=a, O=b    a and b
//	{cert.cn}@{cert.o}    CN=x, O=a   x@a
//	{cert.cn}@{cert.o}    CN=x        nothing
//	{cert.cn}@{cert.o}    two O       errSeveral
func (t template) values(cert *certificate) ([]string, error) {
	if len(t.parts) == 1 && t.parts[0].value != nil {
		return t.valuesOf(t.parts[0], cert)
	}
	var text strings.Builder
	for _, p := range t.parts {
		if p.value == nil {
			text.WriteString(p.text)
			continue
		}
		values, err := t.valuesOf(p, cert)
		switch {
		case err != nil:
			return nil, err
		case len(values) == 0:
			return nil, nil
		case len(values) > 1:
			return nil, errSeveral
		}
		text.WriteString(values[0])
	}
	return []string{text.String()}, nil
}

// valuesOf returns the values of a placeholder. Each must be a name that the rule allows.
func (t template) valuesOf(p templatePart, cert *certificate) ([]string, error) {
	values, err := p.value(cert)
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		if err := t.names.in(p).check(v); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// isStatic reports whether the template is text without placeholders.
func (t template) isStatic() bool {
	return !slices.ContainsFunc(t.parts, func(p templatePart) bool { return p.value != nil || p.jwt })
}

// hasJWT reports whether {jwt} is in the template.
func (t template) hasJWT() bool {
	return slices.ContainsFunc(t.parts, func(p templatePart) bool { return p.jwt })
}
