package esjwt_test

import (
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// TestIdentitiesAreNeverMixedUp: thousands of interleaved requests of many clients, over shared
// and separate connections, while the configuration is loaded anew.
func TestIdentitiesAreNeverMixedUp(t *testing.T) {
	whoami := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, unverifiedClaims(r.Header.Get("Authorization"))["sub"])
	}))
	defer whoami.Close()
	s := newSceneOf(t, minimal, "{{settings}}", "", "{{upstream}}", strings.TrimPrefix(whoami.URL, "http://"))

	const identities, workersEach = 12, 3
	var served, dropped atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range identities {
		name := fmt.Sprintf("client-%d", i)
		cert := s.clients.client(name, "a", "b")
		shared := s.httpClient(cert)
		http1 := s.httpClient(cert)
		http1.Transport.(*http.Transport).ForceAttemptHTTP2 = false
		http1.Transport.(*http.Transport).TLSClientConfig.NextProtos = []string{"http/1.1"}
		for w := range workersEach {
			client := []*http.Client{shared, shared, http1}[w]
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					if n%20 == 19 {
						client.CloseIdleConnections() // a new connection, and so a new certificate in memory
					}
					a, err := s.try(client, "/", "Authorization", "Bearer evil")
					if err != nil {
						// A connection that the kernel had given to the old listener is reset
						// when Caddy closes it: the request was never read.
						dropped.Add(1)
						continue
					}
					if a.StatusCode != http.StatusOK || a.body != name {
						t.Errorf("%s: %v %q", name, a.Response, a.body)
						return
					}
					served.Add(1)
				}
			})
		}
	}
	for i := range 6 {
		until := served.Load() + 300
		for served.Load() < until && !t.Failed() {
			time.Sleep(200 * time.Millisecond)
		}
		settings := fmt.Sprintf("lifetime %dm", 6+i)
		s.reload(minimal, s.replacements("{{settings}}", settings, "{{upstream}}",
			strings.TrimPrefix(whoami.URL, "http://"))...)
	}
	close(stop)
	wg.Wait()
	require.Greater(t, served.Load(), int64(1500))
	require.Less(t, dropped.Load(), served.Load()/20)
	t.Logf("%d requests served, %d connections dropped by reloads", served.Load(), dropped.Load())
}

// TestALoggedRefusalNamesTheSettingAndTheCertificate, neither of which the client is told.
func TestALoggedRefusalNamesTheSettingAndTheCertificate(t *testing.T) {
	s := newScene(t, "principal {cert.uid}")
	alice := s.clients.client("alice")
	a := s.get(s.httpClient(alice), "/")
	require.Equal(t, http.StatusForbidden, a.StatusCode)
	serial := hex.EncodeToString(alice.Leaf.SerialNumber.Bytes())
	eventually(t, func() bool { return strings.Contains(s.logs.String(), "clients are being refused") }, "a warning")
	require.Contains(t, s.logs.String(), `"error":"principal {cert.uid}"`)
	require.Contains(t, s.logs.String(), `"certificate_serial":"`+serial+`"`)
	require.NotContains(t, a.body, "cert.uid")
	require.NotContains(t, a.body, serial)
}

