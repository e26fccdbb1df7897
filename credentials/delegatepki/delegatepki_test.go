package delegatepki_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/credentials/delegatepki"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// node answers as Elasticsearch does.
type node struct {
	*httptest.Server
	password string
	licence  bool
	may      bool // the user has the privilege
	takes    bool // the realm takes the certificate
	answer   string
	chains   [][]string
}

func newNode(t testing.TB) *node {
	t.Helper()
	n := &node{
		password: "secret", licence: true, may: true, takes: true,
		answer: `{"access_token":"dGhlIHRva2Vu","type":"Bearer","expires_in":1200}`,
	}
	n.Server = httptest.NewServer(n)
	t.Cleanup(n.Close)
	return n
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, password, _ := r.BasicAuth()
	fail := func(status int, reason string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"type": "security_exception", "reason": reason}})
	}
	switch {
	case password != n.password:
		fail(http.StatusUnauthorized, "unable to authenticate user [proxy] for REST request ["+r.URL.Path+"]")
	case r.URL.Path == "/_security/_authenticate":
		_, _ = io.WriteString(w, `{"username":"proxy"}`)
	case r.URL.Path == "/_security/user/_has_privileges":
		_, _ = fmt.Fprintf(w, `{"cluster":{"delegate_pki":%t}}`, n.may)
	case !n.licence:
		fail(http.StatusForbidden, "current license is non-compliant for [pki]")
	case !n.may:
		fail(http.StatusForbidden, "action [cluster:admin/xpack/security/delegate_pki] is unauthorized for user [proxy]")
	case !n.takes:
		fail(http.StatusUnauthorized, "unable to authenticate user [CN=alice] for action [cluster:admin/xpack/security/delegate_pki]")
	default:
		var body struct {
			Chain []string `json:"x509_certificate_chain"`
		}
		if json.NewDecoder(r.Body).Decode(&body) != nil {
			fail(http.StatusBadRequest, "no chain")
			return
		}
		n.chains = append(n.chains, body.Chain)
		_, _ = io.WriteString(w, n.answer)
	}
}

func userFile(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "user")
	require.NoError(t, os.WriteFile(file, []byte("proxy:secret\n"), 0o600))
	return file
}

func newKind(t testing.TB, n *node) *delegatepki.DelegatePKI {
	t.Helper()
	kind := &delegatepki.DelegatePKI{User: "{file." + userFile(t) + "}"}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	require.NoError(t, kind.Provision(ctx))
	kind.SetCluster(cluster.New(cluster.NewNode(n.URL, http.DefaultTransport)))
	return kind
}

func chainOf(t testing.TB, certificate tls.Certificate, more ...[]byte) []*x509.Certificate {
	t.Helper()
	var chain []*x509.Certificate
	for _, der := range append(certificate.Certificate, more...) {
		parsed, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		chain = append(chain, parsed)
	}
	return chain
}

func newClient(t testing.TB) *credential.Client {
	t.Helper()
	alice := pki.NewCA("clients").Client("alice").TLS
	return &credential.Client{
		Principal: "alice", Chain: chainOf(t, alice), NotAfter: time.Now().Add(time.Hour).Unix(),
	}
}

func make1(t testing.TB, kind *delegatepki.DelegatePKI, client *credential.Client) (*credential.Credential, error) {
	t.Helper()
	plan, err := kind.Plan(client)
	require.NoError(t, err)
	return kind.Make(context.Background(), client, plan, nil)
}

func TestATokenIsGoodForLessThanItLives(t *testing.T) {
	n := newNode(t)
	client := newClient(t)
	now := time.Now().Unix()
	made, err := make1(t, newKind(t, n), client)
	require.NoError(t, err)
	require.Equal(t, "Bearer dGhlIHRva2Vu", made.Authorization)
	require.InDelta(t, now+1170, made.Until, 5)
	require.InDelta(t, now+600, made.RenewAt, 5)
	require.Equal(t, [][]string{{base64.StdEncoding.EncodeToString(client.Chain[0].Raw)}}, n.chains)

	client.NotAfter = now + 60
	made, err = make1(t, newKind(t, n), client)
	require.NoError(t, err)
	require.Equal(t, client.NotAfter, made.Until, "it never outlives the certificate")
}

// TestTheChainIsSentInItsOrder, whatever else the client has sent along.
func TestTheChainIsSentInItsOrder(t *testing.T) {
	n := newNode(t)
	client := newClient(t)
	authority := pki.NewCA("clients")
	other := pki.NewCA("others")
	client.Chain = chainOf(t, authority.Client("alice").TLS,
		other.Client("stranger").TLS.Certificate[0], authority.Client("bob").TLS.Certificate[0])
	_, err := make1(t, newKind(t, n), client)
	require.NoError(t, err)
	require.Len(t, n.chains[0], 1)
}

