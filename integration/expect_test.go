package integration

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// within is a request of somebody's own making, in the body of another.
const within = "GET /_security/_authenticate HTTP/1.1\r\nHost: " + nodeName + "\r\nAuthorization: " + basicOfTarget +
	"\r\n\r\n"

// TestNoExpectationOfAClientReachesANode: a node that does not meet an expectation (RFC 9110 section 10.1.1)
// takes the body for the next request. Elasticsearch 9.2.0 does so with a 100-continue for more than
// http.max_content_length.
func TestNoExpectationOfAClientReachesANode(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		statuses := answersTo(t, s.es.URL(), "POST /_search HTTP/1.1\r\nHost: "+nodeName+"\r\nAuthorization: "+basicOfTarget+
			"\r\nExpect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n"+within)
		t.Logf("the node's own answers to one request: %v", statuses)
		require.Equal(t, http.StatusRequestEntityTooLarge, statuses[0])
		for _, delivery := range []string{"http", "elasticsearch_jwt"} {
			proxy := site{handler: "certificate optional", delivery: delivery}
			s.startSites(t, &proxy)
			alice := proxy.client(clientCA().Client("alice", "analysts").TLS)
			for range 10 {
				header := http.Header{"Authorization": {basicOfTarget}, "Expect": {"nothing"}}
				got := send(t, proxy.client(), http.MethodPost, proxy.url("/_search"), within, header)
				require.Contains(t, []int{http.StatusBadRequest, http.StatusForbidden}, got.status,
					"it is a body, and nothing was expected: %s", got.body)
				require.Equal(t, "alice", proxy.authenticate(t, alice).user(t).Username)
			}
		}
	})
}

// answersTo are the statuses that a node answers with to what is sent to it.
func answersTo(t *testing.T, node, request string) (statuses []int) {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(node, "https://"),
		&tls.Config{RootCAs: nodeCA().Pool(), NextProtos: []string{"http/1.1"}})
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprint(conn, request)
	require.NoError(t, err)
	reader := bufio.NewReader(conn)
	for patience := time.Minute; ; patience = 3 * time.Second {
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return statuses // nothing more comes
		}
		_, _ = readAll(t, response.StatusCode, response.Body)
		statuses = append(statuses, response.StatusCode)
	}
}
