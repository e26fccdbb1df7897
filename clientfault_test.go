package esjwt_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestAClientsFaultIsNoFailureOfANode: reverse_proxy counted it as one, so that with fail_duration a single request of
// anybody who is let in took the node away from all others for that time.
func TestAClientsFaultIsNoFailureOfANode(t *testing.T) {
	s := newSceneOf(t, withHTTP3(behindTheHandler("request_body {\nmax_size 1MB\n}",
		"fail_duration 1m\nlb_retries 3\nheader_up X-Path {http.request.uri.path}")), "{{settings}}", "")
	mallory := s.clients.client("mallory")
	requireServed := func() {
		t.Helper()
		require.Equal(t, http.StatusOK, s.get(s.httpClient(s.clients.client("bob")), "/").StatusCode)
	}
	const chunked = "Host: " + site + "\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"a broken chunk of GET":  {"GET / HTTP/1.1\r\n" + chunked + "5\r\nhello\r\nZZZ\r\n", http.StatusBadRequest},
		"a broken chunk of POST": {"POST / HTTP/1.1\r\n" + chunked + "5\r\nhello\r\nZZZ\r\n", http.StatusBadRequest},
		"more than request_body allows": {
			"POST / HTTP/1.1\r\n" + chunked + "200000\r\n" + strings.Repeat("a", 2<<20) + "\r\n0\r\n\r\n",
			http.StatusRequestEntityTooLarge,
		},
		"a line break in a header by header_up": {
			"GET /a%0Ab HTTP/1.1\r\nHost: " + site + "\r\n\r\n", http.StatusBadRequest,
		},
	} {
		t.Run(name, func(t *testing.T) {
			res := s.raw(mallory, c.request)
			require.Equal(t, c.status, res.StatusCode)
			require.Contains(t, readBody(t, res), "illegal_argument_exception")
			requireServed()
		})
	}
	t.Run("a connection that breaks off", func(t *testing.T) {
		conn, err := tls.Dial("tcp", s.address, &tls.Config{
			RootCAs: s.server.pool(), ServerName: site, Certificates: []tls.Certificate{mallory}, NextProtos: []string{"http/1.1"},
		})
		require.NoError(t, err)
		_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: "+site+"\r\nContent-Length: 100\r\n\r\nhello")
		require.NoError(t, err)
		require.NoError(t, conn.CloseWrite())
		_, _ = io.Copy(io.Discard, conn)
		require.NoError(t, conn.Close())
		requireServed()
	})
	t.Run("a stream of HTTP/2 that breaks off", func(t *testing.T) {
		client := s.httpClient(mallory)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+site+"/",
			io.MultiReader(bytes.NewReader(make([]byte, 100)), failing{}))
		require.NoError(t, err)
		_, err = s.do(client, req)
		require.Error(t, err)
		requireServed()
	})
	t.Run("a method of HTTP/2 that is none", func(t *testing.T) {
		require.Equal(t, "400", s.get2(mallory, "GET /"))
		requireServed()
	})
	t.Run("a body of HTTP/3 that is shorter than announced", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.address+"/", strings.NewReader("hello"))
		require.NoError(t, err)
		req.Host, req.ContentLength = site, 100
		a, err := s.do(s.http3Client(mallory), req)
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, a.StatusCode, a.body)
		requireServed()
	})
}

// withHTTP3 is a site that speaks it, too.
func withHTTP3(caddyfile string) string {
	return strings.Replace(caddyfile, "auto_https", "servers {\nprotocols h1 h2 h3\n}\nauto_https", 1)
}

// http3Client is httpClient over HTTP/3. Requests must be for the proxy's address.
func (p *proxy) http3Client(cert tls.Certificate) *http.Client {
	transport := &http3.Transport{TLSClientConfig: &tls.Config{
		RootCAs: p.server.pool(), ServerName: site, GetClientCertificate: present([]tls.Certificate{cert}),
	}}
	p.t.Cleanup(func() { _ = transport.Close() })
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// get2 sends a request for / over HTTP/2 with a method that need not be one, and returns the status of the answer.
func (p *proxy) get2(cert tls.Certificate, method string) (status string) {
	p.t.Helper()
	conn, err := tls.Dial("tcp", p.address, &tls.Config{
		RootCAs: p.server.pool(), ServerName: site, Certificates: []tls.Certificate{cert}, NextProtos: []string{http2.NextProtoTLS},
	})
	require.NoError(p.t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, http2.ClientPreface)
	require.NoError(p.t, err)
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(p.t, framer.WriteSettings())
	var fields bytes.Buffer
	encoder := hpack.NewEncoder(&fields)
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: method},
		{Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: site},
		{Name: ":path", Value: "/"},
	} {
		require.NoError(p.t, encoder.WriteField(field))
	}
	require.NoError(p.t, framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: fields.Bytes(), EndHeaders: true, EndStream: true,
	}))
	for {
		frame, err := framer.ReadFrame()
		require.NoError(p.t, err)
		if headers, ok := frame.(*http2.MetaHeadersFrame); ok {
			return headers.PseudoValue("status")
		}
	}
}

// failing is a body that breaks off.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken off") }

// TestAFailureOfANodeIsNoFaultOfTheClient, also in the middle of a body.
func TestAFailureOfANodeIsNoFaultOfTheClient(t *testing.T) {
	s := newSceneOf(t, behindTheHandler("", "fail_duration 1m"), "{{settings}}", "")
	s.upstream.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 10))
		panic(http.ErrAbortHandler)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body, more := io.Pipe()
	go func() {
		for {
			if _, err := more.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+site+"/", body)
	require.NoError(t, err)
	a, err := s.do(s.httpClient(s.clients.client("alice")), req)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadGateway, a.StatusCode, a.body)
	require.Equal(t, http.StatusServiceUnavailable, s.get(s.httpClient(s.clients.client("alice")), "/").StatusCode)
}

