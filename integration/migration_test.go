package integration

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/caddy"
	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/issuer"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// guide is a document with steps that are done here as they stand there.
type guide struct {
	t    *testing.T
	text string
}

func openGuide(t *testing.T, name string) guide {
	t.Helper()
	return guide{t, document(t, name)}
}

var fence = regexp.MustCompile("(?s)```([a-z]*)\n(.*?)```")

// blocks are the code blocks in a language, which may be none.
func (g guide) blocks(language string) (blocks []string) {
	for _, match := range fence.FindAllStringSubmatch(g.text, -1) {
		if match[1] == language {
			blocks = append(blocks, match[2])
		}
	}
	return blocks
}

// block is the nth code block in a language; what differs on this machine is
// replaced, and must be there.
func (g guide) block(language string, n int, replacements ...string) string {
	g.t.Helper()
	blocks := g.blocks(language)
	require.Greater(g.t, len(blocks), n, "the document has no such block")
	block := blocks[n]
	for i := 0; i < len(replacements); i += 2 {
		require.Contains(g.t, block, replacements[i])
		block = strings.ReplaceAll(block, replacements[i], replacements[i+1])
	}
	return block
}

// call is the nth call of Elasticsearch's API: the path and the body.
func (g guide) call(n int, replacements ...string) (path, body string) {
	g.t.Helper()
	line, body, _ := strings.Cut(g.block("", n, replacements...), "\n")
	require.True(g.t, strings.HasPrefix(line, "PUT /"), line)
	return strings.TrimPrefix(line, "PUT "), body
}

// command is the nth command of a shell.
func (g guide) command(n int) []string {
	g.t.Helper()
	lines := strings.Split(strings.TrimSpace(strings.Join(g.blocks("sh"), "")), "\n")
	require.Greater(g.t, len(lines), n)
	return strings.Fields(lines[n])
}

// moving is a cluster whose users come from a PKI realm and from a Teleport, and a
// Caddy to which they move.
type moving struct {
	es                    *realnode.Elasticsearch
	caddy                 *caddy.Caddy
	teleport              *issuer.Issuer
	dir                   string // with files named as in the documents
	fromPKI, fromTeleport site
}

// The realms of before.
const (
	movingTeleport = "teleport"
	movingPKI      = "pki1"
)

// Both guides in one cluster, so that a node has to start only twice. Teleport's
// issuer has therefore another name than the document's.
func TestUsersMoveAsTheGuidesSay(t *testing.T) {
	for _, version := range versions(*elasticsearchVersions) {
		t.Run(version, func(t *testing.T) {
			pkiGuide, teleportGuide := openGuide(t, "from-the-pki-realm.md"), openGuide(t, "from-teleport.md")
			m := newMoving(t, version, pkiGuide, teleportGuide)
			require.NoError(t, m.es.Start(t.Context()))
			t.Run("from the PKI realm", func(t *testing.T) {
				pkiGuide.t = t
				m.movePKI(t, pkiGuide)
			})
			t.Run("from Teleport", func(t *testing.T) {
				teleportGuide.t = t
				m.moveTeleport(t, teleportGuide)
			})
			t.Run("without the realms of before", m.removeRealms)
		})
	}
}

// clusterOfBefore is what elasticsearch.yml had: the PKI realm after the realm of
// Teleport's guide.
func (m *moving) clusterOfBefore() string {
	return jwtRealmSettings(movingTeleport, 0, m.teleport.URL(), plainIssuer, "") +
		fmt.Sprintf(`xpack.security.authc.realms.pki.%s:
  order: 7
  certificate_authorities: certs/clients-ca.crt
`, movingPKI)
}

const movingRoleMapping = `monitoring:
  - "CN=alice,OU=people,O=analysts"
`

