package esjwt_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/require"
)

// withCredential is a site whose clients go on with something else than a token.
const withCredential = `{
	admin off
	storage file_system {{storage}}
	auto_https disable_redirects
}
{{site}} {
	log
	tls {{tls}} {
		client_auth {
			mode request
		}
	}
	elasticsearch_jwt {
		trust_pool file {{clients}}
		{{settings}}
	}
	reverse_proxy {{upstream}} {
		transport elasticsearch_jwt
	}
}
`

// newCredentialScene is a Caddy with such a site.
func newCredentialScene(t testing.TB, settings string) *scene {
	t.Helper()
	return newSceneOf(t, withCredential, "{{settings}}", settings)
}

const staticCredential = `credential static {
	group analysts {env.ESJWT_TEST_ANALYSTS}
	group ops      {env.ESJWT_TEST_OPS}
}
`

func newStaticScene(t *testing.T, more string) *scene {
	t.Helper()
	t.Setenv("ESJWT_TEST_ANALYSTS", "ApiKey analysts-key")
	t.Setenv("ESJWT_TEST_OPS", "Bearer ops-token")
	return newCredentialScene(t, staticCredential+more)
}

func TestAGroupGoesOnWithTheCredentialOfTheFirstGroupThatHasOne(t *testing.T) {
	s := newStaticScene(t, "")
	for _, c := range []struct {
		groups              []string
		status              int
		authorization, body string
	}{
		{[]string{"analysts"}, http.StatusOK, "ApiKey analysts-key", ""},
		{[]string{"ops"}, http.StatusOK, "Bearer ops-token", ""},
		{[]string{"ops", "analysts"}, http.StatusOK, "ApiKey analysts-key", ""},
		{[]string{"others"}, http.StatusForbidden, "", "no_role"},
		{nil, http.StatusForbidden, "", "no_role"},
	} {
		a := s.get(s.httpClient(s.clients.client("alice", c.groups...)), "/_search")
		require.Equal(t, c.status, a.StatusCode, c.groups)
		require.Contains(t, a.body, c.body)
		if c.status != http.StatusOK {
			s.upstream.requireNone(t)
			continue
		}
		r := s.upstream.last(t)
		require.Equal(t, []string{c.authorization}, r.Header["Authorization"])
		require.Equal(t, []string{"alice"}, r.Header["X-Opaque-Id"])
	}
	logs := s.logs.String()
	require.Contains(t, logs, `"msg":"credential made"`)
	require.NotContains(t, logs, "analysts-key")
	require.NotContains(t, logs, "ops-token")
}

// TestAClientCannotSetAHeaderOfACredential, whatever the kind: neither as a header, in any spelling, nor by a Connection
// option or a trailer (CVE-2022-31813).
func TestAClientCannotSetAHeaderOfACredential(t *testing.T) {
	kinds := map[string]string{
		"static":        staticCredential,
		"proxy_headers": "credential proxy_headers",
	}
	t.Setenv("ESJWT_TEST_ANALYSTS", "ApiKey analysts-key")
	t.Setenv("ESJWT_TEST_OPS", "Bearer ops-token")
	names := []string{
		"Authorization", "X-Opaque-Id", "x_opaque_id", "X-Proxy-User", "x_proxy_user", "X-Proxy-Roles", "X.Proxy.Roles",
		"Es-Security-Runas-User", "es_security_runas_user", "Es-Secondary-Authorization", "X-Proxy-Ext-Dn",
		"Opendistro_security_impersonate_as", "Es-Client-Authentication",
	}
	for kind, settings := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := newCredentialScene(t, settings)
			client := s.httpClient(s.clients.client("alice", "analysts"))
			transport := client.Transport.(*http.Transport)
			transport.ForceAttemptHTTP2 = false // which has no Connection
			transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
			require.Equal(t, http.StatusOK, s.get(client, "/").StatusCode)
			want := s.upstream.last(t).Header
			for _, name := range names {
				for _, extra := range [][]string{{name, "mallory"}, {"Connection", name}} {
					a := s.get(client, "/", extra...)
					require.Equal(t, http.StatusOK, a.StatusCode, extra)
					got := s.upstream.last(t).Header
					for _, other := range names {
						if kind == "proxy_headers" && strings.EqualFold(strings.NewReplacer("_", "-").Replace(other), "X-Opaque-Id") {
							continue // it says nothing about a client there
						}
						require.Equal(t, want[http.CanonicalHeaderKey(other)], got[http.CanonicalHeaderKey(other)], extra)
					}
				}
			}
		})
	}
}

func TestTheProxyAuthenticatorGetsTheUserAndTheRoles(t *testing.T) {
	s := newCredentialScene(t, "credential proxy_headers")
	require.Equal(t, http.StatusOK, s.get(s.httpClient(s.clients.client("alice", "analysts", "ops")), "/").StatusCode)
	r := s.upstream.last(t)
	require.Equal(t, []string{"alice"}, r.Header["X-Proxy-User"])
	require.Equal(t, []string{"analysts,ops"}, r.Header["X-Proxy-Roles"])
	require.NotContains(t, r.Header, "Authorization")
	require.NotEmpty(t, r.Header["X-Forwarded-For"])

	a := s.get(s.httpClient(s.clients.client("alice", "analysts,admin")), "/")
	require.Equal(t, http.StatusForbidden, a.StatusCode)
	s.upstream.requireNone(t)
}

