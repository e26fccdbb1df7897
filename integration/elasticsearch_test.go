package integration

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

const (
	// proxyName is what clients and nodes call the proxy. It has a dot, because
	// Java sends no server name for a name without one.
	proxyName     = "es.example.com"
	proxyIssuer   = "https://es.example.com"
	nodeName      = "es1" // in the manual
	nodeAudience  = "https://elasticsearch.example.com:9200"
	teleportRealm = "jwt1"
)

// The authorities of the suite. They are apart from each other, so that a test
// notices when one is trusted in place of another.
var (
	nodeCA   = sync.OnceValue(func() *pki.CA { return pki.NewCA("Nodes CA") })
	proxyCA  = sync.OnceValue(func() *pki.CA { return pki.NewCA("Proxy CA") })
	clientCA = sync.OnceValue(func() *pki.CA { return pki.NewCA("Clients CA") })
	peopleCA = sync.OnceValue(func() *pki.CA { return pki.NewCA("People CA") })
)

// nodeTLS is the certificate that nodes serve HTTPS with.
var nodeTLS = sync.OnceValue(func() realnode.TLS {
	pair := nodeCA().Server("127.0.0.1", "localhost", nodeName)
	return realnode.TLS{Cert: pair.Cert, Key: pair.Key, CA: nodeCA().PEM()}
})

// teleportRealmSettings is the realm that Teleport's guide for Elasticsearch
// tells its users to write, with this issuer's names, and the authority of a
// proxy whose certificate is no public one.
func teleportRealmSettings(jwks string) string {
	return jwtRealmSettings(teleportRealm, 1, jwks, proxyIssuer, "")
}

// jwtRealmSettings is a realm like that of Teleport's guide, and more settings.
func jwtRealmSettings(name string, order int, jwks, issuer, more string) string {
	return fmt.Sprintf(`xpack.security.authc.realms.jwt.%s:
  order: %d
  client_authentication.type: none
  pkc_jwkset_path: %s
  claims.principal: sub
  claims.groups: roles
  allowed_issuer: %s
  allowed_audiences: ["%s"]
  ssl.certificate_authorities: certs/proxy-ca.crt
  %s
`, name, order, jwks, issuer, nodeAudience, more)
}

// pkiRealmSettings is a realm that takes clients by the certificates that they
// show to the node itself.
func pkiRealmSettings(order int) string {
	return fmt.Sprintf(`xpack.security.http.ssl.client_authentication: optional
xpack.security.http.ssl.certificate_authorities: [certs/clients-ca.crt, certs/people-ca.crt]
xpack.security.authc.realms.pki.%s:
  order: %d
  certificate_authorities: certs/clients-ca.crt
  delegation.enabled: true
`, pkiRealm, order)
}

// roles and role mappings by which alice (analysts) reads what bob (operators)
// may not, and neither writes.
const roles = `
sales_reader:
  indices:
    - names: ["sales*"]
      privileges: [read, view_index_metadata]
sales_writer:
  indices:
    - names: ["sales*"]
      privileges: [create_doc, create_index, auto_configure]
cluster_watcher:
  cluster: [monitor]
`

// roleMappings gives roles to the groups of a realm. A PKI realm has no groups,
// but names: there the rule is on the DN, which ends with the organization.
func roleMappings(realm string) map[string]realnode.RoleMapping {
	mappings := map[string]realnode.RoleMapping{}
	for group, role := range map[string]string{
		"analysts":  "sales_reader",
		"shippers":  "sales_writer",
		"operators": "cluster_watcher",
		"admins":    "superuser",
	} {
		rules := fmt.Sprintf(
			`{"all":[{"field":{"realm.name":%q}},{"any":[{"field":{"groups":%q}},{"field":{"dn":"*,o=%s"}}]}]}`, realm, group,
			group)
		mappings[realm+"-"+group] = realnode.RoleMapping{Roles: []string{role}, Rules: json.RawMessage(rules)}
	}
	return mappings
}

// nodeConfig is a node of the suite: it knows the proxy by its name, trusts its
// certificate, and says in its log why it refused a token.
func nodeConfig(version, settings string) realnode.ElasticsearchConfig {
	return realnode.ElasticsearchConfig{
		Config: realnode.Config{
			Version: version,
			HTTP:    nodeTLS(),
			Settings: settings + `
logger.org.elasticsearch.xpack.security.authc.jwt: trace
`,
			Files: map[string][]byte{
				"certs/proxy-ca.crt":   proxyCA().PEM(),
				"certs/clients-ca.crt": clientCA().PEM(),
				"certs/people-ca.crt":  peopleCA().PEM(),
			},
			Hosts: map[string]string{proxyName: "127.0.0.1"},
			Logf:  logToStandardError,
		},
		Roles:        roles,
		RoleMappings: roleMappings(teleportRealm),
	}
}

func logToStandardError(format string, args ...any) {
	fmt.Printf("integration: "+format+"\n", args...)
}

// newElasticsearch makes a node for the time of a test, and does not start it. A
// test that fails shows what it logged last.
func newElasticsearch(t testing.TB, config realnode.ElasticsearchConfig) *realnode.Elasticsearch {
	t.Helper()
	es, err := realnode.NewElasticsearch(t.Context(), config)
	requireReal(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last lines of the node's log:\n%s", es.LogTail(40))
		}
		assert.NoError(t, es.Close())
	})
	return es
}

// answer is an HTTP answer that was read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends a request and reads the answer.
func send(t testing.TB, client *http.Client, method, url, body string, header http.Header) answer {
	t.Helper()
	got, err := trySend(t.Context(), client, method, url, body, header)
	require.NoError(t, err)
	return got
}

func trySend(ctx context.Context, client *http.Client, method, url, body string, header http.Header) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	maps.Copy(request.Header, header) // with names as they are spelled
	if body != "" && request.Header.Get("Content-Type") == "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: string(text)}, err
}

// user is what _security/_authenticate answers.
type user struct {
	Username string
	Roles    []string
	Metadata map[string]any
	Realm    struct {
		Name, Type string
	} `json:"authentication_realm"`
}

// user reads the answer of _security/_authenticate.
func (a answer) user(t testing.TB) user {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, a.body)
	var u user
	require.NoError(t, json.Unmarshal([]byte(a.body), &u))
	return u
}

// directClient talks to the node itself, with a certificate or without one.
func directClient(certificates ...tls.Certificate) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs:      nodeCA().Pool(),
		Certificates: certificates,
	}}}
}

func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}}
}
