package integration

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// basicOfTarget are good credentials of the file realm's runas-target.
const basicOfTarget = "Basic cnVuYXMtdGFyZ2V0OnVudXNlZC1wYXNzd29yZA=="

// spoofs are requests by which a client says that it is somebody else.
func spoofs(token string) map[string]http.Header {
	return map[string]http.Header{
		"run as":                        {"es-security-runas-user": {"runas-target"}},
		"run as in capitals":            {"ES-SECURITY-RUNAS-USER": {"runas-target"}},
		"run as with underscores":       {"es_security_runas_user": {"runas-target"}},
		"run as with dots":              {"es.security.runas.user": {"runas-target"}},
		"run as twice":                  {"Es-Security-Runas-User": {"runas-target", "admin"}},
		"another token":                 {"Authorization": {"Bearer " + token}},
		"another token in lower case":   {"authorization": {"Bearer " + token}},
		"another scheme":                {"Authorization": {basicOfTarget}},
		"two tokens":                    {"Authorization": {"Bearer " + token, "Bearer x"}},
		"client authentication":         {"ES-Client-Authentication": {"SharedSecret guessed"}},
		"old client authentication":     {"X-Client-Authentication": {"SharedSecret guessed"}},
		"a second user":                 {"es-secondary-authorization": {basicOfTarget}},
		"a second client":               {"es-secondary-x-client-authentication": {"SharedSecret guessed"}},
		"removal of ours":               {"Connection": {"Authorization, ES-Client-Authentication"}},
		"a node's internal header":      {"_xpack_security_authentication": {"abc"}},
		"the product's own origin":      {"X-elastic-product-origin": {"kibana"}},
		"OpenSearch's impersonation":    {"opendistro_security_impersonate_as": {"admin"}},
		"OpenSearch's internal headers": {"_opendistro_security_user": {"admin"}},
		"OpenSearch's proxy headers":    {"x-proxy-user": {"admin"}, "x-proxy-roles": {"admin"}},
	}
}

func TestHeadersOfTheClientChangeNothing(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		token := s.plain.Token(t, s.plain.Claims("somebody", "admins"))
		header := bearer(token)
		header["es-security-runas-user"] = []string{"runas-target"}
		direct := send(t, directClient(), http.MethodGet, s.es.URL()+"/_security/_authenticate", "", header).user(t)
		require.Equal(t, "runas-target", direct.Username, "what the header does where nobody strips it")

		certificate := clientCA().Client("root", "admins").TLS
		for protocol, client := range map[string]*http.Client{
			"HTTP/1.1": {Transport: s.site.http1(certificate)},
			"HTTP/2":   s.site.client(certificate),
		} {
			for name, header := range spoofs(token) {
				if protocol == "HTTP/2" && header.Get("Connection") != "" {
					continue // HTTP/2 has no such header
				}
				got := send(t, client, http.MethodGet, s.site.url("/_security/_authenticate"), "", header).user(t)
				require.Equal(t, "root", got.Username, "%s over %s", name, protocol)
				require.Equal(t, []string{"superuser"}, got.Roles, "%s over %s", name, protocol)
				require.Equal(t, teleportRealm, got.Realm.Name, "%s over %s", name, protocol)
			}
		}
	})
}

func TestUpstreamSeesOneIdentity(t *testing.T) {
	for _, delivery := range []string{"http", "elasticsearch_jwt"} {
		t.Run("transport "+delivery, func(t *testing.T) { testUpstreamSeesOneIdentity(t, delivery) })
	}
}

func testUpstreamSeesOneIdentity(t *testing.T, delivery string) {
	t.Helper()
	upstream := newRecorder(t)
	proxy := site{port: freePort(t), upstream: upstream.url, delivery: delivery}
	proxy.start(t)
	certificate := clientCA().Client("root", "admins").TLS
	own := func(t *testing.T, request received) {
		t.Helper()
		require.Empty(t, request.identities())
		require.NotContains(t, request.token(t), "spoofed")
	}
	for protocol, client := range map[string]*http.Client{
		"HTTP/1.1": {Transport: proxy.http1(certificate)},
		"HTTP/2":   proxy.client(certificate),
	} {
		for name, header := range spoofs("spoofed.spoofed.spoofed") {
			if protocol == "HTTP/2" && header.Get("Connection") != "" {
				continue
			}
			t.Run(name+" over "+protocol, func(t *testing.T) {
				require.Equal(t, http.StatusNoContent, send(t, client, http.MethodGet, proxy.url("/"), "", header).status)
				requests := upstream.take()
				require.Len(t, requests, 1)
				own(t, requests[0])
			})
		}
	}
	for name, request := range map[string]string{
		"announced trailers":   "Trailer: Authorization, Es-Security-Runas-User\r\n",
		"unannounced trailers": "",
		"announced other":      "Trailer: X-Other\r\n",
		"TE and announced":     "TE: trailers\r\nConnection: TE\r\nTrailer: Es-Security-Runas-User\r\n",
		"an upgrade to HTTP/2": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" +
			"HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
		"removal by two headers": "Connection: close\r\nConnection: authorization\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			status := sendRaw(t, proxy, certificate, fmt.Sprintf("POST / HTTP/1.1\r\nHost: %s:%d\r\n%s"+
				"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"+
				"Authorization: Bearer spoofed.spoofed.spoofed\r\nEs-Security-Runas-User: runas-target\r\n\r\n",
				proxyName, proxy.port, request))
			requests := upstream.take()
			if status >= http.StatusBadRequest {
				require.Empty(t, requests, "refused before it went anywhere")
				return
			}
			require.Len(t, requests, 1)
			own(t, requests[0])
			require.Empty(t, requests[0].trailer)
		})
	}
}

// http1 is a transport that speaks HTTP/1.1 alone.
func (s site) http1(certificates ...tls.Certificate) *http.Transport {
	transport := s.transportFor(certificates...)
	transport.ForceAttemptHTTP2 = false
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	return transport
}

// sendRaw sends the bytes of a request that no HTTP client would send.
func sendRaw(t *testing.T, proxy site, certificate tls.Certificate, request string) (status int) {
	t.Helper()
	connection, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", proxy.port), &tls.Config{
		RootCAs: proxyCA().Pool(), ServerName: proxyName, Certificates: []tls.Certificate{certificate},
		NextProtos: []string{"http/1.1"},
	})
	require.NoError(t, err)
	defer connection.Close()
	_, err = connection.Write([]byte(request))
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.True(t, strings.HasPrefix(response.Proto, "HTTP/1"), response.Proto)
	return response.StatusCode
}