// TestTheLogsSayWhoItWasAndNeverTheToken: not at any level, not when the upstream breaks off
// its answer, not in an error.
func TestTheLogsSayWhoItWasAndNeverTheToken(t *testing.T) {
	const secret = "a-shared-secret-of-the-realm"
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(secret+"\n"), 0o600))

	var seen sync.Map
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Authorization"), r.Header.Get("Es-Client-Authentication"))
		switch r.URL.Path {
		case "/truncated":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "ten bytes.")
		case "/gone":
			conn, _, _ := http.NewResponseController(w).Hijack()
			conn.Close()
		}
	}))
	defer broken.Close()
	caddyfile := strings.NewReplacer(
		"reverse_proxy {{upstream}}", `log
	reverse_proxy {{upstream}} {
		transport elasticsearch_jwt {
			shared_secret {file.`+file+`}
			dial_timeout 5s
		}
	}
	handle_errors {
		respond "error {http.request.header.Authorization} {http.request.header.Es-Client-Authentication} {http.auth.user.id}"
	}`).Replace(minimal)
	s := newSceneOf(t, caddyfile, "{{settings}}", "", "{{upstream}}", strings.TrimPrefix(broken.URL, "http://"))
	client := s.httpClient(s.clients.client("alice", "a"))

	for _, path := range []string{"/", "/truncated", "/gone", "/"} {
		a, err := s.try(client, path)
		if path == "/gone" {
			require.NoError(t, err)
			require.Equal(t, "error   alice", a.body, "handle_errors sees who it was, and no credentials")
		}
	}
	s.get(s.httpClient(), "/")
	require.NoError(t, os.WriteFile(file, []byte("another-secret-of-the-realm"), 0o600))

	logs := s.logs.String()
	tokens := 0
	seen.Range(func(authorization, clientAuth any) bool {
		tokens++
		require.Equal(t, "SharedSecret "+secret, clientAuth)
		jwt := strings.TrimPrefix(authorization.(string), "Bearer ")
		require.NotContains(t, logs, jwt)
		require.NotContains(t, logs, strings.Split(jwt, ".")[2], "nor its signature")
		return true
	})
	require.Positive(t, tokens)
	require.NotContains(t, logs, secret)
	require.Contains(t, logs, "aborting with incomplete response", "the line at WARN that prints headers was there")

	access := ""
	for line := range strings.Lines(logs) {
		if strings.Contains(line, `"http.log.access`) && strings.Contains(line, `"status":200`) {
			access = line
		}
	}
	require.Contains(t, access, `"user_id":"alice"`)
	require.Regexp(t, `"elasticsearch_jwt":{"kid":"[\w-]{43}","certificate_serial":"[0-9a-f]+",`+
		`"certificate_not_after":"20[\d-]{8}T[\d:]{8}Z"}`, access)
	require.Contains(t, logs, `"elasticsearch_jwt":{"reason":"no_certificate"}`)
	require.Equal(t, 1, strings.Count(logs, `"token signed"`), "one audit line for each token")
	require.Regexp(t, `"logger":"http.handlers.elasticsearch_jwt.audit","msg":"token signed","user":"alice",`+
		`"certificate_serial":"[0-9a-f]+","certificate_fingerprint":"[0-9a-f]{64}",`+
		`"certificate_not_after":"20[\d-]{8}T[\d:]{8}Z"`, logs)

	for line := range strings.Lines(logs) {
		if strings.Contains(line, `"level":"info"`) && strings.Contains(line, "elasticsearch_jwt") {
			require.Regexp(t, `token signed|signing key|clients are being refused|"http.log.access|shared secret`, line,
				"nothing for each request at INFO")
		}
	}
}

// TestTheSharedSecretIsForClientsAlone: health checks and those who use their own credentials do
// not get it, wherever it is configured.
func TestTheSharedSecretIsForClientsAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("abc"), 0o600))
	for name, caddyfile := range map[string]string{
		"in the handler": strings.Replace(minimal, "{{settings}}", "certificate optional\nshared_secret {file."+file+
			"}", 1),
		"in the transport": strings.NewReplacer("{{settings}}", "certificate optional", "reverse_proxy {{upstream}}",
			"reverse_proxy {{upstream}} {\ntransport elasticsearch_jwt {\nshared_secret {file."+file+"}\n}\n}").Replace(minimal),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, caddyfile)
			s.get(s.httpClient(s.clients.client("alice")), "/", "Es-Client-Authentication", "SharedSecret evil")
			require.Equal(t, []string{"SharedSecret abc"}, s.upstream.last(t).Header.Values("Es-Client-Authentication"))
			s.get(s.httpClient(), "/", "Authorization", "Basic YWJj")
			require.Empty(t, s.upstream.last(t).Header.Values("Es-Client-Authentication"))
			s.get(s.httpClient(), "/", "Authorization", "Bearer YWJj", "Es-Client-Authentication", "SharedSecret own")
			require.Equal(t, []string{"SharedSecret own"}, s.upstream.last(t).Header.Values("Es-Client-Authentication"))
		})
	}
}

// TestAChangedSharedSecretIsNoticed, without a reload.
func TestAChangedSharedSecretIsNoticed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "secret")
		require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
		clients := newAuthority(t, "clients authority")
		h := newHandler(t, `{"issuer":"i","audience":["a"],"shared_secret":"{file.`+file+`}"}`, es256)
		r := referenceRequest(clients.client("alice").Leaf, clients.cert)
		sent := func() string {
			var header string
			require.NoError(t, h.ServeHTTP(httptest.NewRecorder(), r,
				handlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
					header = r.Header.Get("Es-Client-Authentication")
					return nil
				})))
			require.NotContains(t, r.Header, "Es-Client-Authentication")
			return header
		}
		require.Equal(t, "SharedSecret old", sent())
		require.NoError(t, os.WriteFile(file, []byte("new"), 0o600))
		time.Sleep(time.Minute)
		require.Equal(t, "SharedSecret new", sent())

		require.NoError(t, os.Remove(file))
		time.Sleep(time.Minute)
		require.Equal(t, "SharedSecret new", sent(), "the old one goes on")
	})
}

// TestAProxyServesOthersWhileOneClientIsRefused is the least that refusals must not do.
func TestAProxyServesOthersWhileOneClientIsRefused(t *testing.T) {
	s := newScene(t, "")
	alice := s.httpClient(s.clients.client("alice"))
	for range 5 {
		_, err := net.DialTimeout("tcp", s.address, time.Second)
		require.NoError(t, err)
		_, _ = s.try(s.httpClient(newAuthority(t, "another authority").client("eve")), "/")
		s.get(s.httpClient(tls.Certificate{}), "/")
		require.Equal(t, http.StatusOK, s.get(alice, "/").StatusCode)
	}
}
