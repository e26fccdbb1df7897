package integration

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// maxHeaderSize is how many bytes of header lines a node reads, without their ends.
const maxHeaderSize = 16 << 10

// TestAnOversizedRequestSpoilsNoConnection: what Elasticsearch does with too many headers, and that no
// client can have the proxy do that to another.
func TestAnOversizedRequestSpoilsNoConnection(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		t.Run("the node reads nothing more from the connection", func(t *testing.T) {
			status, again := askTwice(t, s.es.URL(), maxHeaderSize)
			require.Equal(t, http.StatusUnauthorized, status, "it was read: nobody is authenticated")
			require.NoError(t, again)
			status, again = askTwice(t, s.es.URL(), maxHeaderSize+1)
			require.Equal(t, http.StatusBadRequest, status)
			require.ErrorIs(t, again, os.ErrDeadlineExceeded, "the connection is open, and nobody answers")
		})
		for _, delivery := range []string{"http", "elasticsearch_jwt"} {
			t.Run("others go on, with transport "+delivery, func(t *testing.T) {
				proxy := site{handler: "certificate optional", delivery: delivery}
				s.startSites(t, &proxy)
				alice := proxy.client(clientCA().Client("alice", "analysts").TLS)
				require.Equal(t, "alice", proxy.authenticate(t, alice).user(t).Username)
				nobody, mallory := &http.Client{Transport: proxy.http1()},
					&http.Client{Transport: proxy.http1(clientCA().Client("mallory").TLS)}
				for range 10 {
					for size := maxHeaderSize - 1600; size <= maxHeaderSize+200; size += 300 {
						for _, client := range []*http.Client{nobody, mallory} {
							header := http.Header{"Authorization": {basicOfTarget}, "X-Padding": {strings.Repeat("a", size)}}
							status := send(t, client, http.MethodGet, proxy.url("/_security/_authenticate"), "", header).status
							require.NotEqual(t, http.StatusBadRequest, status, "it reached the node, with %d", size)
							if size > maxHeaderSize {
								require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, status)
							}
						}
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					got, err := trySend(ctx, alice, http.MethodGet, proxy.url("/_security/_authenticate"), "", nil)
					cancel()
					require.NoError(t, err, "her connection to the node hangs")
					require.Equal(t, "alice", got.user(t).Username)
				}
				tooLong := proxy.url("/_security/_authenticate?x=" + url.QueryEscape(strings.Repeat("a", 5000)))
				require.Equal(t, http.StatusBadRequest, send(t, nobody, http.MethodGet, tooLong, "",
					http.Header{"Authorization": {basicOfTarget}}).status)
				require.Equal(t, "alice", proxy.authenticate(t, alice).user(t).Username,
					"a URL that is too long ends the connection")
			})
		}
	})
}

// TestOpenSearchReadsSoManyHeaders is what docs/opensearch.md says.
func TestOpenSearchReadsSoManyHeaders(t *testing.T) {
	for _, version := range versions(*openSearchVersions) {
		t.Run(version, func(t *testing.T) {
			limit := maxHeaderSize
			if strings.HasPrefix(version, "2.") {
				limit = 8 << 10
			}
			s := openSearch(t, version)
			url := s.node.URL()
			status, again := askTwice(t, url, limit)
			require.Equal(t, http.StatusUnauthorized, status)
			require.NoError(t, again)
			status, again = askTwice(t, url, limit+1)
			require.Equal(t, http.StatusBadRequest, status)
			require.Error(t, again)

			if limit < maxHeaderSize {
				return
			}
			// Over HTTP/2 it reads less, which is why the transport speaks HTTP/1.1 unless it is told otherwise.
			http2 := site{transport: "versions 1.1 2"}
			s.startSites(t, &http2)
			padding := http.Header{"X-Padding": {strings.Repeat("a", 9000)}}
			for _, c := range []struct {
				proxy  site
				status int
			}{{s.site, http.StatusOK}, {http2, http.StatusRequestHeaderFieldsTooLarge}} {
				alice := c.proxy.client(clientCA().Client("alice", "analysts").TLS)
				path := c.proxy.url("/_plugins/_security/authinfo")
				require.Equal(t, http.StatusOK, send(t, alice, http.MethodGet, path, "", nil).status)
				require.Equal(t, c.status, send(t, alice, http.MethodGet, path, "", padding).status)
			}
		})
	}
}

// askTwice asks a node for something with header lines of that size, ends not counted, and then for
// something small over the same connection. It returns the first status, and what became of the second.
func askTwice(t *testing.T, node string, size int) (status int, again error) {
	t.Helper()
	host := strings.TrimPrefix(node, "https://")
	conn, err := tls.Dial("tcp", host, &tls.Config{RootCAs: nodeCA().Pool(), NextProtos: []string{"http/1.1"}})
	require.NoError(t, err)
	defer conn.Close()
	answers := bufio.NewReader(conn)
	ask := func(more string) (int, error) {
		if _, err := fmt.Fprintf(conn, "GET /_cluster/health HTTP/1.1\r\nHost: %s\r\n%s\r\n", host, more); err != nil {
			return 0, err
		}
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			return 0, err
		}
		_, _ = readAll(t, response.StatusCode, response.Body)
		return response.StatusCode, nil
	}
	const padding = "X-Padding: "
	status, err = ask(padding + strings.Repeat("a", size-len("Host: "+host)-len(padding)) + "\r\n")
	require.NoError(t, err)
	_, again = ask("")
	return status, again
}

// TestATokenOfTheProxyNeedsItsCertificate: a node takes it, whoever brings it, so the proxy must not.
func TestATokenOfTheProxyNeedsItsCertificate(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		proxy := site{handler: "certificate optional"}
		s.startSites(t, &proxy)
		upstream := newRecorder(t)
		thief := site{port: freePort(t), upstream: upstream.url}
		thief.start(t, "XDG_DATA_HOME="+s.caddy.DataHome())
		send(t, thief.client(clientCA().Client("alice", "analysts").TLS), http.MethodGet, thief.url("/"), "", nil)
		requests := upstream.take()
		require.Len(t, requests, 1)
		stolen := requests[0].token(t)
		spelled := stolen[:len(stolen)-5] + "~" + stolen[len(stolen)-5:]

		direct := send(t, directClient(), http.MethodGet, s.es.URL()+"/_security/_authenticate", "", bearer(stolen))
		require.Equal(t, "alice", direct.user(t).Username, "what the node makes of it")
		for name, token := range map[string]string{"as it was": stolen, "spelled otherwise": spelled} {
			got := send(t, proxy.client(), http.MethodGet, proxy.url("/_security/_authenticate"), "", bearer(token))
			require.Equal(t, http.StatusUnauthorized, got.status, name)
			require.Contains(t, got.body, "replayed_token", "%s: it reached the node", name)
		}
		foreign := bearer(s.plain.Token(t, s.plain.Claims("bob", "operators")))
		require.Equal(t, "bob", send(t, proxy.client(), http.MethodGet, proxy.url("/_security/_authenticate"), "",
			foreign).user(t).Username)
	})
}
