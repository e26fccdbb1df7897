package esjwt_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAnErrorPageHasNoCredentials: what the handler has let in is over when it returns. An error page that comes from
// the cluster, through the transport, must carry neither the shared secret nor what the client sent itself.
func TestAnErrorPageHasNoCredentials(t *testing.T) {
	secret := writeFile(t, "secret", []byte("hunter2hunter2hunter2"))
	site := strings.Replace(minimal, "	reverse_proxy {{upstream}}\n", `	reverse_proxy 127.0.0.1:1 {
		transport elasticsearch_jwt
	}
	handle_errors {
		reverse_proxy {{upstream}} {
			transport elasticsearch_jwt {
				shared_secret {file.`+secret+`}
			}
		}
	}
`, 1)
	requireNone := func(t *testing.T, s *scene) {
		t.Helper()
		r := s.upstream.last(t)
		require.Empty(t, r.Header["Authorization"])
		require.Empty(t, r.Header["Es-Client-Authentication"])
	}
	t.Run("of a client that was let in", func(t *testing.T) {
		s := newSceneOf(t, strings.Replace(site, "		{{settings}}\n", "", 1))
		s.get(s.httpClient(s.clients.client("alice", "analysts")), "/")
		requireNone(t, s)
	})
	t.Run("of a client with credentials of its own", func(t *testing.T) {
		s := newSceneOf(t, strings.Replace(site, "{{settings}}", "certificate optional", 1))
		s.get(s.httpClient(), "/", "Authorization", "Basic YTpi", "ES-Client-Authentication", "SharedSecret own")
		requireNone(t, s)
	})
}

// TestWhatTLSVerifiedMustBeForClients: whoever verified a certificate, one for servers alone is nobody here.
func TestWhatTLSVerifiedMustBeForClients(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	cert := ca.issue(x509.Certificate{
		Subject: pkix.Name{CommonName: "eve"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	got := identityOf(configured(t, ""), referenceRequest(cert.Leaf, ca.cert))
	require.Contains(t, got, "refused")
}

// TestASPIFFEIDBesideAnotherURIIsNone, by the SPIFFE X.509-SVID standard, section 2.
func TestASPIFFEIDBesideAnotherURIIsNone(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	cert := ca.issue(x509.Certificate{
		Subject: pkix.Name{CommonName: "eve"},
		URIs: []*url.URL{
			{Scheme: "spiffe", Host: "example.org", Path: "/admin"}, {Scheme: "https", Host: "eve.example.org"},
		},
	})
	h := configured(t, `,"principal":"{cert.spiffe_id}","groups":["off"]`)
	require.Contains(t, identityOf(h, referenceRequest(cert.Leaf, ca.cert)), "refused")
}

// TestAHeaderNameHasNoWildcard: "X-*" would be taken for a pattern of the headers that a client must not set.
func TestAHeaderNameHasNoWildcard(t *testing.T) {
	for _, name := range []string{"*", "X-*"} {
		_, err := tryReplica(t, replicaConfig{handler: `,"headers":{"` + name + `":"x {jwt}"}`})
		require.ErrorContains(t, err, "it is not a header name")
	}
}
