package integration

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// These tests are about credentials that are no tokens, with an OpenSearch node that has its proxy authenticator and
// passwords, and no JWKS.

// proxiedNode is such a node. It trusts a proxy at 127.0.0.1, but for groups with another separator.
type proxiedNode struct{ *realnode.OpenSearch }

const (
	proxiedSecurity = `
_meta: {type: "config", config_version: 2}
config:
  dynamic:
    http:
      anonymous_auth_enabled: false
      xff: {enabled: true, internalProxies: '127\.0\.0\.1', remoteIpHeader: x-forwarded-for}
    authc:
      from_caddy:
        http_enabled: true
        transport_enabled: false
        order: 0
        http_authenticator:
          type: proxy
          challenge: false
          config: {user_header: x-proxy-user, roles_header: x-proxy-roles}
        authentication_backend: {type: noop}
      from_caddy_with_semicolons:
        http_enabled: true
        transport_enabled: false
        order: 1
        http_authenticator:
          type: proxy
          challenge: false
          config: {user_header: x-name, roles_header: x-groups, roles_separator: ";"}
        authentication_backend: {type: noop}
      basic:
        http_enabled: true
        transport_enabled: true
        order: 2
        http_authenticator: {type: basic, challenge: true}
        authentication_backend: {type: intern}
`
	groupPassword = "correct-Horse-7-battery"
)

var proxiedNodes sync.Map

func forEachProxiedNode(t *testing.T, test func(t *testing.T, n proxiedNode)) {
	t.Helper()
	for _, version := range versions(*openSearchVersions) {
		t.Run(version, func(t *testing.T) {
			n := startedOnce(t, &proxiedNodes, version, newProxiedNode)
			position := n.LogPosition()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the node's log:\n%.20000s", n.LogSince(position))
				}
			})
			test(t, n)
		})
	}
}

func newProxiedNode(ctx context.Context, version string) (proxiedNode, error) {
	node, err := realnode.NewOpenSearch(ctx, realnode.OpenSearchConfig{
		Config:       realnode.Config{Version: version, HTTP: nodeTLS(), Logf: logToStandardError},
		Security:     proxiedSecurity,
		Roles:        openSearchRoles,
		RolesMapping: openSearchMapping,
	})
	if err != nil {
		return proxiedNode{}, err
	}
	closeAtEnd(node.Close)
	if err := node.Start(ctx); err != nil {
		return proxiedNode{}, err
	}
	for user, group := range map[string]string{"group-analysts": "analysts", "group-operators": "operators"} {
		status, body, err := node.Do(ctx, http.MethodPut, "/_plugins/_security/api/internalusers/"+user,
			fmt.Sprintf(`{"password":%q,"backend_roles":[%q]}`, groupPassword, group))
		if err != nil {
			return proxiedNode{}, err
		}
		if status != http.StatusCreated {
			return proxiedNode{}, errors.New("make a user: " + string(body))
		}
	}
	f := front{node: node.Node}
	return proxiedNode{node}, f.addSales(ctx)
}

// authinfo asks the node itself who somebody is, from an address of the loopback interface.
func (n proxiedNode) authinfo(t *testing.T, from string, header http.Header) answer {
	t.Helper()
	client := directClient()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	client.Transport.(*http.Transport).DialContext = dialer.DialContext
	defer client.CloseIdleConnections()
	return send(t, client, http.MethodGet, n.URL()+"/_plugins/_security/authinfo", "", header)
}

