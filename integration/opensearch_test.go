package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/issuer"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/freeport"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// searchStack is an OpenSearch node with a Caddy in front, shared by all tests
// of a run.
type searchStack struct {
	front
	node *realnode.OpenSearch
}

// openSearchSecurity is the one configuration that both 2.x and 3.x take a JWKS
// from.
func openSearchSecurity(jwks string) string {
	return fmt.Sprintf(`
_meta: {type: "config", config_version: 2}
config:
  dynamic:
    http: {anonymous_auth_enabled: false, xff: {enabled: false}}
    authc:
      jwt_from_proxy:
        http_enabled: true
        transport_enabled: false
        order: 0
        http_authenticator:
          type: openid
          challenge: false
          config:
            jwks_uri: %s
            openid_connect_idp.enable_ssl: true
            openid_connect_idp.verify_hostnames: true
            openid_connect_idp.pemtrustedcas_filepath: certs/proxy-ca.crt
            subject_key: sub
            roles_key: roles
            required_issuer: %s
            required_audience: %s
        authentication_backend: {type: noop}
`, jwks, proxyIssuer, nodeAudience)
}

const openSearchRoles = `
sales_reader:
  cluster_permissions: [cluster_composite_ops_ro]
  index_permissions: [{index_patterns: ["sales*"], allowed_actions: [read]}]
cluster_watcher:
  cluster_permissions: [cluster_monitor]
`

const openSearchMapping = `
sales_reader: {backend_roles: [analysts]}
cluster_watcher: {backend_roles: [operators]}
all_access: {backend_roles: [admins]}
`

var searchStacks sync.Map

func openSearch(t testing.TB, version string) *searchStack {
	t.Helper()
	s := startedOnce(t, &searchStacks, version, newSearchStack)
	s.showLogsOfAFailure(t)
	return s
}

func newSearchStack(ctx context.Context, version string) (*searchStack, error) {
	port, err := freeport.Take()
	if err != nil {
		return nil, err
	}
	s := &searchStack{front: front{site: site{port: port}}}
	s.node, err = realnode.NewOpenSearch(ctx, realnode.OpenSearchConfig{
		Config: realnode.Config{
			Version: version,
			HTTP:    nodeTLS(),
			Settings: `
				logger.org.opensearch.security.auth: debug
				logger.com.amazon.dlic.auth: debug
			`,
			Files: map[string][]byte{"certs/proxy-ca.crt": proxyCA().PEM()},
			Hosts: map[string]string{proxyName: "127.0.0.1"},
			Logf:  logToStandardError,
		},
		Security:     openSearchSecurity(s.site.url(issuer.Path)),
		Roles:        openSearchRoles,
		RolesMapping: openSearchMapping,
		ClientCA:     clientCA().PEM(),
	})
	if err != nil {
		return nil, err
	}
	closeAtEnd(s.node.Close)
	if err := s.node.Start(ctx); err != nil { // it asks for the JWKS at the first token
		return nil, err
	}
	s.front.node = s.node.Node
	if err := s.startCaddy(ctx); err != nil {
		return nil, err
	}
	return s, s.addSales(ctx)
}

func forEachOpenSearch(t *testing.T, test func(t *testing.T, s *searchStack)) {
	t.Helper()
	for _, version := range versions(*openSearchVersions) {
		t.Run(version, func(t *testing.T) { test(t, openSearch(t, version)) })
	}
}

// searchUser is what _plugins/_security/authinfo answers.
type searchUser struct {
	Name         string   `json:"user_name"`
	BackendRoles []string `json:"backend_roles"`
	Roles        []string
}

func (s site) authinfo(t *testing.T, client *http.Client, header http.Header) answer {
	t.Helper()
	return send(t, client, http.MethodGet, s.url("/_plugins/_security/authinfo"), "", header)
}

func (a answer) searchUser(t *testing.T) searchUser {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, a.body)
	var u searchUser
	require.NoError(t, json.Unmarshal([]byte(a.body), &u))
	return u
}

func TestOpenSearchClientIsTheUserOfItsCertificate(t *testing.T) {
	forEachOpenSearch(t, func(t *testing.T, s *searchStack) {
		for name, want := range map[string]struct{ group, role string }{
			"alice": {"analysts", "sales_reader"},
			"bob":   {"operators", "cluster_watcher"},
		} {
			got := s.site.authinfo(t, s.site.client(clientCA().Client(name, want.group).TLS), nil).searchUser(t)
			require.Equal(t, name, got.Name)
			require.Equal(t, []string{want.group}, got.BackendRoles)
			require.Contains(t, got.Roles, want.role)
		}
		require.Equal(t, http.StatusUnauthorized, s.site.authinfo(t, s.site.client(), nil).status)
	})
}

func TestOpenSearchSearchIsForThoseWhoMay(t *testing.T) {
	forEachOpenSearch(t, func(t *testing.T, s *searchStack) {
		alice := s.search(t, "alice", "analysts")
		require.Equal(t, http.StatusOK, alice.status, alice.body)
		require.Contains(t, alice.body, `"price":12`)
		bob := s.search(t, "bob", "operators")
		require.Equal(t, http.StatusForbidden, bob.status, bob.body)
	})
}

func TestOpenSearchHeadersOfTheClientChangeNothing(t *testing.T) {
	forEachOpenSearch(t, func(t *testing.T, s *searchStack) {
		client := &http.Client{Transport: s.site.http1(clientCA().Client("root", "admins").TLS)}
		for name, header := range spoofs("spoofed.spoofed.spoofed") {
			got := s.site.authinfo(t, client, header).searchUser(t)
			require.Equal(t, "root", got.Name, name)
			require.Equal(t, []string{"admins"}, got.BackendRoles, name)
		}
	})
}

func TestOpenSearchRefusesWhatIsNotMeantForIt(t *testing.T) {
	forEachOpenSearch(t, func(t *testing.T, s *searchStack) {
		replica := "XDG_DATA_HOME=" + s.caddy.DataHome()
		for name, broken := range map[string]struct {
			site site
			env  []string
		}{
			"another issuer":                {site{issuer: proxyIssuer + "/"}, []string{replica}},
			"another audience":              {site{audience: "https://other.example.com:9200"}, []string{replica}},
			"a key that is not in the JWKS": {site{}, nil},
		} {
			t.Run(name, func(t *testing.T) {
				proxy := broken.site
				proxy.port, proxy.upstream = freePort(t), s.node.URL()
				proxy.start(t, broken.env...)
				certificate := clientCA().Client("alice", "analysts").TLS
				require.Equal(t, http.StatusUnauthorized, proxy.authinfo(t, proxy.client(certificate), nil).status)
				require.Equal(t, "alice", s.site.authinfo(t, s.site.client(certificate), nil).searchUser(t).Name,
					"the others go on")
			})
		}
	})
}