// newMoving does what both guides begin with: Caddy first, then the realms.
func newMoving(t *testing.T, version string, pkiGuide, teleportGuide guide) *moving {
	t.Helper()
	const teleportIssuer = "https://caddy.example.com"
	m := &moving{dir: t.TempDir(), fromPKI: site{port: freePort(t)}, fromTeleport: site{port: freePort(t)}}
	var err error
	m.teleport, err = issuer.New(plainIssuer, nodeAudience, proxyName, freePort(t), proxyCA().Server(proxyName))
	require.NoError(t, err)
	require.NoError(t, m.teleport.Serve())
	t.Cleanup(func() { assert.NoError(t, m.teleport.Close()) })

	config := nodeConfig(version, "")
	config.SecurityIndex = true // for the role-mapping API
	config.RoleMappings = nil
	config.Files["role_mapping.yml"] = []byte(movingRoleMapping)
	const jwks, clause = "https://es.example.com/.well-known/jwks.json",
		"\n  ssl.certificate_authorities: certs/proxy-ca.crt"
	config.Settings += "xpack.security.http.ssl.client_authentication: optional\n" +
		"xpack.security.http.ssl.certificate_authorities: certs/clients-ca.crt\n" +
		m.clusterOfBefore() +
		pkiGuide.block("yaml", 0, jwks, m.fromPKI.url(issuer.Path)+clause) +
		teleportGuide.block("yaml", 0, jwks, m.fromTeleport.url(issuer.Path)+clause, "allowed_issuer: "+proxyIssuer,
			"allowed_issuer: "+teleportIssuer)
	m.es = newElasticsearch(t, config)

	m.write(t, "role_mapping.yml", movingRoleMapping)
	m.write(t, "clients-ca.pem", string(clientCA().PEM()))
	m.write(t, "es-ca.pem", string(nodeCA().PEM()))
	m.write(t, "authorities.pem", string(nodeCA().PEM())+string(proxyCA().PEM()))
	here := func(s site) []string {
		dir, err := certificates()
		require.NoError(t, err)
		return []string{
			"es.example.com {\n", fmt.Sprintf("es.example.com:%d {\n\tbind 127.0.0.1\n", s.port),
			"\ttls {\n", fmt.Sprintf("\ttls %s/site.crt %[1]s/site.key {\n", dir),
			"clients-ca.pem", m.path("clients-ca.pem"),
			"es-ca.pem", m.path("es-ca.pem"),
			"https://es1:9200", m.es.URL(),
		}
	}
	m.caddy = StartCaddy(t, globalOptions+
		pkiGuide.block("caddyfile", 0, append(here(m.fromPKI), "/etc/caddy/role_mapping.yml", m.path("role_mapping.yml"))...)+
		teleportGuide.block("caddyfile", 0, append(here(m.fromTeleport), "issuer "+proxyIssuer, "issuer "+teleportIssuer)...))
	return m
}

func (m *moving) path(name string) string { return filepath.Join(m.dir, name) }

func (m *moving) write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(m.path(name), []byte(text), 0o600))
}

// put makes a call of the API.
func (m *moving) put(t *testing.T, path, body string) {
	t.Helper()
	status, answer, err := m.es.Do(t.Context(), http.MethodPut, path, body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, string(answer))
}

// curl runs a command line of a document, with the names in it at the ports here.
func (m *moving) curl(t *testing.T, proxy site, command []string) user {
	t.Helper()
	require.Equal(t, "curl", command[0])
	node, port, err := net.SplitHostPort(m.es.Address())
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "curl", append(slices.Clone(command[1:]),
		"--silent", "--show-error", "--cacert", "authorities.pem",
		"--connect-to", nodeName+":9200:"+net.JoinHostPort(node, port),
		"--connect-to", proxyName+":443:127.0.0.1:"+strconv.Itoa(proxy.port))...)
	cmd.Dir = m.dir
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	require.NoError(t, err)
	return answer{status: http.StatusOK, body: string(output)}.user(t)
}

// alice has what every rule looks at.
func (m *moving) alice(t *testing.T) pki.Pair {
	t.Helper()
	alice := clientCA().Issue(&x509.Certificate{
		RawSubject: pki.Subject(
			pki.RDN{{Type: pki.O, Text: "analysts"}},
			pki.RDN{{Type: pki.OU, Text: "people"}},
			pki.RDN{{Type: pki.CN, Text: "alice"}},
		),
		EmailAddresses: []string{"alice@example.com"},
	})
	m.write(t, "alice.pem", string(alice.Cert))
	m.write(t, "alice.key", string(alice.Key))
	return alice
}

func (m *moving) movePKI(t *testing.T, g guide) {
	m.alice(t)
	rules := map[string]string{
		"sales_reader":    `{"field":{"dn":"*,ou=people,o=analysts"}}`,
		"cluster_watcher": `{"field":{"username":"alice"}}`,
		"sales_writer":    `{"field":{"metadata.pki_dn":"CN=alice, OU=people, O=analysts"}}`,
	}
	for role, rule := range rules {
		m.put(t, "/_security/role_mapping/pki-"+role, fmt.Sprintf(
			`{"enabled":true,"roles":[%q],"rules":{"all":[{"field":{"realm.name":%q}},%s]}}`, role, movingPKI, rule))
	}

	explain := g.command(0)
	require.Equal(t, []string{"caddy", "elasticsearch-jwt"}, explain[:2])
	explained, err := m.caddy.Command(t.Context(), "elasticsearch-jwt", explain[2], m.path(explain[3]))
	require.NoError(t, err)
	require.Contains(t, explained, "alice")
	require.Contains(t, explained, "monitoring")

	before := m.curl(t, m.fromPKI, g.command(1))
	require.Equal(t, movingPKI, before.Realm.Name)
	require.ElementsMatch(t, []string{"monitoring", "sales_reader", "cluster_watcher", "sales_writer"}, before.Roles)
	require.Empty(t, m.curl(t, m.fromPKI, g.command(2)).Roles, "there are no mappings for the new realm yet")

	path, body := g.call(0)
	m.put(t, path, body)
	for role, rule := range rules {
		rule = strings.ReplaceAll(rule, "metadata.pki_dn", "metadata.jwt_claim_dn")
		m.put(t, "/_security/role_mapping/jwt-"+role,
			fmt.Sprintf(`{"enabled":true,"roles":[%q],"rules":{"all":[{"field":{"realm.name":"jwt1"}},%s]}}`, role, rule))
	}
	after := m.curl(t, m.fromPKI, g.command(2))
	require.Equal(t, "jwt1", after.Realm.Name)
	require.Equal(t, before.Username, after.Username)
	require.ElementsMatch(t, before.Roles, after.Roles)
	require.Equal(t, before.Metadata["pki_dn"], after.Metadata["jwt_claim_dn"])
}

