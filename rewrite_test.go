package esjwt_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"
)

// raw sends bytes over a TLS connection of its own and returns the response.
func (p *proxy) raw(cert tls.Certificate, request string) *http.Response {
	p.t.Helper()
	conn, err := tls.Dial("tcp", p.address, &tls.Config{
		RootCAs: p.server.pool(), ServerName: site, Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"},
	})
	require.NoError(p.t, err)
	p.t.Cleanup(func() { conn.Close() })
	_, err = io.WriteString(conn, request)
	require.NoError(p.t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(p.t, err)
	return res
}

// identityHeaders are the headers by which a client could be somebody else, in the spellings
// that something between it and Elasticsearch might take for them.
var identityHeaders = []string{
	"Authorization",
	"authorization",
	"AUTHORIZATION",
	"es-security-runas-user",
	"Es-Security-Runas-User",
	"es_security_runas_user",
	"Es.Security.Runas.User",
	"es-Security_runas.user",
	"es-secondary-authorization",
	"es-secondary-x-client-authentication",
	"ES-Client-Authentication",
	"es_client_authentication",
	"X-Client-Authentication",
	"X-elastic-product-origin",
	"_xpack_security_authentication",
	"opendistro_security_impersonate_as",
	"opendistro-security-impersonate-as",
	"_opendistro_security_user",
	"_opendistro_security_user_header",
	"x-proxy-user",
	"x-proxy-roles",
	"x-proxy-ext-department",
	"plugins_security_impersonate_as",
	"_plugins_security_user",
	"opensearch_security_user",
	"_opensearch_security_user",
	"x-opensearch-security-user",
	"X-Forwarded-Access-Token",
}

// requireOnlyAlice checks that a request has alice's token and nothing else that says who it is.
func (s *scene) requireOnlyAlice(t testing.TB, r *http.Request) {
	t.Helper()
	require.Equal(t, "alice []", s.token(r).who())
	for _, headers := range []http.Header{r.Header, r.Trailer} {
		for name, values := range headers {
			folded := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name))
			if folded == "authorization" && len(values) == 1 {
				continue
			}
			require.NotContains(t, fmt.Sprint(values), "evil", "%s: %v", name, values)
			for _, protected := range identityHeaders {
				require.NotEqual(t, strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(protected)), folded)
			}
		}
	}
}

// aliases lets headers with underscores and dots pass Caddy's own filter, which drops them.
var aliases = strings.Replace(minimal, "auto_https", `servers {
		expected_underscore_headers es_* opendistro_* _opendistro_* plugins_* _plugins_* opensearch_* _opensearch_* \
			_xpack_* es_security_runas_user _xpack_security_authentication
		expected_dot_headers Es.Security.Runas.User
		protocols h1 h2 h3
	}
	auto_https`, 1)

// TestWhatAClientSaysAboutItselfIsTakenAway, in every spelling and over every protocol
// (oauth2-proxy CVE-2025-64484, Caddy CVE-2026-52845, Teleport's rewrite), and twice: Elasticsearch
// refuses two different Authorization headers.
func TestWhatAClientSaysAboutItselfIsTakenAway(t *testing.T) {
	for name, caddyfile := range map[string]string{"as Caddy is": minimal, "with aliases let through": aliases} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, caddyfile, "{{settings}}", "")
			alice := s.clients.client("alice")
			for _, header := range identityHeaders {
				t.Run("HTTP1.1 "+header, func(t *testing.T) {
					res := s.raw(alice, "GET / HTTP/1.1\r\nHost: "+site+"\r\n"+header+": evil\r\n"+header+": evil2\r\n\r\n")
					require.Equal(t, 200, res.StatusCode)
					s.requireOnlyAlice(t, s.upstream.last(t))
				})
				t.Run("HTTP2 "+header, func(t *testing.T) {
					a := s.get(s.httpClient(alice), "/", header, "evil", header, "evil2")
					require.Equal(t, 200, a.StatusCode)
					require.Equal(t, 2, a.ProtoMajor)
					s.requireOnlyAlice(t, s.upstream.last(t))
				})
			}
			t.Run("HTTP3", func(t *testing.T) {
				transport := &http3.Transport{TLSClientConfig: &tls.Config{
					RootCAs: s.server.pool(), ServerName: site, GetClientCertificate: present([]tls.Certificate{alice}),
				}}
				defer transport.Close()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.address+"/", nil)
				require.NoError(t, err)
				req.Host = site
				for _, header := range identityHeaders {
					req.Header.Add(header, "evil")
				}
				a, err := s.do(&http.Client{Transport: transport}, req)
				require.NoError(t, err)
				require.Equal(t, 200, a.StatusCode, a.body)
				require.Equal(t, 3, a.ProtoMajor)
				s.requireOnlyAlice(t, s.upstream.last(t))
			})
		})
	}
}

