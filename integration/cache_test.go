package integration

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// One identity keeps one token string for a while, which is what the node's JWT
// cache is keyed by: the node verifies it once. It says so in its log.
func TestNodeFindsTheTokenInItsCache(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		const requests = 20
		name := "cache-" + strings.ToLower(rand.Text()) // whom the node has never seen
		certificate := clientCA().Client(name, "analysts").TLS
		renewed := clientCA().Client(name, "analysts").TLS
		position := s.es.LogPosition()
		for i := range requests {
			client := s.site.client(certificate) // on a connection of its own
			if i%2 == 1 {
				client = s.site.client(renewed)
			}
			require.Equal(t, name, s.site.authenticate(t, client).user(t).Username)
			client.CloseIdleConnections()
		}
		verified, hits := 0, 0
		for line := range strings.Lines(s.es.LogSince(position)) {
			switch {
			case !strings.Contains(line, "'sub:"+name+"'"):
			case strings.Contains(line, "JWT validation success"):
				verified++
			case strings.Contains(line, "JWT cache hit"):
				hits++
			}
		}
		require.Equal(t, requests, verified+hits)
		// Twice, if the client's next token began meanwhile.
		require.LessOrEqual(t, verified, 2, "the node verified a token that it had verified before")
	})
}

func TestReplicasSendTheSameToken(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		certificate := clientCA().Client("alice", "analysts").TLS
		one, other := s.tokenOf(t, certificate), s.tokenOf(t, certificate)
		if one != other { // the client's next token began meanwhile
			one = s.tokenOf(t, certificate)
		}
		require.Equal(t, one, other)
		direct := send(t, directClient(), http.MethodGet, s.es.URL()+"/_security/_authenticate", "", bearer(one))
		require.Equal(t, "alice", direct.user(t).Username)
	})
}

// BenchmarkAuthenticate is what a request's authentication costs a warm node:
//
//	go -C integration test -run '^$' -bench Authenticate
//
// A fresh token costs the node several times what a token does that it has seen:
// it verifies the signature, and works out the user's roles anew.
func BenchmarkAuthenticate(b *testing.B) {
	for _, version := range versions(*elasticsearchVersions) {
		b.Run(version, func(b *testing.B) {
			s := elasticsearch(b, version)
			s.logJWT(b, "warn")
			defer s.logJWT(b, "trace")
			certificate := clientCA().Client("alice", "analysts", "shippers", "operators").TLS
			reused := bearer(s.tokenOf(b, certificate))
			key := http.Header{"Authorization": {"ApiKey " + s.apiKey(b)}}
			fresh := 0
			direct, authenticate := directClient(), s.es.URL()+"/_security/_authenticate"
			ways := []struct {
				name   string
				client *http.Client
				url    string
				header func() http.Header
			}{
				{"reused token", direct, authenticate, func() http.Header { return reused }},
				{"API key", direct, authenticate, func() http.Header { return key }},
				{"fresh token", direct, authenticate, func() http.Header {
					fresh++
					claims := s.plain.Claims("alice", "analysts", "shippers", "operators").With("jti", fmt.Sprint(fresh))
					return bearer(s.plain.Token(b, claims))
				}},
				{"client certificate", directClient(certificate), authenticate, func() http.Header { return nil }},
				{
					"through Caddy", s.site.client(certificate), s.site.url("/_security/_authenticate"),
					func() http.Header { return nil },
				},
			}
			ask := func(b *testing.B, client *http.Client, url string, header http.Header) {
				b.Helper()
				if got := send(b, client, http.MethodGet, url, "", header); got.status != http.StatusOK {
					b.Fatal(got.status, got.body)
				}
			}
			for range 1000 { // until the JVM has compiled all of the ways
				for _, way := range ways {
					ask(b, way.client, way.url, way.header())
				}
			}
			for _, way := range ways {
				b.Run(strings.ReplaceAll(way.name, " ", "-"), func(b *testing.B) {
					for b.Loop() {
						b.StopTimer()
						header := way.header()
						b.StartTimer()
						ask(b, way.client, way.url, header)
					}
				})
			}
		})
	}
}

// logJWT sets how much the node logs about tokens.
func (s *stack) logJWT(t testing.TB, level string) {
	t.Helper()
	status, body, err := s.es.Do(t.Context(), http.MethodPut, "/_cluster/settings",
		fmt.Sprintf(`{"persistent":{"logger.org.elasticsearch.xpack.security.authc.jwt":%q}}`, level))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, string(body))
}
