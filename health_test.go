package esjwt_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// checkedNode is a node that answers health checks with a status, and remembers the last one.
type checkedNode struct {
	mu     sync.Mutex
	status func(check *http.Request) int
	checks int
	last   *http.Request
}

func (n *checkedNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/health" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.checks, n.last = n.checks+1, r
	w.WriteHeader(n.status(r))
}

// next waits for a health check that begins after now.
func (n *checkedNode) next(t testing.TB) *http.Request {
	t.Helper()
	count := func() int {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.checks
	}
	before := count()
	eventually(t, func() bool { return count() > before+1 }, "another health check")
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last
}

// wantsBearer is what a node with security answers to a health check.
func wantsBearer(r *http.Request) int {
	if strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		return http.StatusOK
	}
	return http.StatusUnauthorized
}

// checkedSite is a site with health checks, settings of the transport, and more of reverse_proxy.
func checkedSite(transport, proxy string) string {
	return strings.Replace(withTransport("\t\thealth_uri /health\n\t\thealth_interval 20ms\n"+proxy),
		"tls_trust_pool", transport+"\n\t\t\ttls_trust_pool", 1)
}

func newCheckedScene(
	t *testing.T, caddyfile, settings string, status func(*http.Request) int, more ...string,
) (*scene, *checkedNode) {
	t.Helper()
	node := &checkedNode{status: status}
	more = append(more, nodeOf(t, httptest.NewUnstartedServer(node))...)
	return newSceneOf(t, caddyfile, append(more, "{{settings}}", settings)...), node
}

// TestAHealthCheckIsAUserOfItsOwn, with no groups, and with nothing that only a certificate has.
func TestAHealthCheckIsAUserOfItsOwn(t *testing.T) {
	secret := writeFile(t, "secret", []byte("not-so-secret"))
	s, node := newCheckedScene(t,
		checkedSite("health_principal caddy-health\n\t\t\tshared_secret {file."+secret+"}", "\t\thealth_headers {\n"+
			"\t\t\tX-Opaque-Id health\n\t\t}\n"),
		`principal_claim name
		claim environment test
		claim_list teams {cert.ou} everybody
		claim unit {cert.ou}
		required_claim email {cert.san.email}
		confirmation
		jti
		header X-Tenant acme
		header X-Unit {cert.ou}
		header X-Token {jwt}`, wantsBearer)
	check := node.next(t)
	token := s.token(check)
	require.Equal(t, "caddy-health", token.claims["sub"])
	require.Equal(t, "caddy-health", token.claims["name"])
	require.Equal(t, []any{}, token.claims["roles"])
	require.Equal(t, "https://es.example.com", token.claims["iss"])
	require.Equal(t, []any{"https://elasticsearch.example.com:9200"}, token.claims["aud"])
	require.Equal(t, "test", token.claims["environment"])
	require.NotEmpty(t, token.claims["jti"])
	for _, claim := range []string{"teams", "unit", "email", "cnf"} {
		require.NotContains(t, token.claims, claim)
	}
	require.Equal(t, []string{"SharedSecret not-so-secret"}, check.Header["Es-Client-Authentication"])
	require.Equal(t, []string{"acme"}, check.Header["X-Tenant"])
	require.Equal(t, []string{token.raw}, check.Header["X-Token"])
	require.Equal(t, []string{"health"}, check.Header["X-Opaque-Id"])
	require.NotContains(t, check.Header, "X-Unit")
	require.Equal(t, token.raw, s.token(node.next(t)).raw, "one token for many checks")

	audit := s.loggedOnce("token signed for health checks")
	require.Equal(t, "caddy-health", audit["user"])
	require.Equal(t, token.header.KeyID, audit["kid"])
	require.NotContains(t, s.logs.String(), "not-so-secret")
	require.NotContains(t, s.logs.String(), token.raw)
	require.Empty(t, s.linesWith("active health check failed"))
	require.Empty(t, s.linesWith("status code out of tolerances"), "not even the first check failed")
}

// TestAHealthCheckOfNobodyIsTold what to write, and one with the operator's own password goes as it is.
func TestAHealthCheckOfNobodyIsTold(t *testing.T) {
	refusing := func(r *http.Request) int {
		if r.Header.Get("Authorization") == "Basic YWJj" {
			return http.StatusOK
		}
		return http.StatusUnauthorized
	}
	s, node := newCheckedScene(t, checkedSite("", ""), optional, refusing)
	require.NotContains(t, node.next(t).Header, "Authorization")
	require.Contains(t, s.loggedOnce("a node answers health checks with 401")["advice"], "`health_principal caddy-health`")
	eventually(t, func() bool {
		return s.get(s.httpClient(), "/", "Authorization", "Basic YWJj").StatusCode == http.StatusServiceUnavailable
	}, "the node is unhealthy")

	s, node = newCheckedScene(t, checkedSite("", "\t\thealth_headers {\n\t\t\tAuthorization \"Basic YWJj\"\n\t\t}\n"),
		optional, refusing)
	require.Equal(t, []string{"Basic YWJj"}, node.next(t).Header["Authorization"])
	require.Empty(t, s.linesWith("a node answers health checks with 401"))
	require.Equal(t, http.StatusOK, s.get(s.httpClient(), "/", "Authorization", "Basic YWJj").StatusCode)
}