// TestTheConnectionHeaderCannotTakeTheTokenAway (golang/go#50580, Traefik CVE-2021-32813 and
// CVE-2024-45410), and Upgrade cannot open a tunnel past the handler (golang/go#80416).
func TestTheConnectionHeaderCannotTakeTheTokenAway(t *testing.T) {
	s := newScene(t, "")
	alice := s.clients.client("alice")
	for _, connection := range []string{
		"Connection: close, Authorization, ES-Client-Authentication\r\n",
		"Connection: authorization\r\nConnection: x\r\n",
		"Connection: ,,AUTHORIZATION ,\t\r\n",
		"Connection: Upgrade, Authorization\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
			"Sec-WebSocket-Version: 13\r\n",
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
		"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
		"Proxy-Connection: Authorization\r\n",
	} {
		t.Run(connection, func(t *testing.T) {
			res := s.raw(alice, "GET / HTTP/1.1\r\nHost: "+site+"\r\n"+connection+"\r\n")
			require.Equal(t, 200, res.StatusCode)
			r := s.upstream.last(t)
			s.requireOnlyAlice(t, r)
			require.NotContains(t, strings.ToLower(r.Header.Get("Upgrade")), "h2c")
		})
	}
	t.Run("what it names is taken away all the same", func(t *testing.T) {
		s.raw(alice, "GET / HTTP/1.1\r\nHost: "+site+"\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\n\r\n")
		r := s.upstream.last(t)
		require.Empty(t, r.Header.Get("X-Hop"))
		require.Equal(t, "2", r.Header.Get("X-End"))
	})
}

// TestTrailersCarryNoIdentity, whether they were announced or not (measured on Caddy v2.11.9).
func TestTrailersCarryNoIdentity(t *testing.T) {
	s := newScene(t, "")
	alice := s.clients.client("alice")
	for _, announced := range []string{"", "Trailer: Authorization, Es-Security-Runas-User\r\n"} {
		t.Run("HTTP1.1 "+announced, func(t *testing.T) {
			res := s.raw(alice, "POST / HTTP/1.1\r\nHost: "+site+"\r\nTransfer-Encoding: chunked\r\n"+announced+
				"\r\n2\r\nhi\r\n0\r\nAuthorization: evil\r\nEs-Security-Runas-User: evil\r\n\r\n")
			require.Equal(t, 200, res.StatusCode)
			r := s.upstream.last(t)
			s.requireOnlyAlice(t, r)
			require.Empty(t, r.Trailer)
		})
	}
	t.Run("HTTP2", func(t *testing.T) {
		body, w := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+site+"/", body)
		require.NoError(t, err)
		req.Trailer = http.Header{
			"Es-Security-Runas-User":     nil,
			"Es-Secondary-Authorization": nil,
		} // Go's server refuses Authorization here
		go func() {
			_, _ = io.WriteString(w, "hi")
			for name := range req.Trailer {
				req.Trailer[name] = []string{"evil"}
			}
			w.Close()
		}()
		a, err := s.do(s.httpClient(alice), req)
		require.NoError(t, err)
		require.Equal(t, 200, a.StatusCode)
		r := s.upstream.last(t)
		s.requireOnlyAlice(t, r)
		require.Empty(t, r.Trailer)
	})
}