// TestWhomOpenSearchBelievesAboutProxyHeaders is what docs/proxy-headers.md says of the node.
func TestWhomOpenSearchBelievesAboutProxyHeaders(t *testing.T) {
	const proxy, other = "127.0.0.1", "127.0.0.2"
	says := func(user, forwarded string, roles ...string) http.Header {
		h := http.Header{"X-Proxy-User": {user}}
		if forwarded != "" {
			h["X-Forwarded-For"] = []string{forwarded}
		}
		if roles != nil {
			h["X-Proxy-Roles"] = roles
		}
		return h
	}
	forEachProxiedNode(t, func(t *testing.T, n proxiedNode) {
		for name, refused := range map[string]struct {
			from   string
			header http.Header
		}{
			"from another address":            {other, says("alice", "10.0.0.1", "analysts")},
			"which says that it is the proxy": {other, says("alice", proxy, "analysts")},
			"without X-Forwarded-For":         {proxy, says("alice", "", "analysts")},
			"forwarded for no address":        {proxy, says("alice", "no address", "analysts")},
			"without a name":                  {proxy, says("", "10.0.0.1", "analysts")},
		} {
			got := n.authinfo(t, refused.from, refused.header)
			require.NotEqual(t, http.StatusOK, got.status, "%s: %s", name, got.body)
		}
		for name, believed := range map[string]struct {
			header http.Header
			user   string
			roles  []string
		}{
			"a client":                     {says("alice", "10.0.0.1", "analysts,ops"), "alice", []string{"analysts", "ops"}},
			"a client at the proxy itself": {says("alice", proxy, "analysts"), "alice", []string{"analysts"}},
			"blanks around groups":         {says("alice", "10.0.0.1", " a b , c,,"), "alice", []string{"a b", "c"}},
			"no group":                     {says("alice", "10.0.0.1"), "alice", nil},
			"an empty header of groups":    {says("alice", "10.0.0.1", ""), "alice", nil},
			"the last of two headers":      {says("alice", "10.0.0.1", "a", "b"), "alice", []string{"b"}},
			"UTF-8":                        {says("Zoë", "10.0.0.1", "Größe"), "ZoÃ«", []string{"GrÃ¶Ã\u009fe"}},
			"another separator": {
				http.Header{"X-Name": {"alice"}, "X-Groups": {"Acme, Inc.;ops"}, "X-Forwarded-For": {"10.0.0.1"}},
				"alice",
				[]string{"Acme, Inc.", "ops"},
			},
		} {
			got := n.authinfo(t, proxy, believed.header)
			user := got.searchUser(t)
			require.Equal(t, believed.user, user.Name, name)
			require.ElementsMatch(t, believed.roles, user.BackendRoles, name)
		}
	})
}

// TestAPasswordOfOpenSearchIsChangedByWhoKnowsIt: with Elasticsearch, whoever sends requests with it can.
func TestAPasswordOfOpenSearchIsChangedByWhoKnowsIt(t *testing.T) {
	forEachProxiedNode(t, func(t *testing.T, n proxiedNode) {
		header := http.Header{"Authorization": {groupCredential("operators")}}
		got := send(t, directClient(), http.MethodPut, n.URL()+"/_plugins/_security/api/account",
			`{"password":"another-Horse-7-battery"}`, header)
		require.Equal(t, http.StatusBadRequest, got.status, got.body)
		require.Contains(t, got.body, "current_password")
		require.Equal(t, "group-operators", n.authinfo(t, "127.0.0.1", header).searchUser(t).Name)
	})
}

func groupCredential(group string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("group-"+group+":"+groupPassword))
}

// tokenSettings are settings that only tokens have.
var tokenSettings = regexp.MustCompile(`(?m)^\s*(issuer|audience) .*\n|^\s*elasticsearch_jwks\n`)

// inFront starts a Caddy in front of the node, with a kind of credential.
func (n proxiedNode) inFront(t *testing.T, credential string) *front {
	t.Helper()
	return n.inFrontOf(t, site{handler: "credential " + credential})
}

func (n proxiedNode) inFrontOf(t *testing.T, s site) *front {
	t.Helper()
	s.port, s.upstream = freePort(t), n.URL()
	f := &front{node: n.Node, site: s}
	caddyfile, err := f.site.caddyfile()
	require.NoError(t, err)
	f.caddy = StartCaddy(t, tokenSettings.ReplaceAllString(caddyfile, ""))
	return f
}

func TestOpenSearchClientIsTheUserInProxyHeaders(t *testing.T) {
	forEachProxiedNode(t, func(t *testing.T, n proxiedNode) {
		f := n.inFront(t, "proxy_headers")
		as := func(name string, groups ...string) answer {
			return f.site.authinfo(t, f.site.client(clientCA().Client(name, groups...).TLS), nil)
		}
		alice := as("alice", "ops", "analysts").searchUser(t)
		require.Equal(t, "alice", alice.Name)
		require.ElementsMatch(t, []string{"analysts", "ops"}, alice.BackendRoles)
		require.Contains(t, alice.Roles, "sales_reader")
		require.Empty(t, as("carol").searchUser(t).BackendRoles)
		require.Equal(t, http.StatusUnauthorized, f.site.authinfo(t, f.site.client(), nil).status)

		wine := f.search(t, "alice", "analysts")
		require.Equal(t, http.StatusOK, wine.status, wine.body)
		require.Contains(t, wine.body, `"price":12`)
		require.Equal(t, http.StatusForbidden, f.search(t, "bob", "operators").status)

		for name, groups := range map[string][]string{"Zoë": {"analysts"}, "alice": {"analysts", "Acme, Inc."}} {
			got := as(name, groups...)
			require.Equal(t, http.StatusForbidden, got.status, got.body)
			require.Contains(t, got.body, "invalid_name")
		}

		client := &http.Client{Transport: f.site.http1(clientCA().Client("carol").TLS)}
		claims := spoofs("spoofed.spoofed.spoofed")
		claims["groups alone"] = http.Header{"X-Proxy-Roles": {"admins"}}
		claims["names of another domain"] = http.Header{"X_Proxy_User": {"admin"}, "x.proxy.roles": {"admins"}}
		claims["where it comes from"] = http.Header{"X-Forwarded-For": {"127.0.0.1"}, "X-Proxy-User": {"admin"}}
		claims["removal of ours"] = http.Header{"Connection": {"X-Proxy-User, X-Forwarded-For"}}
		claims["a password"] = http.Header{"Authorization": {groupCredential("operators")}}
		for name, header := range claims {
			got := f.site.authinfo(t, client, header).searchUser(t)
			require.Equal(t, "carol", got.Name, name)
			require.Empty(t, got.BackendRoles, name)
		}
	})
}