// TestANodeThatClosesAConnectionOverARequestStays, as OpenSearch does for a method that it does not know. One that accepts
// no other connection has failed.
func TestANodeThatClosesAConnectionOverARequestStays(t *testing.T) {
	node := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == "FOO" {
			panic(http.ErrAbortHandler)
		}
	}))
	node.StartTLS()
	t.Cleanup(node.Close)
	caddyfile := strings.Replace(behindTheHandler("", "fail_duration 1m"), "transport elasticsearch_jwt",
		"transport elasticsearch_jwt {\ntls_trust_pool file "+
			writeFile(t, "node.pem", pemOf(node.Certificate().Raw))+"\ntls_server_name example.com\n}", 1)
	s := newSceneOf(t, caddyfile, "{{settings}}", "", "{{upstream}}", node.URL)
	ask := func(user, method string) answer {
		req, err := http.NewRequestWithContext(t.Context(), method, "https://"+site, nil)
		require.NoError(t, err)
		a, err := s.do(s.httpClient(s.clients.client(user)), req)
		require.NoError(t, err)
		return a
	}
	require.Equal(t, http.StatusOK, ask("alice", http.MethodGet).StatusCode)
	for range 3 {
		a := ask("mallory", "FOO")
		require.Equal(t, http.StatusBadGateway, a.StatusCode)
		require.Contains(t, a.body, "the node has closed the connection without an answer")
		require.Equal(t, http.StatusOK, ask("alice", http.MethodGet).StatusCode)
	}
	require.Equal(t, "FOO", s.loggedOnce("a node closes the connection over a request")["method"])

	node.Close()
	require.Equal(t, http.StatusBadGateway, ask("alice", http.MethodGet).StatusCode)
	require.Equal(t, http.StatusServiceUnavailable, ask("alice", http.MethodGet).StatusCode)
}

// TestABodyThatANodeHasReadGoesToNoOtherNode: reverse_proxy would send the next node what is left of it, which can be
// nothing, as if it were all, and count that node's failure too.
func TestABodyThatANodeHasReadGoesToNoOtherNode(t *testing.T) {
	const query = `{"query":{"match_none":{}}}`
	dying := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, len(query)))
		panic(http.ErrAbortHandler)
	}))
	defer dying.Close()
	for name, c := range map[string]struct {
		settings string
		length   int // of the body
		announce bool
		status   int
	}{
		"a short one":                   {"", len(query), true, http.StatusBadGateway},
		"a short one in chunks":         {"", len(query), false, http.StatusBadGateway},
		"a long one":                    {"", 2 << 20, true, http.StatusBadGateway},
		"a long one in chunks":          {"", 2 << 20, false, http.StatusBadGateway},
		"one that Caddy keeps":          {"request_buffers 1MiB", len(query), true, http.StatusOK},
		"chunks that Caddy keeps":       {"request_buffers 1MiB", len(query), false, http.StatusOK},
		"one of which Caddy keeps some": {"request_buffers 8", len(query), true, http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			caddyfile := behindTheHandler("", "lb_policy first\nlb_retries 1\nfail_duration 1m\n"+c.settings)
			s := newSceneOf(t, strings.Replace(caddyfile, "{{upstream}}", dying.Listener.Addr().String()+" {{upstream}}", 1),
				"{{settings}}", "")
			var whole []string
			s.upstream.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if body, err := io.ReadAll(r.Body); err == nil {
					whole = append(whole, string(body))
				}
			})
			body := query + strings.Repeat(" ", c.length-len(query))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+site+"/_search",
				strings.NewReader(body))
			require.NoError(t, err)
			if !c.announce {
				req.ContentLength = -1
			}
			a, err := s.do(s.httpClient(s.clients.client("alice")), req)
			require.NoError(t, err)
			require.Equal(t, c.status, a.StatusCode, a.body)
			if c.status == http.StatusOK {
				require.Equal(t, []string{body}, whole)
				return
			}
			require.Contains(t, a.body, "send the request again")
			require.Empty(t, whole)
			require.Equal(t, http.StatusOK, s.get(s.httpClient(s.clients.client("bob")), "/").StatusCode, "the other node stays")
		})
	}
}

// TestANodeThatAnswersEarlyLeavesNoHalfABody for the next one, while the body is still on its way to the first.
func TestANodeThatAnswersEarlyLeavesNoHalfABody(t *testing.T) {
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer busy.Close()
	caddyfile := behindTheHandler("", "lb_policy round_robin\nlb_retries 1\n"+
		"lb_retry_match {\nmethod POST\nexpression {rp.status_code} == 503\n}")
	s := newSceneOf(t, strings.Replace(caddyfile, "{{upstream}}", busy.Listener.Addr().String()+" {{upstream}}", 1),
		"{{settings}}", "")
	const size = 2 << 20
	s.upstream.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); err == nil && n != size {
			t.Errorf("%d bytes went to the second node as if they were all", n)
		}
	})
	alice := s.httpClient(s.clients.client("alice"))
	for _, announced := range []int64{size, -1, size, -1} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+site+"/_bulk",
			bytes.NewReader(make([]byte, size)))
		require.NoError(t, err)
		req.ContentLength = announced
		a, err := s.do(alice, req)
		require.NoError(t, err)
		require.Contains(t, []int{http.StatusOK, http.StatusBadGateway}, a.StatusCode, a.body)
	}
}
