package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// realmName is the JWT realm's name in the node's settings.
const realmName = "jwt1"

// node is an Elasticsearch node, or its imitation. Its address is known before it starts. The user is an
// administrator with a password.
type node struct {
	name, url      string
	user, password string
	roots          *x509.CertPool

	start func(context.Context) error
	close func() error
}

var (
	roles = map[string]esrealm.Role{
		"sales_reader":    {Indices: []esrealm.IndexPrivileges{{Names: []string{"sales*"}, Privileges: []string{"read"}}}},
		"cluster_watcher": {Cluster: []string{"monitor"}},
	}
	// mappings has the role of each group.
	mappings = map[string]string{"analysts": "sales_reader", "operators": "cluster_watcher"}
)

// rolesYML returns the roles as a roles.yml, with one role on each line. JSON is YAML.
func rolesYML() (string, error) {
	var b strings.Builder
	for name, role := range roles {
		text, err := json.Marshal(role)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s: %s\n", name, text)
	}
	return b.String(), nil
}

// newRealNode fetches and configures a real node. Its JWT realm is the one of the README.
func newRealNode(ctx context.Context, version string, site *proxy) (*node, error) {
	served := site.ca.Server("127.0.0.1")
	rolesFile, err := rolesYML()
	if err != nil {
		return nil, err
	}
	config := realnode.ElasticsearchConfig{
		Config: realnode.Config{
			Version: version,
			HTTP:    realnode.TLS{Cert: served.Cert, Key: served.Key, CA: site.ca.PEM()},
			Settings: fmt.Sprintf(`
				xpack.security.authc.realms.jwt.%s:
				  order: 1
				  client_authentication.type: none
				  allowed_issuer: %s
				  allowed_audiences: ["%s"]
				  pkc_jwkset_path: %s
				  claims.principal: sub
				  claims.groups: roles
				  ssl.certificate_authorities: certs/ca.pem
			`, realmName, issuer, audience, site.url(jwksPath)),
			Files: map[string][]byte{"certs/ca.pem": site.ca.PEM()},
			Hosts: map[string]string{siteName: "127.0.0.1"},
			Logf:  func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
		},
		Roles:        rolesFile,
		RoleMappings: map[string]realnode.RoleMapping{},
	}
	for group, role := range mappings {
		config.RoleMappings[group] = realnode.GroupMapping(realmName, group, role)
	}
	es, err := realnode.NewElasticsearch(ctx, config)
	if err != nil {
		return nil, err
	}
	return &node{
		name: "Elasticsearch " + version, url: es.URL(),
		user: es.Admin.Name, password: es.Admin.Password, roots: site.ca.Pool(),
		start: es.Start, close: es.Close,
	}, nil
}

// newImitation makes a node with esrealm, which imitates Elasticsearch in this process, without Java.
func newImitation(site *proxy) (*node, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &node{
		name: "esrealm, which imitates Elasticsearch " + esrealm.DefaultVersion + " in this process",
		url:  "https://" + listener.Addr().String(),
		user: "admin", password: "quickstart", roots: site.ca.Pool(),
		close: listener.Close,
	}
	n.start = func(ctx context.Context) error {
		if err := saveJWKS(ctx, site); err != nil {
			return err
		}
		es, err := esrealm.NewHandler(imitationConfig(n, site))
		if err != nil {
			return err
		}
		n.close = es.Close
		return es.Serve(listener, serverTLS(site.ca))
	}
	return n, nil
}

const jwksFile = "jwks.json"

// saveJWKS writes the JWKS to a file for esrealm's realm. The realm could not fetch it, since the site's
// name is not in the DNS.
func saveJWKS(ctx context.Context, site *proxy) error {
	status, body, err := newClient(site, nil).get(ctx, jwksPath, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("the JWKS: status %d", status)
	}
	return os.WriteFile(filepath.Join(site.dir, jwksFile), body, 0o600)
}

func imitationConfig(n *node, site *proxy) esrealm.Config {
	config := esrealm.Config{
		ConfigDir: site.dir,
		Realms: []esrealm.Realm{{
			Name:                 realmName,
			ClientAuthentication: esrealm.ClientAuthentication{Type: esrealm.ClientAuthenticationNone},
			AllowedIssuer:        issuer,
			AllowedAudiences:     []string{audience},
			PKCJWKSetPath:        jwksFile,
			Claims:               esrealm.Claims{Principal: "sub", Groups: "roles"},
		}},
		Users:        []esrealm.User{{Name: n.user, Password: n.password, Roles: []string{"superuser"}}},
		Roles:        roles,
		RoleMappings: map[string]esrealm.RoleMapping{},
	}
	for group, role := range mappings {
		m := realnode.GroupMapping(realmName, group, role)
		config.RoleMappings[group] = esrealm.RoleMapping{Roles: m.Roles, Rules: m.Rules}
	}
	return config
}

func serverTLS(ca *pki.CA) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{ca.Server("127.0.0.1").TLS}, MinVersion: tls.VersionTLS12}
}

// addSales writes two documents to the node as the administrator, without the proxy.
func (n *node) addSales(ctx context.Context) error {
	documents := `{"create":{}}` + "\n" + `{"item":"bread","price":3}` + "\n" +
		`{"create":{}}` + "\n" + `{"item":"wine","price":12}` + "\n"
	url := n.url + "/sales/_bulk?refresh=true"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(documents))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.SetBasicAuth(n.user, n.password)
	config := &tls.Config{RootCAs: n.roots, MinVersion: tls.VersionTLS12}
	direct := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	res, err := direct.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New("writing documents: " + res.Status)
	}
	return nil
}
