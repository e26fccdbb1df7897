package esjwt_test

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"
)

// polyglot is a node that speaks HTTP/1.1, 2 and 3 over TLS, and h2c. It remembers the requests.
type polyglot struct {
	tls, clear string // addresses
	ca         []byte

	mu       sync.Mutex
	requests []*http.Request
}

func (n *polyglot) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // trailers come after it
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests = append(n.requests, r)
}

// take returns the requests, and forgets them.
func (n *polyglot) take() []*http.Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	requests := n.requests
	n.requests = nil
	return requests
}

func newPolyglot(t *testing.T) *polyglot {
	t.Helper()
	n := new(polyglot)
	secure := httptest.NewUnstartedServer(n)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	n.tls = strings.TrimPrefix(secure.URL, "https://")
	n.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})

	conn, err := net.ListenPacket("udp", n.tls)
	require.NoError(t, err)
	quic := &http3.Server{Handler: n, TLSConfig: &tls.Config{Certificates: secure.TLS.Certificates}}
	go func() { _ = quic.Serve(conn) }()
	t.Cleanup(func() { require.NoError(t, quic.Close()); conn.Close() })

	plain := httptest.NewUnstartedServer(n)
	plain.Config.Protocols = new(http.Protocols)
	plain.Config.Protocols.SetHTTP1(true)
	plain.Config.Protocols.SetUnencryptedHTTP2(true)
	plain.Start()
	t.Cleanup(plain.Close)
	n.clear = strings.TrimPrefix(plain.URL, "http://")
	return n
}

// TestTheTransportHasTheLastWordOverEveryProtocol that a client and a node can speak, also where trailers follow a body.
func TestTheTransportHasTheLastWordOverEveryProtocol(t *testing.T) {
	node := newPolyglot(t)
	ca := writeFile(t, "node-ca.pem", node.ca)
	for versions, want := range map[string]string{"1.1": "HTTP/1.1", "2": "HTTP/2.0", "3": "HTTP/3.0", "h2c": "HTTP/2.0"} {
		t.Run("to a node that speaks "+versions, func(t *testing.T) {
			to := "https://" + node.tls + " {\ntransport elasticsearch_jwt {\nversions " + versions +
				"\ntls_trust_pool file " + ca + "\n}\n"
			if versions == "h2c" {
				to = "http://" + node.clear + " {\ntransport elasticsearch_jwt {\nversions h2c 2\n}\n"
			}
			s := newSceneOf(t, strings.NewReplacer("auto_https", "servers {\nprotocols h1 h2 h3\n}\nauto_https",
				"reverse_proxy {{upstream}}", "reverse_proxy "+to+"header_up Es-Security-Runas-User evil\n}",
			).Replace(minimal), "{{settings}}", "header X-User {cert.cn}")
			alice := s.clients.client("alice")
			quic := &http3.Transport{TLSClientConfig: &tls.Config{
				RootCAs: s.server.pool(), ServerName: site, GetClientCertificate: present([]tls.Certificate{alice}),
			}}
			t.Cleanup(func() { quic.Close() })
			one := s.httpClient(alice)
			one.Transport.(*http.Transport).ForceAttemptHTTP2 = false
			for protocol, client := range map[string]*http.Client{
				"HTTP/1.1": one, "HTTP/2.0": s.httpClient(alice), "HTTP/3.0": {Transport: quic},
			} {
				host := site
				if client.Transport == quic {
					host = s.address
				}
				body := io.MultiReader(strings.NewReader("{}"), strings.NewReader("{}")) // of unknown length: chunked
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+host+"/", body)
				require.NoError(t, err)
				req.Host = site
				req.Trailer = http.Header{"X-User": {"evil"}, "Es-Security-Runas-User": {"evil"}}
				req.Header.Set("Authorization", "Basic evil")
				req.Header.Set("X-User", "evil")
				a, err := s.do(client, req)
				require.NoError(t, err)
				require.Equal(t, protocol, a.Proto)
				require.Equal(t, http.StatusOK, a.StatusCode, a.body)
				requests := node.take()
				require.Len(t, requests, 1)
				require.Equal(t, want, requests[0].Proto)
				require.Equal(t, []string{"alice"}, requests[0].Header["X-User"])
				s.requireOnlyAlice(t, requests[0])
			}
		})
	}
}