// TestHealthChecksHaveProxyHeaders, if they say that they were forwarded.
func TestHealthChecksHaveProxyHeaders(t *testing.T) {
	forEachProxiedNode(t, func(t *testing.T, n proxiedNode) {
		for name, test := range map[string]struct {
			headers string
			status  int
		}{
			"with X-Forwarded-For":    {"health_headers {\nX-Forwarded-For 127.0.0.1\n}", http.StatusOK},
			"without X-Forwarded-For": {"", http.StatusServiceUnavailable},
		} {
			f := n.inFrontOf(t, site{
				handler:   "credential proxy_headers",
				transport: "health_principal caddy-health",
				proxy:     "health_uri /_plugins/_security/authinfo\nhealth_interval 100ms\n" + test.headers,
			})
			require.Eventually(t, func() bool {
				return f.search(t, "alice", "analysts").status == test.status
			}, 20*time.Second, 100*time.Millisecond, name)
		}
	})
}

func TestOpenSearchTakesTheNamesAndTheSeparatorOfTheSettings(t *testing.T) {
	forEachProxiedNode(t, func(t *testing.T, n proxiedNode) {
		f := n.inFront(t, "proxy_headers {\nuser_header x-name\nroles_header x-groups\nroles_separator ;\n}")
		client := &http.Client{Transport: f.site.http1(clientCA().Client("alice", "Acme, Inc.", "ops").TLS)}
		got := f.site.authinfo(t, client, http.Header{
			"X-Name": {"root"}, "X-Groups": {"admins"}, "X-Proxy-User": {"root"}, "X-Proxy-Roles": {"admins"},
		}).searchUser(t)
		require.Equal(t, "alice", got.Name)
		require.ElementsMatch(t, []string{"Acme, Inc.", "ops"}, got.BackendRoles)
	})
}

func TestOpenSearchClientHasTheCredentialOfItsGroup(t *testing.T) {
	forEachProxiedNode(t, func(t *testing.T, n proxiedNode) {
		file := filepath.Join(t.TempDir(), "credentials.txt")
		require.NoError(t, os.WriteFile(file, []byte("# the first one counts\n"+
			"operators "+groupCredential("operators")+"\n"+
			"analysts "+groupCredential("analysts")+"\n"), 0o600))
		f := n.inFront(t, "static {\nfile "+file+"\n}")
		as := func(name string, groups ...string) answer {
			client := &http.Client{Transport: f.site.http1(clientCA().Client(name, groups...).TLS)}
			return f.site.authinfo(t, client, http.Header{"X-Opaque-Id": {"somebody else"}})
		}
		alice := as("alice", "analysts")
		require.Equal(t, "group-analysts", alice.searchUser(t).Name)
		require.Equal(t, []string{"alice"}, alice.header["X-Opaque-Id"], "the node repeats who it was")
		require.Equal(t, "group-operators", as("alice", "analysts", "operators").searchUser(t).Name)

		wine := f.search(t, "alice", "analysts")
		require.Equal(t, http.StatusOK, wine.status, wine.body)
		require.Contains(t, wine.body, `"price":12`)
		require.Equal(t, http.StatusForbidden, f.search(t, "bob", "operators").status)

		carol := as("carol", "others")
		require.Equal(t, http.StatusForbidden, carol.status, carol.body)
		require.Contains(t, carol.body, "no_role")

		client := &http.Client{Transport: f.site.http1(clientCA().Client("bob", "operators").TLS)}
		for name, header := range spoofs("spoofed.spoofed.spoofed") {
			require.Equal(t, "group-operators", f.site.authinfo(t, client, header).searchUser(t).Name, name)
		}
		require.NotContains(t, f.caddy.LogSince(0), strings.TrimPrefix(groupCredential("analysts"), "Basic "))
	})
}