// TestAChangedCredentialIsUsed without a reload, for clients that are known.
func TestAChangedCredentialIsUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	write := func(content string) { require.NoError(t, os.WriteFile(file, []byte(content), 0o600)) }
	write("analysts ApiKey first\n")
	s := newCredentialScene(t, "credential static {\nfile "+file+"\n}")
	client := s.httpClient(s.clients.client("alice", "analysts"))
	sent := func() string {
		require.Equal(t, http.StatusOK, s.get(client, "/").StatusCode)
		return s.upstream.last(t).Header.Get("Authorization")
	}
	require.Equal(t, "ApiKey first", sent())
	write("analysts ApiKey second\n")
	eventually(t, func() bool { return sent() == "ApiKey second" }, "the new credential")
	write("broken\n")
	eventually(t, func() bool { return strings.Contains(s.logs.String(), "cannot be read or used") }, "a warning")
	require.Equal(t, "ApiKey second", sent())
}

// TestMistakesAboutACredentialAreFoundWhenItIsLoaded: one that goes over another transport, for instance.
func TestMistakesAboutACredentialAreFoundWhenItIsLoaded(t *testing.T) {
	t.Setenv("ESJWT_TEST_ANALYSTS", "ApiKey analysts-key")
	t.Setenv("ESJWT_TEST_OPS", "Bearer ops-token")
	clients := newAuthority(t, "clients authority").file()
	for name, c := range map[string]struct{ old, new, want string }{
		"another transport": {
			"transport elasticsearch_jwt", "transport http", "needs the transport of this plugin",
		},
		"a setting of tokens": {
			"{{settings}}", "{{settings}}\nissuer https://es.example.com",
			"issuer: it is about tokens, and `credential static` sends none: leave it out",
		},
		"a header with a token": {
			"{{settings}}", "{{settings}}\nheader X-Token {jwt}", "there is no token",
		},
		"an unknown kind": {"{{settings}}", "credential apikey", `unknown kind "apikey"`},
		"no reverse_proxy": {
			"reverse_proxy {{upstream}} {\n\t\ttransport elasticsearch_jwt\n\t}", "respond ok", "needs a reverse_proxy",
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, withCredential, c.old)
			text := strings.Replace(withCredential, c.old, c.new, 1)
			certFile, keyFile := newAuthority(t, "server authority").server(site)
			config, err := tryAdapt(strings.NewReplacer("{{settings}}", staticCredential, "{{clients}}", clients,
				"{{upstream}}", "127.0.0.1:9200", "{{site}}", site, "{{storage}}", t.TempDir(),
				"{{tls}}", certFile+" "+keyFile).Replace(text))
			if err == nil {
				_, err = validateWarnings(t, config)
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestTheAccessLogHasTheCredential(t *testing.T) {
	s := newStaticScene(t, "")
	require.Equal(t, http.StatusOK, s.get(s.httpClient(s.clients.client("alice", "ops")), "/").StatusCode)
	eventually(t, func() bool { return strings.Contains(s.logs.String(), `"credential_id":"static:ops"`) }, "the ID")
	require.NotContains(t, s.logs.String(), `"kid"`)
}

func TestExplainSaysWhatIsSent(t *testing.T) {
	t.Setenv("ESJWT_TEST_ANALYSTS", "ApiKey analysts-key")
	t.Setenv("ESJWT_TEST_OPS", "Bearer ops-token")
	admin := freeAddress(t)
	s := newSceneOf(t, strings.Replace(withCredential, "admin off", "admin "+admin, 1), "{{settings}}", staticCredential)
	explain := func(groups ...string) string {
		certificate := s.clients.client("alice", groups...).Certificate[0]
		res, err := http.Post("http://"+admin+"/elasticsearch_jwt/explain", "", strings.NewReader(string(pemOf(certificate))))
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(body)
	}
	body := explain("analysts")
	require.Contains(t, body, "Authorization: ApiKey …")
	require.Contains(t, body, `"kind":"static"`)
	require.NotContains(t, body, "analysts-key")
	require.NotContains(t, body, `"claims"`)
	require.Contains(t, explain("others"), `"reason":"no_role"`)
}

// TestNoHandlerBehindSeesACredential: one of another plugin could send the request by itself, past the transport that
// asks whether a node obeys the credential.
func TestNoHandlerBehindSeesACredential(t *testing.T) {
	clients := newAuthority(t, "clients authority")
	h := newHandler(t, `{"credential":{"kind":"proxy_headers"}}`, "")
	r := referenceRequest(referenceCertificate(clients, "alice"), clients.cert)
	var seen http.Header
	err := h.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		seen = r.Header.Clone()
		return nil
	}))
	require.NoError(t, err)
	require.NotEmpty(t, seen)
	require.NotContains(t, seen, "X-Proxy-User")
	require.NotContains(t, seen, "X-Proxy-Roles")
}
