package esjwt_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
)

// behindTheHandler is the minimal site with our transport, directives behind the handler, and settings of reverse_proxy.
func behindTheHandler(directives, proxySettings string) string {
	return strings.NewReplacer(
		"	elasticsearch_jwt {\n", "	route {\n	elasticsearch_jwt {\n",
		"	reverse_proxy {{upstream}}\n", directives+"\n	reverse_proxy {{upstream}} {\n		transport elasticsearch_jwt\n"+
			proxySettings+"\n	}\n	}\n",
	).Replace(minimal)
}

// TestTheTransportHasTheLastWord: whatever stands between the two doors, the node sees the identity of the certificate,
// once, and no other.
func TestTheTransportHasTheLastWord(t *testing.T) {
	for name, c := range map[string]struct{ directives, proxy string }{
		"a password of the administrator":    {"", "header_up Authorization \"Basic ZWxhc3RpYzpjaGFuZ2VtZQ==\""},
		"a second one":                       {"", "header_up +Authorization \"Basic ZWxhc3RpYzpjaGFuZ2VtZQ==\""},
		"none":                               {"", "header_up -Authorization"},
		"another token":                      {"", "header_up Authorization \"Bearer .*\" \"Bearer e30.e30.\""},
		"another spelling":                   {"", "header_up authorization \"Basic ZWxhc3RpYzpjaGFuZ2VtZQ==\""},
		"run as":                             {"", "header_up es-security-runas-user elastic"},
		"a secondary user":                   {"", "header_up es-secondary-authorization \"Basic ZWxhc3RpYzpjaGFuZ2VtZQ==\""},
		"OpenSearch's impersonation":         {"", "header_up opendistro_security_impersonate_as admin"},
		"a proxy's user":                     {"", "header_up x-proxy-user admin\nheader_up x-proxy-roles admin"},
		"the proxy's secret":                 {"", "header_up ES-Client-Authentication \"SharedSecret guessed\""},
		"a name that is only known later":    {"", "header_up {http.request.header.X-Name} admin"},
		"request_header":                     {"request_header Authorization \"Basic ZWxhc3RpYzpjaGFuZ2VtZQ==\"", ""},
		"request_header of another":          {"request_header es-security-runas-user elastic", ""},
		"request_header with another's name": {"request_header {http.request.header.X-Name} admin", ""},
		"the admission as a variable":        {"vars other 1", "header_up Authorization {http.vars.elasticsearch_jwt.client}"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, behindTheHandler(c.directives, c.proxy), "{{settings}}", "")
			for _, named := range []string{"X-Other", "Authorization", "es-security-runas-user", "x-proxy-user"} {
				a := s.get(s.httpClient(s.clients.client("alice", "analysts")), "/", "X-Name", named)
				require.Equal(t, http.StatusOK, a.StatusCode, a.body)
				r := s.upstream.last(t)
				require.Equal(t, "alice", s.token(r).claims["sub"])
				for header := range r.Header {
					folded := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(header))
					for _, other := range []string{"es-sec", "es-client", "opendistro", "x-proxy"} {
						require.False(t, strings.HasPrefix(folded, other), header)
					}
				}
			}
		})
	}
}

// TestEachAttemptCarriesTheIdentity, also if the first node cannot be reached and header_up makes the headers anew.
func TestEachAttemptCarriesTheIdentity(t *testing.T) {
	for _, headerUp := range []string{"", "header_up Authorization evil\nheader_up X-Node {http.reverse_proxy.upstream.hostport}"} {
		for _, settings := range []string{"", "header X-User {cert.cn}"} {
			site := behindTheHandler("", "to 127.0.0.1:1 127.0.0.1:2 {{upstream}}\nlb_policy first\nlb_retries 3\nfail_duration 1m\n"+headerUp)
			s := newSceneOf(t, strings.Replace(site, "reverse_proxy {{upstream}}", "reverse_proxy", 1), "{{settings}}", settings)
			for _, user := range []string{"alice", "bob"} {
				a := s.get(s.httpClient(s.clients.client(user)), "/", "Authorization", "Basic evil")
				require.Equal(t, http.StatusOK, a.StatusCode, a.body)
				r := s.upstream.last(t)
				require.Equal(t, user, s.token(r).claims["sub"])
				if settings != "" {
					require.Equal(t, []string{user}, r.Header["X-User"])
				}
			}
		}
	}
}

// TestACertificateBesideACredentialIsNoted: the credential does not count, and its user may not know.
func TestACertificateBesideACredentialIsNoted(t *testing.T) {
	s := newScene(t, "")
	alice := s.httpClient(s.clients.client("alice"))
	require.Equal(t, http.StatusOK, s.get(alice, "/").StatusCode)
	require.NotContains(t, s.logs.String(), "own Authorization")
	for range 3 {
		require.Equal(t, http.StatusOK, s.get(alice, "/", "Authorization", "Basic c2VjcmV0").StatusCode)
	}
	require.Equal(t, 1, strings.Count(s.logs.String(), "a client's own Authorization was replaced"))
	require.NotContains(t, s.logs.String(), "c2VjcmV0")
}

// TestWhomTheSecondHandlerRefusesTheFirstDoesNotLetIn: error routes between the two can have a reverse_proxy.
func TestWhomTheSecondHandlerRefusesTheFirstDoesNotLetIn(t *testing.T) {
	clients := newAuthority(t, "clients authority")
	first, second := configured(t, ""), configured(t, `,"username_rdn":"UID"`) // the certificate has none
	transport := newTransport(t, "elasticsearch_jwt")
	send := func(r *http.Request) int {
		res, err := transport.RoundTrip(prepared(r))
		require.NoError(t, err)
		defer res.Body.Close()
		return res.StatusCode
	}
	r, _ := inCaddy(referenceRequest(referenceCertificate(clients, "alice"), clients.cert))
	w := httptest.NewRecorder()
	var before, after int
	err := first.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		before = send(r)
		err := second.ServeHTTP(w, r, nothing)
		after = send(r)
		return err
	}))
	_, refused := asRefusal(err)
	require.True(t, refused)
	require.Equal(t, http.StatusOK, before)
	require.Equal(t, http.StatusBadGateway, after)
	require.Equal(t, http.StatusBadGateway, send(r), "the first has returned, too")
}

// TestTheTransportSendsNoTrailers: a handler of another plugin may have put some into the request.
func TestTheTransportSendsNoTrailers(t *testing.T) {
	clients := newAuthority(t, "clients authority")
	h, transport := configured(t, ""), newTransport(t, "elasticsearch_jwt")
	network := new(http.Transport)
	transport.(*esjwt.Transport).Transport = network
	var reached bool
	var sent http.Header
	network.RegisterProtocol("http", roundTripper(func(r *http.Request) (*http.Response, error) {
		reached, sent = true, r.Trailer
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	}))
	r, _ := inCaddy(referenceRequest(referenceCertificate(clients, "alice"), clients.cert))
	require.NoError(t, h.ServeHTTP(httptest.NewRecorder(), r,
		caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			r = prepared(r)
			r.Trailer = http.Header{"Es-Security-Runas-User": {"elastic"}}
			res, err := transport.RoundTrip(r)
			if err != nil {
				return err
			}
			return res.Body.Close()
		})))
	require.True(t, reached)
	require.Empty(t, sent)
}

// roundTripper is a function in the place of the network.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
