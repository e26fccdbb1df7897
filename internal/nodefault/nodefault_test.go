package nodefault_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/nodefault"
)

// TestAnErrorSaysWhatToWrite, for what real connections fail of.
func TestAnErrorSaysWhatToWrite(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	overTLS := httptest.NewTLSServer(http.NotFoundHandler())
	defer overTLS.Close()
	trusting := overTLS.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	silent := listen(t, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) }) // it closes with data unread
	alerting := listen(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096)) // the request, which is no ClientHello
		_, _ = conn.Write([]byte("\x15\x03\x01\x00\x02\x02\x50"))
	})

	for name, c := range map[string]struct {
		url    string
		config *tls.Config
		want   string
	}{
		"TLS, and http://: it closes the connection": {"http://" + silent, nil, "`reverse_proxy https://" + silent + "`"},
		"TLS, and http://: it sends an alert":        {"http://" + alerting, nil, "`reverse_proxy https://" + alerting},
		"no TLS, and https://": {
			"https://" + plain.Listener.Addr().String(), nil, "write `reverse_proxy http://" + plain.Listener.Addr().String(),
		},
		"garbage, and https://": {
			"https://" + listen(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "what do you want?") }), nil,
			"does not speak TLS",
		},
		"an unknown authority": {overTLS.URL, &tls.Config{}, "`tls_trust_pool file es-ca.pem`"},
		"another name": {
			overTLS.URL, &tls.Config{RootCAs: trusting, ServerName: "es1.example.org"}, "`tls_server_name`",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := ask(t.Context(), t, c.url, c.config)
			require.Error(t, err)
			explained := explain(t, err, c.url)
			require.ErrorContains(t, explained, c.want)
			require.ErrorContains(t, explained, err.Error())
			require.ErrorIs(t, explained, err)
		})
	}
}

// TestANodeThatDoesNotWaitForARequestSpeaksNoHTTP: net/http has errors of its own for what comes before it has sent the
// request. Which of the two is first is not certain.
func TestANodeThatDoesNotWaitForARequestSpeaksNoHTTP(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"it speaks": func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.6\r\n") },
		"it closes": func(net.Conn) {},
	} {
		node := "http://" + listen(t, serve)
		for range 50 {
			err := ask(t.Context(), t, node, nil)
			require.Error(t, err)
			require.ErrorContains(t, explain(t, err, node), "the node gave no answer of HTTP", "%s: %v", name, err)
		}
	}
	closed := &net.OpError{Op: "write", Net: "tcp", Err: net.ErrClosed} // one time in twenty thousand
	require.ErrorContains(t, explain(t, closed, "http://es1:9200"), "the node gave no answer of HTTP")
}

// TestOtherErrorsStayAsTheyAre: reverse_proxy looks at them to know what to answer, and whether to try again.
func TestOtherErrorsStayAsTheyAre(t *testing.T) {
	waiting := listen(t, func(net.Conn) { <-t.Context().Done() })
	late, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	gone, leave := context.WithCancel(t.Context())
	leave()
	for name, err := range map[string]error{
		"a timeout":          ask(late, t, "http://"+waiting, nil),
		"a client that left": ask(gone, t, "http://"+waiting, nil),
		"nobody listens":     ask(t.Context(), t, "http://127.0.0.1:1", nil),
		"a deadline":         &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded},
		"anything":           errors.New("anything"),
	} {
		require.Error(t, err, name)
		for _, overTLS := range []bool{false, true} {
			require.Equal(t, err, nodefault.Explain(err, "es1:9200", overTLS), name)
		}
	}
}

// explain explains an error of a request to a URL.
func explain(t *testing.T, err error, address string) error {
	t.Helper()
	req, parsed := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, parsed)
	return nodefault.Explain(err, req.URL.Host, req.URL.Scheme == "https")
}

// ask returns the error of a request.
func ask(ctx context.Context, t *testing.T, address string, config *tls.Config) error {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	require.NoError(t, err)
	res, err := transport.RoundTrip(req)
	if err == nil {
		res.Body.Close()
	}
	return err
}

// listen serves each connection in the same way, and then closes it.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}