// TestAHeaderThatWeHaveNothingForIsNotTheClients (Caddy CVE-2026-30851): what the client has put into a
// header that we set goes, also where there is no value to put there.
func TestAHeaderThatWeHaveNothingForIsNotTheClients(t *testing.T) {
	s := newScene(t, optional+"\nheader X-Team {cert.ou}\nheader X-Jwt {jwt}")
	evil := []string{"X-Team", "evil", "x_team", "evil", "X-Jwt", "evil"}
	a := s.get(s.httpClient(s.clients.client("alice")), "/", evil...)
	require.Equal(t, http.StatusForbidden, a.StatusCode, "her certificate has no OU")
	s.upstream.requireNone(t)

	a = s.get(s.httpClient(), "/", append(evil, "Authorization", "Basic YWJj")...)
	require.Equal(t, http.StatusOK, a.StatusCode)
	r := s.upstream.last(t)
	require.Equal(t, []string{"Basic YWJj"}, r.Header.Values("Authorization"))
	require.NotContains(t, fmt.Sprint(r.Header), "evil")

	s.load(minimal, s.replacements("{{settings}}", "groups off")...)
	s.get(s.httpClient(s.clients.client("alice", "staff")), "/", "ES-Client-Authentication", "SharedSecret evil",
		"Es-Secondary-Authorization", "evil")
	s.requireOnlyAlice(t, s.upstream.last(t))
}

// TestAWebSocketUpgradeCarriesTheToken (teleport#13646).
func TestAWebSocketUpgradeCarriesTheToken(t *testing.T) {
	t.Run("over the http transport", func(t *testing.T) { requireUpgradeWithToken(t, minimal) })
	t.Run("over ours", func(t *testing.T) {
		requireUpgradeWithToken(t, behindTheHandler("", "header_up Authorization evil"))
	})
}

func requireUpgradeWithToken(t *testing.T, caddyfile string) {
	t.Helper()
	seen := make(chan http.Header, 1)
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(conn, conn)
	}))
	defer echo.Close()
	s := newSceneOf(t, caddyfile, "{{settings}}", "", "{{upstream}}", strings.TrimPrefix(echo.URL, "http://"))
	res := s.raw(s.clients.client("alice"), "GET / HTTP/1.1\r\nHost: "+site+
		"\r\nConnection: Upgrade, Authorization\r\nUpgrade: WebSocket\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nEs-Security-Runas-User: evil\r\n\r\n")
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	s.requireOnlyAlice(t, &http.Request{Header: <-seen})
}

// TestXForwardedForCannotBeMadeUp (CVE-2026-40575): reverse_proxy replaces it.
func TestXForwardedForCannotBeMadeUp(t *testing.T) {
	s := newScene(t, "")
	s.get(s.httpClient(s.clients.client("alice")), "/", "X-Forwarded-For", "10.1.2.3", "X-Forwarded-Host", "evil",
		"X-Forwarded-Proto", "evil")
	r := s.upstream.last(t)
	require.Equal(t, []string{"127.0.0.1"}, r.Header.Values("X-Forwarded-For"))
	require.Equal(t, []string{"https"}, r.Header.Values("X-Forwarded-Proto"))
	require.Equal(t, []string{site}, r.Header.Values("X-Forwarded-Host"))
	s.requireOnlyAlice(t, r)
}

