// Package delegatepki is the kind of credential that Elasticsearch's PKI realm gives out for a certificate.
package delegatepki

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/clusteruser"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/throttle"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

func init() {
	caddy.RegisterModule(new(DelegatePKI))
}

// DelegatePKI sends the certificates of each client to Elasticsearch, whose PKI realm decides who that is, and the client
// goes on with the access token that comes back (POST /_security/delegate_pki, as Kibana does it). So the realm with its
// username_pattern, its role_mapping.yml and its rules for distinguished names stays as it is, behind a proxy that ends
// TLS. It needs a licence with the PKI realm (Gold, Platinum, Enterprise or trial), and `delegation.enabled: true` in the
// realm.
//
// The principal and the groups of elasticsearch_jwt are for logs alone: the user and the roles are those of the realm.
//
// A token lives for twenty minutes. It is renewed after ten, and kept in memory alone.
type DelegatePKI struct {
	// The addresses of nodes, such as https://es1.example.com:9200. They are asked over the transport of the
	// reverse_proxy. Default: its upstreams.
	Cluster []string `json:"cluster,omitempty"`

	// The user that the proxy asks as, as a {file.*} or {env.*} placeholder for `user:password` or `ApiKey <encoded>`. It
	// needs the cluster privilege delegate_pki and no other. A change is noticed within ten seconds or so. Required.
	User string `json:"user,omitempty"`

	user   *watch.Setting[cluster.User]
	nodes  *cluster.Cluster
	logger *zap.Logger

	warnings throttle.Throttle
	missing  atomic.Pointer[string] // what the check has found; nil: nothing yet
}

// CaddyModule returns the Caddy module information.
func (*DelegatePKI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt.credentials.delegate_pki",
		New: func() caddy.Module { return new(DelegatePKI) },
	}
}

// Provision reads the user once, so that `caddy validate` finds what is wrong with it.
func (p *DelegatePKI) Provision(ctx caddy.Context) error {
	if err := p.checkSettings(); err != nil {
		return err
	}
	p.logger = ctx.Logger()
	var err error
	p.user, err = clusteruser.Open("user", p.User, cluster.ParseUser, p.logger)
	return err
}

func (p *DelegatePKI) checkSettings() error {
	if err := clusteruser.CheckAddresses(p.Cluster); err != nil {
		return err
	}
	if err := setting.CheckSecret(p.User); err != nil {
		return setting.In("user", err)
	}
	return nil
}

// Watched implements [credential.Watcher].
func (p *DelegatePKI) Watched() []watch.Watched { return []watch.Watched{p.user} }

// Nodes implements [credential.Clustered].
func (p *DelegatePKI) Nodes() []string { return p.Cluster }

// SetCluster implements [credential.Clustered].
func (p *DelegatePKI) SetCluster(c *cluster.Cluster) { p.nodes = c }

// Sets implements [credential.Maker].
func (*DelegatePKI) Sets() []string { return []string{"Authorization"} }

// Version implements [credential.Maker]. Another user of the proxy's makes no other tokens.
func (*DelegatePKI) Version() uint64 { return 0 }

// Requires implements [credential.Choosy].
func (*DelegatePKI) Requires() string { return "a certificate" }

// Plan implements [credential.Maker]. Each certificate has a token of its own, and so has each chain that leads on from
// it, since the realm may need that. What else a client sends along makes no other token.
func (*DelegatePKI) Plan(client *credential.Client) (credential.Plan, error) {
	if len(client.Chain) == 0 {
		return credential.Plan{}, credential.Refuse(credential.Unverified, nil,
			"there is no certificate that the PKI realm could look at")
	}
	digest := sha256.New()
	for _, certificate := range ordered(client.Chain) {
		fmt.Fprintf(digest, "%d ", len(certificate.Raw))
		digest.Write(certificate.Raw)
	}
	return credential.Plan{Key: string(digest.Sum(nil))}, nil
}

// Drop implements [credential.Dropper]. A token that a node refuses is of no use to anybody.
func (*DelegatePKI) Drop(context.Context, *credential.Credential) bool { return true }

