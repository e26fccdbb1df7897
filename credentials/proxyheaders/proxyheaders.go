// Package proxyheaders is the kind of credential that OpenSearch's proxy authenticator believes: two headers with the
// name of the user and its backend roles.
package proxyheaders

import (
	"context"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

func init() {
	caddy.RegisterModule(new(ProxyHeaders))
}

// ProxyHeaders sends the client's principal and groups in two headers, which OpenSearch's authenticator `proxy` takes for
// the user and its backend roles. There is no Authorization, and no key: OpenSearch believes whoever connects from an
// address in its setting xff.internalProxies. So that must be the address of this proxy and of nobody else, and no client
// may have another way to a node. Elasticsearch has nothing like it.
//
// A client whose name or groups OpenSearch would read as others is refused with invalid_name: what is not ASCII, which
// OpenSearch reads in another encoding, and a group with the separator in it.
type ProxyHeaders struct {
	// The header with the user's name, as in user_header of the authenticator. Default: x-proxy-user.
	UserHeader string `json:"user_header,omitempty"`

	// The header with the groups, as in roles_header of the authenticator. A client without a group has none. Default:
	// x-proxy-roles.
	RolesHeader string `json:"roles_header,omitempty"`

	// What is between two groups, as in roles_separator of the authenticator: one character, which is no letter, digit or
	// blank, and has no meaning in a regular expression, as which OpenSearch reads it. Default: a comma.
	RolesSeparator string `json:"roles_separator,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*ProxyHeaders) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt.credentials.proxy_headers",
		New: func() caddy.Module { return new(ProxyHeaders) },
	}
}

// Provision checks the settings, and sets the defaults.
func (p *ProxyHeaders) Provision(caddy.Context) error {
	setting.SetDefault(&p.UserHeader, "x-proxy-user")
	setting.SetDefault(&p.RolesHeader, "x-proxy-roles")
	setting.SetDefault(&p.RolesSeparator, ",")
	return p.check()
}

// Sets implements [credential.Maker].
func (p *ProxyHeaders) Sets() []string {
	return []string{http.CanonicalHeaderKey(p.UserHeader), http.CanonicalHeaderKey(p.RolesHeader)}
}

// Believed implements [credential.Believed].
func (p *ProxyHeaders) Believed() []string { return p.Sets() }

// Version implements [credential.Maker]. Nothing changes.
func (*ProxyHeaders) Version() uint64 { return 0 }

// Plan implements [credential.Maker].
func (p *ProxyHeaders) Plan(client *credential.Client) (credential.Plan, error) {
	if err := checkName(client.Principal); err != nil {
		return credential.Plan{}, credential.Refuse(credential.InvalidName, err,
			"no header can carry the client's name as OpenSearch reads it: use another value of the certificate as principal")
	}
	groups := credential.SortedGroups(client.Groups)
	roles, err := join(groups, p.RolesSeparator)
	if err != nil {
		return credential.Plan{}, credential.Refuse(credential.InvalidName, err,
			"no header can carry the client's groups as OpenSearch reads them: use other values of the certificate as "+
				"groups, or set another roles_separator")
	}
	headers := []credential.Header{{Name: http.CanonicalHeaderKey(p.UserHeader), Value: client.Principal}}
	if roles != "" {
		headers = append(headers, credential.Header{Name: http.CanonicalHeaderKey(p.RolesHeader), Value: roles})
	}
	return credential.Plan{Key: fmt.Sprintf("%q %q", client.Principal, roles), Detail: headers}, nil
}

// Make implements [credential.Maker].
func (*ProxyHeaders) Make(
	_ context.Context, client *credential.Client, plan credential.Plan, _ *credential.Credential,
) (*credential.Credential, error) {
	headers, ok := plan.Detail.([]credential.Header)
	if !ok {
		return nil, fmt.Errorf("the plan is of another kind: %T", plan.Detail)
	}
	return &credential.Credential{Headers: headers, Until: client.NotAfter, RenewAt: client.NotAfter}, nil
}

// Explain implements [credential.Maker].
func (p *ProxyHeaders) Explain(client *credential.Client) (credential.Explanation, error) {
	plan, err := p.Plan(client)
	if err != nil {
		return credential.Explanation{}, err
	}
	explanation := credential.Explanation{
		Kind: "proxy_headers",
		Needs: []string{
			"OpenSearch, with config.dynamic.http.xff.enabled: true and an internalProxies that matches the address of " +
				"this proxy alone, in config.yml",
			"a domain in config.dynamic.authc with http_authenticator.type: proxy, challenge: false, " +
				p.authenticator() + ", and authentication_backend.type: noop",
			"no other way to a node for clients: whoever comes from an address of internalProxies is whom it says",
		},
	}
	headers, _ := plan.Detail.([]credential.Header)
	for _, h := range headers {
		explanation.Sends = append(explanation.Sends, h.Name+": "+h.Value)
	}
	return explanation, nil
}

// authenticator returns the settings of the authenticator that must agree with these.
func (p *ProxyHeaders) authenticator() string {
	return fmt.Sprintf("user_header: %s, roles_header: %s, roles_separator: %q",
		p.UserHeader, p.RolesHeader, p.RolesSeparator)
}

// Interface guards
var (
	_ credential.Maker    = (*ProxyHeaders)(nil)
	_ credential.Believed = (*ProxyHeaders)(nil)
	_ caddy.Provisioner   = (*ProxyHeaders)(nil)
)