// TestRequestsThatAreNotOneRequestEndTheConnection: request smuggling (CVE-2025-22871).
func TestRequestsThatAreNotOneRequestEndTheConnection(t *testing.T) {
	s := newScene(t, "")
	alice := s.clients.client("alice")
	for name, request := range map[string]string{
		"two lengths": "POST / HTTP/1.1\r\nHost: " + site +
			"\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
		"an unknown transfer coding": "POST / HTTP/1.1\r\nHost: " + site +
			"\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"a bare LF in a chunk size": "POST / HTTP/1.1\r\nHost: " + site +
			"\r\nTransfer-Encoding: chunked\r\n\r\n1;\n\r\na\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n",
		"a space before a colon": "GET / HTTP/1.1\r\nHost: " + site + "\r\nAuthorization : evil\r\n\r\n",
		"a folded header":        "GET / HTTP/1.1\r\nHost: " + site + "\r\n Authorization: evil\r\n\r\n",
		"no Host":                "GET / HTTP/1.1\r\n\r\n",
		"a NUL in a header":      "GET / HTTP/1.1\r\nHost: " + site + "\r\nX: a\x00b\r\n\r\n",
		"a header larger than a page": "GET / HTTP/1.1\r\nHost: " + site + "\r\nX: " + strings.Repeat("a", 2<<20) +
			"\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", s.address, &tls.Config{
				RootCAs: s.server.pool(), ServerName: site, Certificates: []tls.Certificate{alice},
				NextProtos: []string{"http/1.1"},
			})
			require.NoError(t, err)
			defer conn.Close()
			_, _ = io.WriteString(conn, request) // the server may close before it has read all
			answers, _ := io.ReadAll(conn)
			require.NotContains(t, string(answers), " 200 ")
			if len(answers) > 0 {
				require.Regexp(t, `^HTTP/1.1 (4|5)\d\d`, string(answers[:12]))
			}
			s.upstream.mu.Lock()
			defer s.upstream.mu.Unlock()
			for _, r := range s.upstream.requests {
				require.NotEqual(t, "/x", r.URL.Path)
			}
		})
	}
}

// optionalSite lets clients without a certificate through with their own credentials.
const optional = "certificate optional"

// TestWithoutACertificateAClientHasItsOwnCredentialsOrNone: where certificates are optional,
// everything else that says who somebody is goes, and nothing of ours is added.
func TestWithoutACertificateAClientHasItsOwnCredentialsOrNone(t *testing.T) {
	s := newScene(t, optional)
	tests := []struct {
		name   string
		header []string
		status int
	}{
		{"Basic", []string{"Authorization", "Basic YWxpY2U6c2VjcmV0"}, 200},
		{"ApiKey", []string{"Authorization", "ApiKey YWxpY2U6c2VjcmV0"}, 200},
		{"Bearer", []string{"Authorization", "Bearer eyJhbGciOiJub25lIn0.e30."}, 200},
		{
			"with a shared secret", []string{
				"Authorization", "Bearer e30.e30.e30", "Es-Client-Authentication",
				"SharedSecret abc",
			}, 200,
		},
		{"nothing", nil, 401},
		{"an empty value", []string{"Authorization", ""}, 401},
		{"a scheme alone", []string{"Authorization", "Basic"}, 401},
		{"another scheme", []string{"Authorization", "Negotiate YWJj"}, 401},
		{"Bearer in a case that Elasticsearch does not know", []string{"Authorization", "bearer e30"}, 401},
		{"Basic with a letter that only Unicode takes for an s", []string{"Authorization", "Ba\u017fic YWJj"}, 401},
		{"two values", []string{"Authorization", "Basic YWJj", "Authorization", "Basic ZGVm"}, 401},
		{"two joined by a comma", []string{"Authorization", "Basic YWJj, Bearer e30"}, 401},
		{"a space in it", []string{"Authorization", "Bearer e30 e30"}, 401},
		{"only a shared secret", []string{"Es-Client-Authentication", "SharedSecret abc"}, 401},
		{
			"two shared secrets", []string{
				"Authorization", "Bearer e30", "Es-Client-Authentication", "SharedSecret a",
				"Es-Client-Authentication", "SharedSecret b",
			}, 401,
		},
		{"only a run-as", []string{"Es-Security-Runas-User", "evil"}, 401},
		{"only a proxy user", []string{"X-Proxy-User", "evil"}, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := append([]string{"Es-Security-Runas-User", "evil", "Es-Secondary-Authorization", "evil"}, tt.header...)
			a := s.get(s.httpClient(), "/", header...)
			require.Equal(t, tt.status, a.StatusCode)
			if tt.status != 200 {
				s.upstream.requireNone(t)
				return
			}
			r := s.upstream.last(t)
			want := map[string][]string{}
			for i := 0; i < len(tt.header); i += 2 {
				want[tt.header[i]] = append(want[tt.header[i]], tt.header[i+1])
			}
			require.Equal(t, want["Authorization"], r.Header.Values("Authorization"))
			require.Equal(t, want["Es-Client-Authentication"], r.Header.Values("Es-Client-Authentication"))
			require.Empty(t, r.Header.Values("Es-Security-Runas-User"))
			require.Empty(t, r.Header.Values("Es-Secondary-Authorization"))
		})
	}
	t.Run("with a certificate, its own credentials go", func(t *testing.T) {
		a := s.get(s.httpClient(s.clients.client("alice")), "/", "Authorization", "Basic evil")
		require.Equal(t, 200, a.StatusCode)
		s.requireOnlyAlice(t, s.upstream.last(t))
	})
	t.Run("a certificate that is not good is no missing certificate", func(t *testing.T) {
		s := newSceneOf(t, ownPool, "{{settings}}", optional)
		a := s.get(s.httpClient(newAuthority(t, "another authority").client("alice")), "/", "Authorization", "Basic YWJj")
		require.Equal(t, 401, a.StatusCode)
		require.Equal(t, "unverified", a.body)
		s.upstream.requireNone(t)
	})
}

