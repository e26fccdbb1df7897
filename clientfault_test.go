package esjwt_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAClientsFaultIsNoFailureOfANode: reverse_proxy counted it as one, so that with fail_duration a single request of
// anybody who is let in took the node away from all others for that time.
func TestAClientsFaultIsNoFailureOfANode(t *testing.T) {
	s := newSceneOf(t, behindTheHandler("request_body {\nmax_size 1MB\n}",
		"fail_duration 1m\nlb_retries 3\nheader_up X-Path {http.request.uri.path}"), "{{settings}}", "")
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
