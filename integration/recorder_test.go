package integration

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// recorder is an upstream that shows what a node would have seen. It speaks
// HTTP/1.1 alone, as a node does.
type recorder struct {
	url string

	mu       sync.Mutex
	received []received
}

// received is a request with everything that could name somebody.
type received struct {
	header, trailer http.Header
	query           string
}

func newRecorder(t testing.TB) *recorder {
	t.Helper()
	r := &recorder{}
	server := httptest.NewUnstartedServer(r)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{nodeCA().Server("127.0.0.1").TLS}}
	server.StartTLS()
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.received = append(r.received, received{
		header: request.Header.Clone(), trailer: request.Trailer.Clone(), query: request.URL.RawQuery,
	})
	w.WriteHeader(http.StatusNoContent)
}

// take returns the requests since the last take.
func (r *recorder) take() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.received
	r.received = nil
	return taken
}

// token is the one value of the one Authorization header.
func (r received) token(t testing.TB) string {
	t.Helper()
	require.Len(t, r.header["Authorization"], 1)
	token, isBearer := strings.CutPrefix(r.header.Get("Authorization"), "Bearer ")
	require.True(t, isBearer)
	require.Equal(t, 2, strings.Count(token, "."))
	return token
}

// identities are the names of what is received that says who somebody is, apart
// from the one Authorization header that the plugin writes.
func (r received) identities() []string {
	var found []string
	for _, set := range []http.Header{r.header, r.trailer} {
		for name := range set {
			normal := strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))
			for _, word := range []string{"auth", "runas", "impersonate", "opendistro", "x-proxy", "elastic-product-origin"} {
				if strings.Contains(normal, word) && name != "Authorization" {
					found = append(found, name)
				}
			}
		}
	}
	if len(r.trailer["Authorization"]) > 0 {
		found = append(found, "Authorization (trailer)")
	}
	slices.Sort(found)
	return found
}

// tokenOf is the token that the plugin sends with a client's requests: what a
// client never sees.
func (s *stack) tokenOf(t testing.TB, certificate tls.Certificate) string {
	t.Helper()
	upstream := newRecorder(t)
	replica := site{port: freePort(t), upstream: upstream.url}
	replica.start(t, "XDG_DATA_HOME="+s.caddy.DataHome())
	got := replica.authenticate(t, replica.client(certificate))
	require.Equal(t, http.StatusNoContent, got.status, got.body)
	return upstream.take()[0].token(t)
}