// TestWhatIsInjectedIsGoneAfterwards: neither handle_errors nor a handler after the proxy sees
// the token, not even after a panic.
func TestWhatIsInjectedIsGoneAfterwards(t *testing.T) {
	clients := newAuthority(t, "clients authority")
	h := newHandler(t, benchConfig, `{"source":"storage","algorithm":"ES256"}`)
	for name, next := range map[string]caddyhttp.HandlerFunc{
		"after an answer": func(http.ResponseWriter, *http.Request) error { return nil },
		"after an error":  func(http.ResponseWriter, *http.Request) error { return net.ErrClosed },
		"after a panic":   func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) },
		"after an edit in place": func(_ http.ResponseWriter, r *http.Request) error {
			r.Header["Authorization"][0] = "edited"
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := referenceRequest(clients.client("alice").Leaf, clients.cert)
			r.TLS.VerifiedChains[0][0] = r.TLS.PeerCertificates[0]
			func() {
				defer func() { _ = recover() }()
				_ = h.ServeHTTP(httptest.NewRecorder(), r,
					caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
						if len(unverifiedClaims(r.Header.Get("Authorization"))) == 0 {
							t.Error("no token")
						}
						return next(w, r)
					}))
			}()
			require.NotContains(t, r.Header, "Authorization")

			require.Equal(t, "alice []", identityOf(h, r), "an edit in place does not reach the next request")
		})
	}
}

// TestTheHeadersAreTheConfiguredOnes covers the setting `header`.
func TestTheHeadersAreTheConfiguredOnes(t *testing.T) {
	s := newScene(t, "header X-Jwt {jwt}\nheader X-User \"user {cert.cn}\"")
	a := s.get(s.httpClient(s.clients.client("alice")), "/", "X-User", "evil", "x_user", "evil", "X-Jwt", "evil")
	require.Equal(t, 200, a.StatusCode, a.body)
	r := s.upstream.last(t)
	token := s.token(r)
	require.Equal(t, []string{token.raw}, r.Header.Values("X-Jwt"))
	require.Equal(t, []string{"user alice"}, r.Header.Values("X-User"))
}