// teleportToken is what Teleport gives alice.
func (m *moving) teleportToken(t *testing.T) string {
	t.Helper()
	claims := m.teleport.Claims("alice", "analysts").
		With("username", "alice").
		With("traits", map[string][]string{"logins": {"alice"}})
	return m.teleport.Token(t, claims)
}

func (m *moving) moveTeleport(t *testing.T, g guide) {
	m.alice(t)
	path, body := g.call(0)
	m.put(t, path, body)
	m.put(t, path+"-before", strings.ReplaceAll(body, `"jwt2"`, `"`+movingTeleport+`"`))

	before := send(t, directClient(), http.MethodGet, m.es.URL()+"/_security/_authenticate", "",
		bearer(m.teleportToken(t))).user(t)
	require.Equal(t, movingTeleport, before.Realm.Name)
	require.Equal(t, []string{"sales_reader"}, before.Roles)
	require.NotContains(t, before.Metadata, "jwt_claim_traits", "Elasticsearch drops objects")

	after := m.curl(t, m.fromTeleport, g.command(0))
	require.Equal(t, "jwt2", after.Realm.Name)
	require.Equal(t, before.Username, after.Username)
	require.Equal(t, before.Roles, after.Roles)

	// The claims that the guide adds for rules on metadata.
	whole := m.fromTeleport
	whole.port = freePort(t)
	dir, err := certificates()
	require.NoError(t, err)
	StartCaddy(t, globalOptions+g.block("caddyfile", 1,
		"es.example.com {\n", fmt.Sprintf("es.example.com:%d {\n\tbind 127.0.0.1\n\ttls %s/site.crt %[2]s/site.key {\n"+
			"\t\tclient_auth {\n\t\t\tmode verify_if_given\n\t\t\ttrust_pool file %[2]s/clients-ca.crt\n\t\t}\n\t}\n",
			whole.port, dir),
		"reverse_proxy https://es1:9200\n", fmt.Sprintf(
			"reverse_proxy %s {\n\t\ttransport http {\n\t\t\ttls_trust_pool file %s/es-ca.crt\n\t\t}\n\t}\n", m.es.URL(), dir),
		"issuer "+proxyIssuer, "issuer https://caddy.example.com",
	), "XDG_DATA_HOME="+m.caddy.DataHome())
	got := m.curl(t, whole, g.command(0))
	for claim, value := range before.Metadata {
		if !slices.Contains([]string{"jwt_claim_iss", "jwt_claim_iat", "jwt_claim_nbf", "jwt_claim_exp"}, claim) {
			require.Equal(t, value, got.Metadata[claim], claim)
		}
	}
	require.Equal(t, "people", got.Metadata["jwt_claim_team"])
	require.Equal(t, "alice@example.com", got.Metadata["jwt_claim_email"])
}

// removeRealms is the last step of both guides.
func (m *moving) removeRealms(t *testing.T) {
	alice := m.alice(t)
	text, err := os.ReadFile(m.es.ConfigPath("elasticsearch.yml"))
	require.NoError(t, err)
	require.Contains(t, string(text), m.clusterOfBefore())
	require.NoError(t, m.es.WriteConfig("elasticsearch.yml",
		[]byte(strings.Replace(string(text), m.clusterOfBefore(), "", 1))))
	status, body, err := m.es.Do(t.Context(), http.MethodGet, "/_security/role_mapping", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	var mappings map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(body, &mappings))
	for name, mapping := range mappings {
		if strings.Contains(string(mapping), `"`+movingPKI+`"`) || strings.Contains(string(mapping), `"`+movingTeleport+`"`) {
			status, body, err := m.es.Do(context.Background(), http.MethodDelete, "/_security/role_mapping/"+name, "")
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status, string(body))
		}
	}
	require.NoError(t, m.es.Restart(t.Context()))

	got := m.fromPKI.authenticate(t, m.fromPKI.client(alice.TLS)).user(t)
	require.Equal(t, "alice", got.Username)
	require.ElementsMatch(t, []string{"monitoring", "sales_reader", "cluster_watcher", "sales_writer"}, got.Roles)
	got = m.fromTeleport.authenticate(t, m.fromTeleport.client(alice.TLS)).user(t)
	require.Equal(t, []string{"sales_reader"}, got.Roles)

	ask := func(header http.Header) int {
		return send(t, directClient(alice.TLS), http.MethodGet, m.es.URL()+"/_security/_authenticate", "", header).status
	}
	require.Equal(t, http.StatusUnauthorized, ask(nil), "a certificate alone is nobody")
	require.Equal(t, http.StatusUnauthorized, ask(bearer(m.teleportToken(t))))
}
