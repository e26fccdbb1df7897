package esrealm

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

func TestASetThatCannotBeHadStopsTheStart(t *testing.T) {
	key := newSigner(t, "k")
	for says, handler := range map[string]http.HandlerFunc{
		"status 404": http.NotFound,
		"status 204": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"JWK set":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"is missing": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[{"kty":"RSA"}]}`) },
		"unexpected EOF": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			fmt.Fprint(w, "{")
		},
		"stopped after 10 re": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/jwks.json", http.StatusFound)
		},
	} {
		t.Run(says, func(t *testing.T) {
			server := newJWKSServer(t, "")
			server.handle(handler)
			r := urlRealm(server.Server)
			_, err := NewHandler(Config{Realms: []Realm{r}})
			require.ErrorContains(t, err, says)
			server.serve(keySetOf(t, key))
			_, err = NewHandler(Config{Realms: []Realm{r}})
			require.NoError(t, err)
		})
	}
}

func TestAnUntrustedServerStopsTheStart(t *testing.T) {
	server := newJWKSServer(t, keySetOf(t, newSigner(t, "k")))
	r := urlRealm(server.Server)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	r.SSL.CertificateAuthorities = x509.NewCertPool()
	_, err = NewHandler(Config{Realms: []Realm{r}})
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError))

	r = urlRealm(server.Server)
	r.PKCJWKSetPath = "https://localhost:" + port + "/jwks.json"
	_, err = NewHandler(Config{Realms: []Realm{r}})
	require.ErrorAs(t, err, new(x509.HostnameError), "the certificate is for another name")
}

// Java leaves the server name indication out for such names, at which a server
// may refuse it that would let Go in.
func TestNoServerNameForASingleLabel(t *testing.T) {
	ca := pki.NewCA("keys")
	var hello tls.ClientHelloInfo
	var headers http.Header
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers = r.Header
		fmt.Fprint(w, `{"keys":[]}`)
	}))
	server.TLS = &tls.Config{
		Certificates:       []tls.Certificate{ca.Server("localhost", "127.0.0.1").TLS},
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { hello = *h; return nil, nil },
	}
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	for _, host := range []string{"localhost", "127.0.0.1"} {
		r := urlRealm(server)
		r.PKCJWKSetPath = "https://" + net.JoinHostPort(host, port) + "/jwks.json"
		r.SSL.CertificateAuthorities = ca.Pool()
		_, err = NewHandler(Config{Realms: []Realm{r}})
		require.NoError(t, err)
		require.Empty(t, hello.ServerName)
		require.Empty(t, hello.SupportedProtos)
		require.Equal(t, http.Header{"User-Agent": {"esrealm"}}, headers,
			"no Accept, no If-None-Match, no Accept-Encoding")
	}
}

func TestAFileIsBelowTheConfigFolderOrAbsolute(t *testing.T) {
	key := newSigner(t, "k")
	dir := t.TempDir()
	path := filepath.Join(dir, "jwks.json")
	require.NoError(t, os.WriteFile(path, []byte(keySetOf(t, key)), 0o600))
	for _, configured := range []string{"jwks.json", path} {
		r := hmacRealm()
		r.HMACKey, r.AllowedSignatureAlgorithms, r.PKCJWKSetPath = "", []string{"ES256"}, configured
		n := newTestNode(t, Config{Realms: []Realm{r}, ConfigDir: dir})
		require.Equal(t, http.StatusOK, authenticate(n, key.token(t, nil)).Code)
	}
}

func testLoader(fetch func(context.Context) ([]byte, error)) *keyLoader {
	return &keyLoader{
		fetch:   fetch,
		parse:   func(b []byte) (*keySet, error) { return parseKeySet(b, pkcAlgorithms, false) },
		changed: func() {},
	}
}

func TestParallelReloadsAreOneFetch(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		fetches := 0
		l := testLoader(func(context.Context) ([]byte, error) {
			fetches++
			time.Sleep(time.Second)
			return []byte(`{"keys":[]}`), nil
		})
		results := make(chan error, 10)
		for range 10 {
			go func() { results <- l.reload(t.Context()) }()
		}
		for range 10 {
			require.NoError(t, <-results)
		}
		require.Equal(t, 1, fetches)
		require.NoError(t, l.reload(t.Context()))
		require.Equal(t, 2, fetches)
	})
}

func TestAWaitingRequestThatIsGivenUpLeavesTheFetchToOthers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := testLoader(func(ctx context.Context) ([]byte, error) {
			time.Sleep(time.Second)
			return []byte(`{"keys":[]}`), ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, l.reload(ctx), context.DeadlineExceeded)
		require.NoError(t, l.reload(t.Context()))
	})
}

// A node that reads its set from a file never reads it again after a failure:
// whoever needs it waits. Seen on 8.17.0 and 9.2.0.
func TestAFailedReloadOfAFileIsTheLast(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var broken error
		l := testLoader(func(context.Context) ([]byte, error) { return []byte(`{"keys":[]}`), broken })
		l.sticks = true
		require.NoError(t, l.reload(t.Context()))
		broken = errors.New("no such file")
		require.ErrorIs(t, l.reload(t.Context()), broken)
		broken = nil
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.Error(t, l.reload(ctx))
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
	})
}
