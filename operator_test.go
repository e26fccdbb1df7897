package esjwt_test

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm"
)

// operator has a Caddy with the recommended configuration, in front of two nodes: one whose realm takes tokens, and
// one whose realm wants a shared secret too.
type operator struct {
	*scene
	replacements []string
	certificates map[string][]tls.Certificate
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	o := &operator{scene: &scene{clients: newAuthority(t, "clients authority")}}
	var nodes [2]http.Handler
	var listening []string
	for i := range nodes {
		listening = append(listening, nodeOf(t, httptest.NewUnstartedServer(http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) { nodes[i].ServeHTTP(w, r) })))...)
	}
	o.replacements = []string{
		"{{clients}}", o.clients.file(), "{{node}}", listening[1], "{{node-ca}}", listening[3], "{{secret-node}}",
		listening[5],
	}
	o.proxy = startProxy(t, recommended, append(o.replacements, "{{admin}}", "off")...)
	jwks, err := json.Marshal(o.jwks())
	require.NoError(t, err)
	nodes[0] = nodeWithRealm(t, jwks, esrealm.ClientAuthentication{Type: esrealm.ClientAuthenticationNone})
	nodes[1] = nodeWithRealm(t, jwks, esrealm.ClientAuthentication{SharedSecret: "the secret of the realm"})
	o.makeCertificates(t)
	return o
}

// nodeWithRealm is a likeness of a node whose realm has the settings of the README.
func nodeWithRealm(t *testing.T, jwks []byte, auth esrealm.ClientAuthentication) http.Handler {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jwks.json")
	require.NoError(t, os.WriteFile(file, jwks, 0o600))
	node, err := esrealm.NewHandler(esrealm.Config{
		Realms: []esrealm.Realm{{
			Name: "jwt1", AllowedIssuer: "https://es.example.com",
			AllowedAudiences: []string{"https://elasticsearch.example.com:9200"}, PKCJWKSetPath: file,
			Claims: esrealm.Claims{Principal: "sub", Groups: "roles"}, ClientAuthentication: auth,
		}},
		RoleMappings: map[string]esrealm.RoleMapping{"analysts": {
			Roles: []string{"viewer"},
			Rules: []byte(`{"all":[{"field":{"realm.name":"jwt1"}},{"field":{"groups":"analysts"}}]}`),
		}},
	})
	require.NoError(t, err)
	return node
}

// makeCertificates issues those of the clients, and makes the files that the Caddyfiles name.
func (o *operator) makeCertificates(t *testing.T) {
	t.Helper()
	issue := func(change func(*x509.Certificate)) []tls.Certificate {
		template := x509.Certificate{
			Subject:   pkix.Name{CommonName: "alice", Organization: []string{"analysts"}},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
		change(&template)
		return []tls.Certificate{o.clients.issue(template)}
	}
	o.certificates = map[string][]tls.Certificate{
		"-":                 nil,
		"alice":             {o.clients.client("alice", "analysts")},
		"bob":               {o.clients.client("bob", "operators")},
		"groupless":         {o.clients.client("groupless")},
		"another groupless": {o.clients.client("another")}, // which has no token yet
		"stranger":          {newAuthority(t, "another authority").client("alice", "analysts")},
		"expired":           issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"future":            issue(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }),
		"server": issue(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}),
		"nameless": issue(func(c *x509.Certificate) { c.Subject.CommonName = "" }),
		"dn":       {o.clients.client("dn", "staff,ou=admins")},
		"two names": issue(func(c *x509.Certificate) {
			c.RawSubject = subject(t, rdn(oidCN, utf8String, "a"), rdn(oidCN, utf8String, "b"))
		}),
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	stale := revocationListFrom(t, o.clients, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	o.replacements = append(o.replacements,
		"{{stale}}", o.clients.write("stale.crl", stale),
		"{{rsa1024}}", o.clients.write("rsa1024.pem", pkcs1(shortRSAKey(t))),
		"{{ed25519}}", o.clients.write("ed25519.pem", pkcs8(t, ed)))
}

// make makes a mistake, and requires that the operator is told of it.
func (o *operator) make(t *testing.T, m *mistake) {
	t.Helper()
	o.t = t
	admin := freeAddress(t)
	o.address = freeAddress(t) // see load
	begin := len(o.logs.String())
	err := o.tryReload(m.caddyfile(t), append(o.replacements, "{{admin}}", admin)...)
	if m.told == atLoad {
		require.Error(t, err)
		requireAll(t, err.Error(), m.says)
		return
	}
	require.NoError(t, err)
	if m.told == atStart {
		o.requireLine(t, begin, m)
	}
	if m.told == atStart && m.status == 0 {
		return
	}
	before, begin := metricsOfAdmin(t, admin), len(o.logs.String())
	o.request(t, m)
	if m.told == atRefusal {
		o.requireLine(t, begin, m)
	}
	if m.told == nowhere {
		manual, err := os.ReadFile("docs/elasticsearch.md")
		require.NoError(t, err)
		requireAll(t, string(manual), m.says)
	}
	if m.metric != "" {
		eventually(t, func() bool { return metricsOfAdmin(t, admin)[m.metric] == before[m.metric]+1 }, m.metric)
	}
}

// request sends the request that shows the mistake.
func (o *operator) request(t *testing.T, m *mistake) {
	t.Helper()
	certs, known := o.certificates[cmp.Or(m.client, "alice")]
	require.True(t, known)
	var header []string
	if m.password {
		header = []string{"Authorization", "Basic ZWxhc3RpYzpjaGFuZ2VtZQ=="}
	}
	a, err := o.try(o.httpClient(certs...), cmp.Or(m.path, "/_security/_authenticate"), header...)
	if m.status == 0 {
		require.Error(t, err, "the handshake ends")
		return
	}
	require.NoError(t, err)
	require.Equal(t, m.status, a.StatusCode, a.body)
}

// requireLine waits for a line in the log that says all of it.
func (o *operator) requireLine(t *testing.T, begin int, m *mistake) {
	t.Helper()
	eventually(t, func() bool {
		for text := range strings.Lines(o.logs.String()[begin:]) {
			var line map[string]any
			require.NoError(t, json.Unmarshal([]byte(text), &line))
			if lacks(fmt.Sprint(line), m.says) == "" && (m.level == "" || line["level"] == m.level) {
				return line["level"] != "debug"
			}
		}
		return false
	}, string(m.told))
}

func requireAll(t *testing.T, text string, says []string) {
	t.Helper()
	require.Empty(t, lacks(text, says), text)
}

// lacks returns the first of some texts that is not in a text.
func lacks(text string, says []string) string {
	for _, part := range says {
		if !strings.Contains(text, part) {
			return part
		}
	}
	return ""
}