// TestTheIssuerIsTheOneThatHasSigned: an authority got another key, and the client sends both of its certificates.
func TestTheIssuerIsTheOneThatHasSigned(t *testing.T) {
	n := newNode(t)
	before, now := pki.NewCA("clients"), pki.NewCA("clients")
	client := newClient(t)
	client.Chain = chainOf(t, now.Client("alice").TLS, before.Certificate.Raw, now.Certificate.Raw)
	_, err := make1(t, newKind(t, n), client)
	require.NoError(t, err)
	encoded := base64.StdEncoding.EncodeToString
	require.Equal(t, []string{encoded(client.Chain[0].Raw), encoded(now.Certificate.Raw)}, n.chains[0])
}

func TestEachFaultIsThatOfWhoCanMendIt(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*node)
		problem credential.Problem
		advice  string
	}{
		"password":  {func(n *node) { n.password = "another" }, credential.ProxyRefused, "password"},
		"licence":   {func(n *node) { n.licence = false }, credential.ProxyRefused, "another kind of credential"},
		"privilege": {func(n *node) { n.may = false }, credential.ProxyRefused, "privilege delegate_pki"},
		"realm":     {func(n *node) { n.takes = false }, credential.Unverified, "delegation.enabled"},
		"down":      {func(n *node) { n.Close() }, credential.Unavailable, "try again"},
		"no token":  {func(n *node) { n.answer = `{}` }, credential.Unavailable, "try again"},
		"a token that no header can carry": {
			func(n *node) { n.answer = `{"access_token":"a\r\nb","type":"Bearer","expires_in":1200}` },
			credential.Unavailable, "try again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			c.change(n)
			_, err := make1(t, newKind(t, n), newClient(t))
			refusal := credential.AsRefusal(err)
			require.Equal(t, c.problem, refusal.Problem, err)
			require.Contains(t, refusal.Detail, c.advice)
			require.NotContains(t, fmt.Sprint(err), "secret")
		})
	}
}

func TestEachChainHasATokenOfItsOwn(t *testing.T) {
	kind := newKind(t, newNode(t))
	one, two := newClient(t), newClient(t)
	first, err := kind.Plan(one)
	require.NoError(t, err)
	second, err := kind.Plan(two)
	require.NoError(t, err)
	require.NotEqual(t, first.Key, second.Key)
	again, err := kind.Plan(one)
	require.NoError(t, err)
	require.Equal(t, first.Key, again.Key)

	_, err = kind.Plan(&credential.Client{Principal: "health"})
	require.Equal(t, credential.Unverified, credential.AsRefusal(err).Problem)
}

func TestExplainShowsNoSecret(t *testing.T) {
	e, err := newKind(t, newNode(t)).Explain(newClient(t))
	require.NoError(t, err)
	require.Equal(t, []string{"Authorization: Bearer …"}, e.Sends)
	require.NotContains(t, fmt.Sprint(e), "secret")
}

func TestSettings(t *testing.T) {
	for text, want := range map[string]string{
		"delegate_pki {\nuser {file./run/secrets/user}\ncluster https://es1:9200 https://es2:9200/\n}": "",
		"delegate_pki {\nuser proxy:secret\n}":                                                         "a secret in the configuration",
		"delegate_pki":                                                                                 "user: it is missing",
		"delegate_pki {\nuser {env.USER}\ncluster es1:9200\n}":                                         "a node is written as",
		"delegate_pki {\nuser {env.USER}\ncluster https://a:b@es1:9200\n}":                             "leave the user and the password out",
		"delegate_pki {\nuser {env.USER}\npassword x\n}":                                               "unknown setting",
		"delegate_pki x": "in a block",
	} {
		kind := new(delegatepki.DelegatePKI)
		err := kind.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if want == "" {
			require.NoError(t, err)
			require.Equal(t, []string{"https://es1:9200", "https://es2:9200"}, kind.Nodes())
			continue
		}
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "proxy:secret")
		require.NotContains(t, err.Error(), "a:b@")
	}
}

func FuzzTheAnswerOfANode(f *testing.F) {
	f.Add(`{"access_token":"dGhlIHRva2Vu","type":"Bearer","expires_in":1200}`)
	f.Add(`{"access_token":"a b","type":"Bearer","expires_in":-1}`)
	f.Add(`[]`)
	n := newNode(f)
	kind, client := newKind(f, n), newClient(f)
	f.Fuzz(func(t *testing.T, answer string) {
		n.answer = answer
		made, err := make1(t, kind, client)
		if err != nil {
			return
		}
		require.LessOrEqual(t, made.Until, client.NotAfter)
		require.LessOrEqual(t, made.RenewAt, made.Until+1)
		for _, c := range made.Authorization {
			require.Less(t, c, rune(0x7f))
			require.GreaterOrEqual(t, c, ' ')
		}
	})
}
