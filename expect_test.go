package esjwt_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"
)

// TestNoExpectationReachesANode: a node that does not meet one (RFC 9110 section 10.1.1) answers at once,
// with 417, or 413 where the length is more than it takes, and reads what follows as the next request on
// the connection (Netty's HttpExpectationFailedEvent; Netty4HttpContentSizeHandler of Elasticsearch). That
// is the body: a request of the client's own making that nobody has looked at.
func TestNoExpectationReachesANode(t *testing.T) {
	s := newSceneOf(t, strings.Replace(minimal, "auto_https", "servers {\n\t\tprotocols h1 h2 h3\n\t}\n\tauto_https", 1),
		"{{settings}}", optional)
	for who, certs := range map[string][]tls.Certificate{"a client": {s.clients.client("alice")}, "nobody": nil} {
		quic := &http3.Transport{TLSClientConfig: &tls.Config{
			RootCAs: s.server.pool(), ServerName: site,
			GetClientCertificate: present(certs),
		}}
		t.Cleanup(func() { quic.Close() })
		one := s.httpClient(certs...)
		one.Transport.(*http.Transport).ForceAttemptHTTP2 = false
		for protocol, client := range map[string]*http.Client{
			"HTTP/1.1": one, "HTTP/2.0": s.httpClient(certs...),
			"HTTP/3.0": {Transport: quic},
		} {
			host := site
			if client.Transport == quic {
				host = s.address
			}
			for _, expectation := range []string{"100-continue", "100-Continue", "nothing", "100-continue, nothing", ""} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+host+"/",
					strings.NewReader("GET / HTTP/1.1\r\n\r\n"))
				require.NoError(t, err)
				req.Host = site
				req.Header["Expect"] = []string{expectation}
				req.Header.Set("Authorization", "Basic YWJj")
				a, err := s.do(client, req)
				require.NoError(t, err, "%s over %s: %s", who, protocol, expectation)
				require.Equal(t, protocol, a.Proto)
				if a.StatusCode == http.StatusExpectationFailed { // net/http's own answer
					s.upstream.requireNone(t)
					continue
				}
				require.Equal(t, http.StatusOK, a.StatusCode, "%s over %s: %s", who, protocol, a.body)
				require.NotContains(t, s.upstream.last(t).Header, "Expect", "%s over %s: %s", who, protocol, expectation)
			}
		}
	}
}