// Make implements [credential.Maker]. A token cannot be renewed: another one takes its place.
func (p *DelegatePKI) Make(
	ctx context.Context, client *credential.Client, _ credential.Plan, _ *credential.Credential,
) (*credential.Credential, error) {
	user := p.user.Get()
	answer, err := p.nodes.Ask(ctx, question(user, client.Chain))
	switch {
	case err != nil:
		return nil, credential.AsRefusal(err)
	case answer.OK():
		return parseToken(answer, client.NotAfter)
	case answer.Status == http.StatusUnauthorized:
		return nil, p.unauthorized(ctx, user, answer.Err())
	case answer.Status == http.StatusForbidden && isAboutLicence(answer):
		return nil, credential.Refuse(credential.ProxyRefused, answer.Err(), "the licence of the cluster has no PKI realm: "+
			"the operator needs another kind of credential, such as api_key or run_as")
	case answer.Status == http.StatusForbidden:
		return nil, credential.Refuse(credential.ProxyRefused, answer.Err(), "the cluster does not let the proxy ask: "+
			"the operator must give its user the cluster privilege delegate_pki")
	case answer.Status == http.StatusBadRequest:
		return nil, credential.Refuse(credential.Unverified, answer.Err(),
			"the cluster cannot read the client's certificates: send the client's own first, "+
				"and then the intermediates in their order")
	default:
		return nil, credential.AsRefusal(answer.Err())
	}
}

// unauthorized finds out whose fault a 401 is: the proxy's user is refused, or the client's certificate.
func (p *DelegatePKI) unauthorized(ctx context.Context, user cluster.User, cause error) error {
	who, err := p.nodes.Ask(ctx, cluster.Question{
		Method: http.MethodGet, Path: "/_security/_authenticate", Header: user.Header(),
	})
	switch {
	case err != nil:
		return credential.AsRefusal(err)
	case who.Status == http.StatusUnauthorized:
		return credential.Refuse(credential.ProxyRefused, cause, "the cluster refuses the proxy's own user: "+
			"the operator must see that its password in `user` is right")
	case who.OK():
		return credential.Refuse(credential.Unverified, cause, "no PKI realm of the cluster takes the client's certificate: "+
			"the operator must see that a realm has its authority in certificate_authorities, has delegation.enabled, "+
			"and finds a name by its username_pattern")
	default:
		return credential.AsRefusal(who.Err())
	}
}

func isAboutLicence(answer *cluster.Answer) bool {
	failed, ok := errors.AsType[*cluster.StatusError](answer.Err())
	return ok && strings.Contains(failed.Reason, "license")
}

// Explain implements [credential.Maker].
func (p *DelegatePKI) Explain(client *credential.Client) (credential.Explanation, error) {
	if _, err := p.Plan(client); err != nil {
		return credential.Explanation{}, err
	}
	e := credential.Explanation{
		Kind:  "delegate_pki",
		Sends: []string{"Authorization: Bearer …"},
		Needs: []string{
			"a licence with the PKI realm: Gold, Platinum, Enterprise or trial",
			"a PKI realm with delegation.enabled: true, whose certificate_authorities have the client's; " +
				"the user and the roles are what it says, whatever the principal and the groups are here",
			"xpack.security.authc.token.enabled: true",
			fmt.Sprintf("the cluster privilege delegate_pki for %q", p.user.Get().Name()),
		},
	}
	switch missing := p.missing.Load(); {
	case missing == nil:
		e.Missing = []string{credential.NotAsked}
	case *missing != "":
		e.Missing = []string{*missing}
	}
	return e, nil
}

// Interface guards
var (
	_ credential.Maker      = (*DelegatePKI)(nil)
	_ credential.Choosy     = (*DelegatePKI)(nil)
	_ credential.Dropper    = (*DelegatePKI)(nil)
	_ credential.Clustered  = (*DelegatePKI)(nil)
	_ credential.Runner     = (*DelegatePKI)(nil)
	_ credential.Watcher    = (*DelegatePKI)(nil)
	_ caddy.Provisioner     = (*DelegatePKI)(nil)
	_ caddyfile.Unmarshaler = (*DelegatePKI)(nil)
)
