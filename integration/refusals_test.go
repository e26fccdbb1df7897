package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/caddy"
)

// A realm of a stack's node that takes tokens together with a shared secret alone.
const (
	secretRealm         = "jwt6"
	secretIssuer        = "https://secret.example.com"
	secretOfRealm       = "the-secret-of-the-realm"
	secretRealmKeystore = "xpack.security.authc.realms.jwt." + secretRealm + ".client_authentication.shared_secret"
)

func secretRealmSettings(jwks string) string {
	return strings.Replace(jwtRealmSettings(secretRealm, 9, jwks, secretIssuer, ""),
		"client_authentication.type: none", "client_authentication.type: shared_secret", 1)
}

// refusedBy is a site whose tokens a node refuses, and what Caddy must say of it.
type refusedBy struct {
	site    site
	options string // global ones
	log     string // of the node: why; empty if it does not say
	warning map[string]any
	advice  string
}

// TestARefusalOfTheClusterIsToldToTheOperator: each mistake in a realm's settings, or in the handler's, is a metric and
// a warning of Caddy's. The client gets the node's own answer.
func TestARefusalOfTheClusterIsToldToTheOperator(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("another"), 0o600))
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		for name, c := range map[string]refusedBy{
			"another audience": {
				site: site{audience: "https://elsewhere.example.com:9200"}, log: "claim [aud] has value",
				warning: map[string]any{"audience": []any{"https://elsewhere.example.com:9200"}, "algorithm": "RS256"},
				advice:  "allowed_audiences",
			},
			"an issuer with a slash at its end": {
				site: site{issuer: proxyIssuer + "/"}, log: "claim [iss] has value",
				warning: map[string]any{"issuer": proxyIssuer + "/"}, advice: "it has a slash at its end here",
			},
			"an algorithm that the realm does not allow": {
				site:    site{handler: "keys es256", jwks: "elasticsearch_jwks {\n\t\tkeys default es256\n\t}"},
				options: "elasticsearch_jwt {\n\t\tkeys es256 storage {\n\t\t\talgorithm ES256\n\t\t}\n\t}",
				log:     "invalid JWT algorithm [ES256]",
				warning: map[string]any{"algorithm": "ES256", "keys": "es256"}, advice: "it is [RS256] unless it is set",
			},
			"no shared secret": {
				site: site{issuer: secretIssuer}, warning: map[string]any{"shared_secret": false},
				advice: "no shared secret was sent",
			},
			"another shared secret": {
				site: site{issuer: secretIssuer, transport: "shared_secret {file." + secret + "}"}, log: "secret did not match",
				warning: map[string]any{"shared_secret": true}, advice: "with the same secret as here",
			},
		} {
			t.Run(name, func(t *testing.T) { requireToldToTheOperator(t, &s.front, c, "/_security/_authenticate") })
		}
		t.Run("the right secret", func(t *testing.T) {
			right := filepath.Join(t.TempDir(), "secret")
			require.NoError(t, os.WriteFile(right, []byte(secretOfRealm), 0o600))
			proxy := site{issuer: secretIssuer, delivery: "elasticsearch_jwt", transport: "shared_secret {file." + right + "}"}
			s.startSites(t, &proxy)
			alice := proxy.client(clientCA().Client("alice", "analysts").TLS)
			require.Equal(t, secretRealm, proxy.authenticate(t, alice).user(t).Realm.Name)
		})
		t.Run("http:// to a node that speaks TLS", func(t *testing.T) {
			proxy := site{port: freePort(t), upstream: strings.Replace(s.es.URL(), "https:", "http:", 1)}
			block, err := proxy.block()
			require.NoError(t, err)
			dir, err := certificates()
			require.NoError(t, err)
			block = strings.Replace(block, "tls_trust_pool file "+dir+"/es-ca.crt", "", 1)
			caddy := StartCaddy(t, globalOptions+block, "XDG_DATA_HOME="+s.caddy.DataHome())
			alice := proxy.client(clientCA().Client("alice", "analysts").TLS)
			require.Equal(t, http.StatusBadGateway, proxy.authenticate(t, alice).status)
			line := logged(t, caddy, "the node gave no answer of HTTP", "logger", "http.log.error")
			require.Contains(t, line["msg"], "write `reverse_proxy "+s.es.URL()+"`")
		})
		t.Run("a secret that the realm does not ask for", func(t *testing.T) { // nobody can see that it protects nothing
			proxy := site{delivery: "elasticsearch_jwt", transport: "shared_secret {file." + secret + "}"}
			s.startSites(t, &proxy)
			alice := proxy.client(clientCA().Client("alice", "analysts").TLS)
			require.Equal(t, "alice", proxy.authenticate(t, alice).user(t).Username)
		})
		t.Run("a user without a role", func(t *testing.T) {
			proxy := site{delivery: "elasticsearch_jwt"}
			caddy := s.startOneMore(t, &proxy, "")
			for _, c := range []struct {
				client, level string
				groups        []string
			}{{"bob", "info", []string{"operators"}}, {"nobody", "warn", nil}} {
				client := proxy.client(clientCA().Client(c.client, c.groups...).TLS)
				got := send(t, client, http.MethodGet, proxy.url("/sales/_search"), "", nil)
				require.Equal(t, http.StatusForbidden, got.status)
				require.Contains(t, got.body, "security_exception")
				line := logged(t, caddy, "a node refuses users of this proxy with 403", "user", c.client)
				require.Equal(t, c.level, line["level"])
			}
			require.Equal(t, "2", clusterRefusals(t, caddy, http.StatusForbidden))
		})
		t.Run("an index that is read-only", func(t *testing.T) {
			proxy := site{delivery: "elasticsearch_jwt"}
			caddy := s.startOneMore(t, &proxy, "")
			root := proxy.client(clientCA().Client("root", "admins").TLS)
			for _, request := range []struct {
				path, body string
				status     int
			}{
				{"/read-only", `{}`, http.StatusOK},
				{"/read-only/_settings", `{"index.blocks.write":true}`, http.StatusOK},
				{"/read-only/_doc/1", `{"a":1}`, http.StatusForbidden},
			} {
				got := send(t, root, http.MethodPut, proxy.url(request.path), request.body, nil)
				require.Equal(t, request.status, got.status, got.body)
			}
			require.Equal(t, "0", clusterRefusals(t, caddy, http.StatusForbidden), "it is not about the user")
			require.Equal(t, http.StatusOK, send(t, root, http.MethodDelete, proxy.url("/read-only"), "", nil).status)
		})
	})
}

