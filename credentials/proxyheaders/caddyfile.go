package proxyheaders

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"golang.org/x/net/http/httpguts"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// check checks the settings. Those that are empty have defaults.
func (p *ProxyHeaders) check() error {
	if err := checkHeader(p.UserHeader); err != nil {
		return setting.In("user_header", err)
	}
	if err := checkHeader(p.RolesHeader); err != nil {
		return setting.In("roles_header", err)
	}
	if p.UserHeader != "" && fold(p.UserHeader) == fold(p.RolesHeader) {
		return setting.In("roles_header", errors.New("it is the user_header too: use two headers"))
	}
	if err := checkSeparator(p.RolesSeparator); err != nil {
		return setting.In("roles_separator", err)
	}
	return nil
}

// fold makes one spelling of those that a server along the way may treat as the same name of a header.
func fold(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))
}

// others are headers that have another meaning, or that reverse_proxy sets itself.
var others = []string{
	"Authorization", "Proxy-Authorization", "Cookie", "Accept", "Accept-Encoding", "Content-Encoding", "Content-Type",
	"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Forwarded", "Via", "X-Real-Ip", "X-Opaque-Id",
}

func checkHeader(name string) error {
	if name == "" {
		return nil
	}
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case !httpguts.ValidHeaderFieldName(name), strings.Contains(name, "*"): // RFC 9110 allows it, nobody has one
		return fmt.Errorf("%q is not a header name (RFC 9110)", name)
	case slices.Contains(others, canonical), strings.HasPrefix(canonical, "X-Forwarded-"):
		return fmt.Errorf("the header %s has another meaning: use one of its own, such as x-proxy-user", canonical)
	}
	return nil
}

// checkSeparator checks that OpenSearch, to which a separator is a regular expression, splits at the same places. With
// "|" it would split between any two characters.
func checkSeparator(separator string) error {
	switch {
	case separator == "":
		return nil
	case len(separator) != 1 || separator[0] <= ' ' || separator[0] > '~' || isAlphanumeric(separator[0]):
		return fmt.Errorf("%q: write one character of ASCII that is no letter, digit or blank, such as a semicolon",
			separator)
	case regexp.QuoteMeta(separator) != separator:
		return fmt.Errorf("%q has a meaning in a regular expression, as which OpenSearch reads its roles_separator: "+
			"use another, such as a semicolon", separator)
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// UnmarshalCaddyfile sets up the kind from Caddyfile tokens:
//
//	proxy_headers {
//	    user_header     <name>
//	    roles_header    <name>
//	    roles_separator <character>
//	}
func (p *ProxyHeaders) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the kind's name
	if d.NextArg() {
		return d.Errf("proxy_headers takes no %q: write its settings in a block", d.Val())
	}
	lines := setting.NewLines(d)
	err := setting.ParseBlock(d, lines.Record(setting.Parsers{
		"user_header":     func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &p.UserHeader) },
		"roles_header":    func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &p.RolesHeader) },
		"roles_separator": func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &p.RolesSeparator) },
	}))
	if err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return lines.Wrap(err)
	}
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*ProxyHeaders)(nil)
