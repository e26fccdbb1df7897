package esjwt_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestARequestIsForAPath: a target of another form (RFC 9112 section 3.2) has no path that Caddy's matchers
// see, and a node takes it for one.
func TestARequestIsForAPath(t *testing.T) {
	const rest = " HTTP/1.1\r\nHost: " + site + "\r\nAuthorization: Basic YWJj\r\nContent-Length: 2\r\n" +
		"Connection: close\r\n\r\n{}"
	guarded := strings.Replace(ownPool, "elasticsearch_jwt {",
		"@closed path /secret*\n\trespond @closed 404\n\telasticsearch_jwt {", 1)
	s := newSceneOf(t, guarded, "{{settings}}", optional)
	require.Equal(t, http.StatusNotFound, s.get(s.httpClient(), "/secret/_search", "Authorization",
		"Basic YWJj").StatusCode)
	for _, certificate := range []tls.Certificate{s.clients.client("alice"), {}} {
		for _, target := range []string{
			"x:secret/_search", "x:/../secret/_search", "https:secret/_search", "x:secret?pretty",
			"*",
		} {
			for _, method := range []string{"GET", "POST", "DELETE", "X"} {
				res := s.raw(certificate, method+" "+target+rest)
				require.Contains(t, []int{http.StatusBadRequest, http.StatusNotFound}, res.StatusCode, "%s %s", method, target)
				s.upstream.requireNone(t)
			}
		}
	}
	require.Equal(t, http.StatusBadRequest, s.raw(s.clients.client("alice"), "CONNECT "+site+":443"+rest).StatusCode)
	s.upstream.requireNone(t)
	for _, line := range []string{"GET /", "GET https://" + site, "GET https://" + site + "/a", "GET //a", "OPTIONS /"} {
		require.Equal(t, http.StatusOK, s.raw(s.clients.client("alice"), line+rest).StatusCode, line)
		s.upstream.last(t)
	}
}

// TestARequestWithoutAPathIsStrippedToo: handle_errors sees what was refused, and can have a
// reverse_proxy in it.
func TestARequestWithoutAPathIsStrippedToo(t *testing.T) {
	h := configured(t, "")
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.URL = &url.URL{Scheme: "x", Opaque: "_search"}
	r.Header = http.Header{"Authorization": {"Basic YTpi"}, "Es-Security-Runas-User": {"admin"}, "Accept": {"*/*"}}
	require.ErrorContains(t, h.ServeHTTP(httptest.NewRecorder(), r, nothing), "no_path")
	require.Equal(t, http.Header{"Accept": {"*/*"}}, r.Header)
}