// TestARefusalOfOpenSearchIsToldToTheOperator, likewise.
func TestARefusalOfOpenSearchIsToldToTheOperator(t *testing.T) {
	const path = "/_plugins/_security/authinfo"
	forEachOpenSearch(t, func(t *testing.T, s *searchStack) {
		for name, c := range map[string]refusedBy{
			"another audience": {
				site:    site{audience: "https://elsewhere.example.com:9200"},
				warning: map[string]any{"audience": []any{"https://elsewhere.example.com:9200"}}, advice: "allowed_audiences",
			},
			"an algorithm that no JWKS can have": {
				site:    site{handler: "keys es256", jwks: "elasticsearch_jwks {\n\t\tkeys default es256\n\t}"},
				options: "elasticsearch_jwt {\n\t\tkeys es256 storage {\n\t\t\talgorithm ES256\n\t\t}\n\t}",
				warning: map[string]any{"algorithm": "ES256"}, advice: "OpenSearch takes none of ES*",
			},
		} {
			t.Run(name, func(t *testing.T) { requireToldToTheOperator(t, &s.front, c, path) })
		}
		t.Run("a user without a role", func(t *testing.T) {
			proxy := site{delivery: "elasticsearch_jwt"}
			caddy := s.startOneMore(t, &proxy, "")
			bob := proxy.client(clientCA().Client("bob", "operators").TLS)
			require.Equal(t, http.StatusForbidden, send(t, bob, http.MethodGet, proxy.url("/sales/_search"), "", nil).status)
			logged(t, caddy, "a node refuses users of this proxy with 403", "user", "bob")
			require.Equal(t, "1", clusterRefusals(t, caddy, http.StatusForbidden))
		})
		t.Run("health checks", func(t *testing.T) { requireHealthChecks(t, &s.front, path, `"user_name":"caddy-health"`) })
	})
}

