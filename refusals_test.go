package esjwt_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/require"
)

// protocols are clients of a scene that show the same certificates over different versions of HTTP.
func (s *scene) protocols(certs ...tls.Certificate) map[string]*http.Client {
	one := s.httpClient(certs...)
	one.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	return map[string]*http.Client{"HTTP/1.1": one, "HTTP/2.0": s.httpClient(certs...)}
}

// requireRefusal checks that an answer is a refusal in Elasticsearch's form, and returns its text.
func requireRefusal(t *testing.T, a answer, status int, kind, reason string) string {
	t.Helper()
	require.Equal(t, status, a.StatusCode, a.body)
	require.Equal(t, "application/json", a.Header.Get("Content-Type"))
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
	require.Equal(t, "Accept", a.Header.Get("Vary"))
	type cause struct{ Type, Reason string }
	var body struct {
		Status int
		Error  struct {
			cause
			RootCause []cause `json:"root_cause"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &body), a.body)
	require.Equal(t, status, body.Status)
	require.Equal(t, kind, body.Error.Type)
	require.Equal(t, []cause{body.Error.cause}, body.Error.RootCause)
	require.True(t, strings.HasPrefix(body.Error.Reason, reason+": "), body.Error.Reason)
	return body.Error.Reason
}

const (
	security   = "security_exception"
	ofBrowsers = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
)

func TestARefusalHasABodyThatClientsCanRead(t *testing.T) {
	s := newScene(t, "")
	long := strings.Repeat("x", 3900)
	for name, tt := range map[string]struct {
		certs  []tls.Certificate
		header []string
		status int
		kind   string
		reason string
	}{
		"nobody": {nil, nil, http.StatusUnauthorized, security, "no_certificate"},
		"nobody with curl": {
			nil, []string{"Accept", "*/*"}, http.StatusUnauthorized, security, "no_certificate",
		},
		"nobody with a client of Elasticsearch": {
			nil,
			[]string{"Accept", "application/vnd.elasticsearch+json;compatible-with=9"},
			http.StatusUnauthorized, security, "no_certificate",
		},
		"a client without a name": {
			[]tls.Certificate{s.clients.client("", "evil-group")}, nil, http.StatusForbidden, security, "no_principal",
		},
		"a name that is none": {
			[]tls.Certificate{s.clients.client("<script>alert(1)</script>")},
			nil,
			http.StatusForbidden, security, "invalid_name",
		},
		"headers that no node would read": {
			[]tls.Certificate{s.clients.client("alice")},
			[]string{"X-A", long, "X-B", long, "X-C", long, "X-D", long},
			http.StatusRequestHeaderFieldsTooLarge, "too_long_http_header_exception", "too_large",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for protocol, client := range s.protocols(tt.certs...) {
				a := s.get(client, "/evil-path?evil-query", append(tt.header,
					"Authorization", "Basic ZXZpbA==", "X-Opaque-Id", "evil-header", "Referer", "https://evil-referer")...)
				require.Equal(t, protocol, a.Proto)
				text := requireRefusal(t, a, tt.status, tt.kind, tt.reason)
				require.Contains(t, text[len(tt.reason)+2:], ": ", "it says what to do")
				for _, chosen := range []string{"evil", "script", "ZXZpbA", "xxxx", "alice"} {
					require.NotContains(t, a.body, chosen, "nothing of the client's choice is in it")
				}
				if tt.status == http.StatusUnauthorized {
					require.Equal(t, []string{`ClientCertificate realm="security"`}, a.Header.Values("WWW-Authenticate"))
				} else {
					require.Empty(t, a.Header.Values("WWW-Authenticate"))
				}
			}
			s.upstream.requireNone(t)
		})
	}
}

func TestABrowserGetsAPage(t *testing.T) {
	s := newScene(t, "")
	for _, client := range s.protocols(s.clients.client("<script>alert(1)</script>")) {
		a := s.get(client, "/<evil>", "Accept", ofBrowsers)
		require.Equal(t, http.StatusForbidden, a.StatusCode)
		require.Equal(t, "text/html; charset=utf-8", a.Header.Get("Content-Type"))
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
		require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
		require.Contains(t, a.Header.Get("Content-Security-Policy"), "default-src 'none'")
		require.Contains(t, a.body, "<title>403 Forbidden</title>")
		require.Contains(t, a.body, "<p>invalid_name: ")
		for _, unwanted := range []string{"script", "evil", "src=", "href="} {
			require.NotContains(t, a.body, unwanted)
		}
	}
}

func TestAHEADThatIsRefusedHasNoBody(t *testing.T) {
	s := newScene(t, "")
	for _, client := range s.protocols() {
		for _, accept := range []string{"*/*", ofBrowsers} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "https://"+site+"/", nil)
			require.NoError(t, err)
			req.Header.Set("Accept", accept)
			a, err := s.do(client, req)
			require.NoError(t, err)
			require.Equal(t, http.StatusUnauthorized, a.StatusCode)
			require.NotEmpty(t, a.Header.Get("WWW-Authenticate"))
			require.Empty(t, a.body)
		}
	}
}

// TestWhoSendsNoCertificateIsToldWhetherTheSiteAsksForOne: if it does, the client can mend that, and else the operator.
func TestWhoSendsNoCertificateIsToldWhetherTheSiteAsksForOne(t *testing.T) {
	const (
		directives = "elasticsearch_jwt {\nissuer https://es.example.com\naudience es\n"
		own        = directives + "trust_pool file {{clients}}\n}\nrespond hello\n"
		none       = directives + "}\nrespond hello\n"
		asking     = "tls {{tls}} {\nclient_auth {\nmode request\n}\n}\n"
		silent     = "tls {{tls}}\n"
		other      = "https://other.example.com:{{port}} {\n"
		head       = "{\nadmin off\nstorage file_system {{storage}}\nauto_https disable_redirects\n}\n"
	)
	authority := base64.StdEncoding.EncodeToString(newAuthority(t, "clients authority").cert.Raw)
	for _, tt := range []struct{ name, caddyfile, url, advice string }{
		{
			"the site asks", "{{site}} {\n" + asking + own + "}\n" + other + silent + own + "}\n", "https://" + site,
			"connect with TLS and a client certificate; this site asks for one, so if you gave your program one, " +
				"it has not sent it",
		},
		{
			"another site asks", "{{site}} {\n" + silent + own + "}\n" + other + asking + own + "}\n", "https://" + site,
			"since this site asks for none: set client_auth { mode request }",
		},
		{
			"another site asks, and the authorities are in the configuration",
			"{{site}} {\n" + silent + directives + "trust_pool inline {\ntrust_der " + authority + "\n}\n}\nrespond hello\n}\n" +
				other + asking + own + "}\n",
			"https://" + site, "since this site asks for none: set client_auth { mode request }",
		},
		{
			"no site asks, and nobody verifies", "{{site}} {\n" + silent + none + "}\n", "https://" + site,
			"since this site asks for none: set client_auth { mode request }, and give elasticsearch_jwt a trust_pool",
		},
		{
			"there is no TLS", "http://" + site + ":{{port}} {\n" + own + "}\n", "http://" + site,
			"since the request came without TLS: connect with https and a client certificate",
		},
	} {
		s := newSceneOf(t, head+tt.caddyfile)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, nil)
		require.NoError(t, err)
		a, err := s.do(s.httpClient(), req)
		require.NoError(t, err, tt.name)
		text := requireRefusal(t, a, http.StatusUnauthorized, security, "no_certificate")
		require.True(t, strings.HasSuffix(text, tt.advice), "%s: %s", tt.name, text)
		require.Equal(t, text, "no_certificate: "+s.loggedOnce("clients are being refused")["advice"].(string), tt.name)
	}

	// Where no configuration tells, the advice is good for both.
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+site+"/", nil)
	err := configured(t, "").ServeHTTP(httptest.NewRecorder(), r, nothing)
	require.ErrorContains(t, err, "if you did, see that the site asks for one, with client_auth { mode request }")
}

// TestWhereACertificateIsOptionalARefusalOffersTheOtherWays, as Elasticsearch does, so that a browser asks for a
// password. A client with a certificate would be asked in vain.
func TestWhereACertificateIsOptionalARefusalOffersTheOtherWays(t *testing.T) {
	withoutErrors, _, _ := strings.Cut(ownPool, "	handle_errors")
	s := newSceneOf(t, withoutErrors+"}\n", "{{settings}}", optional)
	const certificate = `ClientCertificate realm="security"`
	a := s.get(s.httpClient(), "/")
	requireRefusal(t, a, http.StatusUnauthorized, security, "no_certificate")
	require.Equal(t, []string{
		`Basic realm="security", charset="UTF-8"`, `Bearer realm="security"`, "ApiKey", certificate,
	}, a.Header.Values("WWW-Authenticate"))

	a = s.get(s.httpClient(newAuthority(t, "strangers").client("eve")), "/", "Authorization", "Basic YTpi")
	requireRefusal(t, a, http.StatusUnauthorized, security, "unverified")
	require.Equal(t, []string{certificate}, a.Header.Values("WWW-Authenticate"))
}

// TestALargeBodyOfARefusedRequestHoldsNobodyUp: the answer comes before the body is read.
func TestALargeBodyOfARefusedRequestHoldsNobodyUp(t *testing.T) {
	s := newScene(t, "")
	for protocol, client := range s.protocols() {
		body, never := io.Pipe() // a body of which only the beginning comes
		go func() { _, _ = never.Write(make([]byte, 1<<20)) }()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+site+"/_bulk", body)
		require.NoError(t, err)
		req.ContentLength = 100 << 20
		a, err := s.do(client, req)
		require.NoError(t, err, protocol)
		requireRefusal(t, a, http.StatusUnauthorized, security, "no_certificate")
		require.NoError(t, never.Close())
		requireRefusal(t, s.get(client, "/"), http.StatusUnauthorized, security, "no_certificate")
	}
}

// sitesWithErrors are two sites on one server, of which the first has handle_errors.
const sitesWithErrors = `{
	admin off
	storage file_system {{storage}}
	auto_https disable_redirects
}
(site) {
	tls {{tls}} {
		client_auth {
			mode verify_if_given
			trust_pool file {{clients}}
		}
	}
	log
	{{around}} {
		elasticsearch_jwt {
			issuer   https://es.example.com
			audience es
		}
		reverse_proxy {{upstream}}
	}
}
{{site}} {
	import site
	{{handle_errors}}
}
https://other.example.com:{{port}} {
	import site
}
`

// TestTheErrorRoutesOfASiteAnswerItsRefusals, and no others: those for other statuses, paths and sites do not.
func TestTheErrorRoutesOfASiteAnswerItsRefusals(t *testing.T) {
	const own = "own 401 no_certificate no_certificate: the client sent"
	respond := `respond "own {err.status_code} {http.elasticsearch_jwt.reason} {err.message}"`
	onlyFor := func(reason string) string {
		return "handle_errors {\n@it vars {http.elasticsearch_jwt.reason} " + reason + "\nhandle @it {\n"
	}
	for name, tt := range map[string]struct {
		around, routes string
		own            bool
	}{
		"all errors":          {"handle", "handle_errors {\n" + respond + "\n}", true},
		"this status":         {"handle", "handle_errors 401 403 {\n" + respond + "\n}", true},
		"this kind of status": {"handle", "handle_errors 4xx {\n" + respond + "\n}", true},
		"another status":      {"handle", "handle_errors 404 5xx {\n" + respond + "\n}", false},
		"one and another": {
			"handle", "handle_errors 404 {\nrespond no\n}\nhandle_errors 401 {\n" + respond + "\n}", true,
		},
		"none": {"handle", "", false},
		"this path, which came": {
			"handle_path /es/*", "handle_errors {\nhandle /es/* {\n" + respond + "\n}\n}", true,
		},
		"this path, as it was made": {
			"handle_path /es/*", "handle_errors {\nhandle /_search {\n" + respond + "\n}\n}", false,
		},
		"this reason": {
			"handle", onlyFor("no_certificate") + respond + "\n}\n}", true,
		},
		"another reason": {
			"handle", onlyFor("expired") + respond + "\n}\n}", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, sitesWithErrors, "{{around}}", tt.around, "{{handle_errors}}", tt.routes)
			for protocol, client := range s.protocols() {
				a := s.get(client, "/es/_search")
				require.Equal(t, protocol, a.Proto)
				require.NotEmpty(t, a.Header.Get("WWW-Authenticate"))
				if tt.own {
					require.Equal(t, http.StatusUnauthorized, a.StatusCode)
					require.True(t, strings.HasPrefix(a.body, own), a.body)
				} else {
					requireRefusal(t, a, http.StatusUnauthorized, security, "no_certificate")
				}
			}
			for _, client := range s.protocols() {
				client.Transport.(*http.Transport).TLSClientConfig.ServerName = "other.example.com"
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+site+"/es/_search", nil)
				require.NoError(t, err)
				req.Host = "other.example.com"
				a, err := s.do(client, req)
				require.NoError(t, err)
				requireRefusal(t, a, http.StatusUnauthorized, security, "no_certificate")
			}
			s.upstream.requireNone(t)
			require.NotContains(t, s.logs.String(), "superfluous")
			require.NotContains(t, s.logs.String(), "error handling handler error")
		})
	}
}

// TestARefusalInAnErrorRouteIsAnswered: no other error route would.
func TestARefusalInAnErrorRouteIsAnswered(t *testing.T) {
	s := newSceneOf(t, strings.Replace(minimal, "	reverse_proxy {{upstream}}\n", `	reverse_proxy {{upstream}}
	handle_errors {
		elasticsearch_jwt {
			issuer   https://es.example.com
			audience es
			required_claim uid {cert.uid}
		}
		reverse_proxy {{upstream}}
	}
`, 1), "{{settings}}", "required_claim uid {cert.uid}")
	a := s.get(s.httpClient(s.clients.client("alice")), "/")
	requireRefusal(t, a, http.StatusForbidden, security, "no_claim")
	s.upstream.requireNone(t)
}

// TestARefusalIsCompressedLikeAnyAnswer, if the site does so and it is long enough.
func TestARefusalIsCompressedLikeAnyAnswer(t *testing.T) {
	compressed := strings.Replace(minimal, "	elasticsearch_jwt {",
		"	route {\nencode {\ngzip\nminimum_length 1\n}\nelasticsearch_jwt {", 1)
	s := newSceneOf(t, compressed+"}\n", "{{settings}}", "")
	a := s.get(s.httpClient(), "/") // net/http asks for gzip, and unpacks it
	require.True(t, a.Uncompressed)
	require.Equal(t, http.StatusUnauthorized, a.StatusCode)
	require.Contains(t, a.body, `"reason":"no_certificate: `)
}

// accessLine is the line of the access log that a request leads to.
func (s *scene) accessLine(request func()) map[string]any {
	s.t.Helper()
	before := len(s.logs.String())
	request()
	var access map[string]any
	eventually(s.t, func() bool {
		for line := range strings.Lines(s.logs.String()[before:]) {
			if strings.Contains(line, `"http.log.access`) {
				require.NoError(s.t, json.Unmarshal([]byte(line), &access))
			}
		}
		return access != nil
	}, "a line of the access log")
	return access
}

// TestTheAccessLogKnowsARefusalThatIsAnswered: the status, the reason, and the certificate with its end.
func TestTheAccessLogKnowsARefusalThatIsAnswered(t *testing.T) {
	caddyfile := strings.Replace(minimal, "	elasticsearch_jwks\n", `	log
	log_append error {http.error.message}
	elasticsearch_jwks
`, 1)
	s := newSceneOf(t, caddyfile, "{{settings}}", "required_claim uid {cert.uid}")
	for name, tt := range map[string]struct {
		certs  []tls.Certificate
		status float64
		reason string
	}{
		"without a certificate": {nil, http.StatusUnauthorized, "no_certificate"},
		"with one":              {[]tls.Certificate{s.clients.client("alice")}, http.StatusForbidden, "no_claim"},
	} {
		t.Run(name, func(t *testing.T) {
			line := s.accessLine(func() { s.get(s.httpClient(tt.certs...), "/") })
			require.InDelta(t, tt.status, line["status"], 0)
			require.NotZero(t, line["size"])
			require.True(t, strings.HasPrefix(fmt.Sprint(line["error"]), tt.reason+": "), line["error"])
			member := map[string]any{"reason": tt.reason}
			for _, cert := range tt.certs {
				member["certificate_serial"] = fmt.Sprintf("%04x", cert.Leaf.SerialNumber)
				member["certificate_not_after"] = cert.Leaf.NotAfter.UTC().Format("2006-01-02T15:04:05Z")
			}
			require.Equal(t, member, line["elasticsearch_jwt"])
		})
	}
}

// guarded is a directive for a subroute with error routes of its own, which only JSON can have otherwise.
func init() {
	httpcaddyfile.RegisterHandlerDirective("guarded", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		inner, err := httpcaddyfile.ParseSegmentAsSubroute(h)
		if err != nil {
			return nil, err
		}
		inner.(*caddyhttp.Subroute).Errors = &caddyhttp.HTTPErrorConfig{Routes: caddyhttp.RouteList{{
			HandlersRaw: []json.RawMessage{
				[]byte(`{"handler":"static_response","body":"own {http.elasticsearch_jwt.reason}"}`),
			},
		}}}
		return inner, nil
	})
}

// TestTheErrorRoutesOfASubrouteAnswerItsRefusals, and those of another handler do not.
func TestTheErrorRoutesOfASubrouteAnswerItsRefusals(t *testing.T) {
	s := newSceneOf(t, `{
	admin off
	storage file_system {{storage}}
	auto_https disable_redirects
}
(door) {
	elasticsearch_jwt {
		issuer   https://es.example.com
		audience es
	}
	reverse_proxy {{upstream}}
}
{{site}} {
	tls {{tls}} {
		client_auth {
			mode verify_if_given
			trust_pool file {{clients}}
		}
	}
	route {
		handle /guarded/* {
			route {
				guarded {
					import door
				}
			}
		}
		handle {
			import door
		}
	}
}
`)
	for _, client := range s.protocols() {
		a := s.get(client, "/guarded/")
		require.Equal(t, "own no_certificate", a.body)
		requireRefusal(t, s.get(client, "/"), http.StatusUnauthorized, security, "no_certificate")
	}
	s.upstream.requireNone(t)
}
