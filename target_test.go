package esjwt_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
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
	for _, target := range []string{site + ":443", "/", "/_search"} {
		require.Equal(t, http.StatusBadRequest, s.raw(s.clients.client("alice"), "CONNECT "+target+rest).StatusCode, target)
		s.upstream.requireNone(t)
	}
	alice := s.httpClient(s.clients.client("alice")) // over HTTP/2, in which a target can have a blank
	require.Equal(t, "no_path", s.get(alice, "/_search?q=a b").body)
	s.upstream.requireNone(t)
	require.Equal(t, http.StatusOK, s.get(alice, "/_search?q=a%20b+c").StatusCode)
	s.upstream.last(t)
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

// TestNoRequestHidesInATunnel: net/http sends the body of a CONNECT as it is, without a length, so that a node takes it for
// the next requests, of whoever they say. Over HTTP/3 a CONNECT for another protocol than WebSocket (RFC 9220) has a path.
func TestNoRequestHidesInATunnel(t *testing.T) {
	for _, transport := range []string{"http", "elasticsearch_jwt"} {
		t.Run(transport, func(t *testing.T) {
			s := newSceneOf(t, strings.Replace(withHTTP3(behindTheHandler("", "")), "transport elasticsearch_jwt",
				"transport "+transport, 1), "{{settings}}", "", "{{upstream}}", listen(t, func(conn net.Conn) {
				_, err := bufio.NewReader(conn).ReadString('\n')
				if err == nil {
					t.Error("a request came to the node")
				}
			}))
			conn, err := quic.DialAddr(t.Context(), s.address, &tls.Config{
				RootCAs: s.server.pool(), ServerName: site, Certificates: []tls.Certificate{s.clients.client("alice")},
				NextProtos: []string{http3.NextProtoH3},
			}, nil)
			require.NoError(t, err)
			defer func() { _ = conn.CloseWithError(0, "") }()
			client := new(http3.Transport).NewClientConn(conn)
			select {
			case <-client.ReceivedSettings(): // they say that it takes such a CONNECT
			case <-t.Context().Done():
			}
			stream, err := client.OpenRequestStream(t.Context())
			require.NoError(t, err)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodConnect, "https://"+site+"/_search", nil)
			require.NoError(t, err)
			req.Proto = "another"
			require.NoError(t, stream.SendRequestHeader(req))
			_, err = io.WriteString(stream, "GET /_search HTTP/1.1\r\nHost: x\r\nEs-Security-Runas-User: elastic\r\n\r\n")
			require.NoError(t, err)
			require.NoError(t, stream.Close())
			res, err := stream.ReadResponse()
			require.NoError(t, err)
			require.Equal(t, http.StatusBadRequest, res.StatusCode)
			require.Contains(t, readBody(t, res), "no_path")
		})
	}
}