// TestHealthChecksAreAUserOfTheirOwn. Nobody's make a node with security unhealthy.
func TestHealthChecksAreAUserOfTheirOwn(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		requireHealthChecks(t, &s.front, "/_security/_authenticate", `"username":"caddy-health","roles":\[\]`)
	})
}

func requireHealthChecks(t *testing.T, f *front, path, answer string) {
	t.Helper()
	for principal, status := range map[string]int{"": http.StatusServiceUnavailable, "caddy-health": http.StatusOK} {
		setting := ""
		if principal != "" {
			setting = "health_principal " + principal
		}
		// What follows the transport's block is of reverse_proxy.
		proxy := site{delivery: "elasticsearch_jwt", transport: setting, proxy: fmt.Sprintf(
			"health_uri %s\nhealth_interval 200ms\nhealth_body %#q", path, answer)}
		caddy := f.startOneMore(t, &proxy, "")
		alice := proxy.client(clientCA().Client("alice", "analysts").TLS)
		if principal == "" {
			logged(t, caddy, "a node answers health checks with 401", "level", "warn")
		} else {
			logged(t, caddy, "token signed for health checks", "user", principal)
			time.Sleep(time.Second) // for some checks more
		}
		require.Eventually(t, func() bool {
			return send(t, alice, http.MethodGet, proxy.url(path), "", nil).status == status
		}, 30*time.Second, 200*time.Millisecond, principal)
	}
}

// startOneMore runs one Caddy more with a site, which signs with the keys of the front's, and global options.
func (f *front) startOneMore(t *testing.T, proxy *site, options string) *caddy.Caddy {
	t.Helper()
	proxy.port, proxy.upstream = freePort(t), f.node.URL()
	block, err := proxy.block()
	require.NoError(t, err)
	global := strings.Replace(globalOptions, "skip_install_trust", "skip_install_trust\n\tmetrics\n\t"+options, 1)
	return StartCaddy(t, global+block, "XDG_DATA_HOME="+f.caddy.DataHome())
}

func requireToldToTheOperator(t *testing.T, f *front, c refusedBy, path string) {
	t.Helper()
	c.site.delivery = "elasticsearch_jwt"
	caddy := f.startOneMore(t, &c.site, c.options)
	before := f.node.LogPosition()
	alice := c.site.client(clientCA().Client("alice", "analysts").TLS)
	const requests = 3
	for range requests {
		got := send(t, alice, http.MethodGet, c.site.url(path), "", nil)
		require.Equal(t, http.StatusUnauthorized, got.status)
		require.NotContains(t, got.body, "elasticsearch_jwt", "the answer is the node's own")
	}
	require.Equal(t, fmt.Sprint(requests), clusterRefusals(t, caddy, http.StatusUnauthorized))
	line := logged(t, caddy, "a node refuses tokens of this proxy with 401", "level", "warn")
	for field, want := range c.warning {
		require.Equal(t, want, line[field], field)
	}
	require.Contains(t, line["advice"], c.advice)
	require.Equal(t, 1, strings.Count(caddy.LogSince(0), "a node refuses tokens of this proxy with 401"))
	require.Contains(t, f.node.LogSince(before), c.log)
}

// clusterRefusals is the value of the metric.
func clusterRefusals(t *testing.T, c *caddy.Caddy, status int) string {
	t.Helper()
	code, metrics, err := c.Admin(t.Context(), http.MethodGet, "/metrics", "", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code)
	name := fmt.Sprintf(`caddy_elasticsearch_jwt_cluster_refusals_total{status="%d"} `, status)
	_, value, found := strings.Cut(string(metrics), name)
	require.True(t, found)
	value, _, _ = strings.Cut(value, "\n")
	return value
}

// logged waits for a line of a Caddy's log whose message begins with a text, and that has a field.
func logged(t *testing.T, c *caddy.Caddy, message, field, value string) (line map[string]any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		for text := range strings.Lines(c.LogSince(0)) {
			line = nil
			if json.Unmarshal([]byte(text), &line) != nil {
				continue
			}
			said, _ := line["msg"].(string)
			if strings.HasPrefix(said, message) && line[field] == value {
				return line
			}
		}
		select {
		case <-ctx.Done():
			require.FailNow(t, "it was not logged", message)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