// TestARefusedHealthCheckIsARefusalOfTheCluster, since it has a token of ours.
func TestARefusedHealthCheckIsARefusalOfTheCluster(t *testing.T) {
	for status, line := range map[int]string{
		http.StatusUnauthorized: "a node refuses tokens of this proxy with 401",
		http.StatusForbidden:    "a node refuses users of this proxy with 403",
	} {
		s, node := newCheckedScene(t, checkedSite("health_principal caddy-health", ""), "",
			func(*http.Request) int { return status })
		node.next(t)
		require.Equal(t, "caddy-health", s.loggedOnce(line)["user"])
	}
}

// TestWithoutAKeyANodeStaysWhatItWas: that there is no token for a health check is no fault of the node.
func TestWithoutAKeyANodeStaysWhatItWas(t *testing.T) {
	notAFolder := writeFile(t, "file", nil)
	s, _ := newCheckedScene(t, checkedSite("health_principal caddy-health", "\t\thealth_timeout 100ms\n"), optional,
		wantsBearer, "{{storage}}", notAFolder+"/storage")
	s.loggedOnce("health checks are not sent")
	require.Equal(t, http.StatusOK, s.get(s.httpClient(), "/", "Authorization", "Basic YWJj").StatusCode,
		"a client with its own password")
}

// TestHealthPrincipalIsCheckedWhenItIsLoaded.
func TestHealthPrincipalIsCheckedWhenItIsLoaded(t *testing.T) {
	for name, c := range map[string]struct{ transport, proxy, want string }{
		"a pattern":                  {"health_principal *", "", "a character that has a meaning"},
		"a value of the certificate": {"health_principal {cert.cn}", "", "write a name such as caddy-health"},
		"a part of the request":      {"health_principal {http.request.host}", "", "write a name such as caddy-health"},
		"a variable that is not set": {"health_principal {env.NO_SUCH_VARIABLE}", "", "NO_SUCH_VARIABLE"},
		"an Authorization as well": {
			"health_principal a", "\t\thealth_headers {\n\t\t\tauthorization a\n\t\t}\n", "Authorization too",
		},
		"another identity as well": {
			"health_principal a", "\t\thealth_headers {\n\t\t\tES_Security-RunAs a\n\t\t}\n", "by health_headers",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := validateChecked(t, checkedSite(c.transport, c.proxy), "127.0.0.1:1", newAuthority(t, "nodes").file())
			require.ErrorContains(t, err, "health_principal: ")
			require.ErrorContains(t, err, c.want)
		})
	}
}

// TestACredentialThatNoHealthCheckCanHaveIsAnError: the checks would never be sent, and a dead node would stay healthy.
func TestACredentialThatNoHealthCheckCanHaveIsAnError(t *testing.T) {
	role := writeFile(t, "role.json", []byte(`{"cluster":["monitor"]}`))
	user := writeFile(t, "user", []byte("proxy:a-password"))
	key := writeFile(t, "key", []byte("ApiKey aWQ6c2VjcmV0"))
	for credential, want := range map[string]string{
		"api_key {\nuser {file." + user + "}\nrole a " + role + "\n}": "a group",
		"static {\ngroup a {file." + key + "}\n}":                     "a group",
		"run_as {\nkey {file." + key + "}\nuser a edge-a\n}":          "a group",
		"run_as {\nkey {file." + key + "}\n}":                         "",
		"delegate_pki {\nuser {file." + user + "}\n}":                 "a certificate",
		"proxy_headers": "",
	} {
		t.Run(credential, func(t *testing.T) {
			err := validateChecked(t, strings.NewReplacer("{{settings}}", "credential "+credential,
				"transport elasticsearch_jwt", "health_uri /\ntransport elasticsearch_jwt {\nhealth_principal caddy-health\n}",
			).Replace(withCredential), "127.0.0.1:1", newAuthority(t, "nodes").file())
			if want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "health_principal: `credential ")
			require.ErrorContains(t, err, "and not "+want+" too: leave health_principal out")
		})
	}
}

// TestValidatingSendsNoHealthCheckOfAUser: there are no keys then, and reverse_proxy begins with the checks all the same.
func TestValidatingSendsNoHealthCheckOfAUser(t *testing.T) {
	node := &checkedNode{status: wantsBearer}
	address := nodeOf(t, httptest.NewUnstartedServer(node)) // and its authority
	require.NoError(t, validateChecked(t, checkedSite("health_principal caddy-health", ""), address[1], address[3]))
	require.Zero(t, node.checks)
}

// validateChecked is `caddy validate` of a checkedSite.
func validateChecked(t *testing.T, caddyfile, node, nodeCA string) error {
	t.Helper()
	certFile, keyFile := newAuthority(t, "server").server(site)
	config := adapt(t, strings.NewReplacer("{{settings}}", "", "{{site}}", "https://es.example.com", "{{tls}}",
		certFile+" "+keyFile, "{{storage}}", t.TempDir(), "{{clients}}", newAuthority(t, "clients").file(), "{{node-ca}}",
		nodeCA, "{{upstream}}", node).Replace(caddyfile))
	return validate(t, config, t.TempDir())
}
