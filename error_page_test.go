package esjwt_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAnErrorPageHasNoCredentials: what the handler has let in is over when it returns. An error page that comes from
// the cluster must carry neither the token nor what the client sent itself. The transport elasticsearch_jwt does not
// even ask the cluster for it.
func TestAnErrorPageHasNoCredentials(t *testing.T) {
	withErrorPage := func(settings, transport string) string {
		return strings.NewReplacer("{{settings}}", settings, "{{site}} {", `&(cluster) {
	reverse_proxy {{upstream}} {
		transport `+transport+`
	}
}
{{site}} {`, "	reverse_proxy {{upstream}}\n", `	reverse_proxy 127.0.0.1:1
	invoke /never cluster
	handle_errors {
		invoke cluster
	}
`).Replace(minimal)
	}
	for transport, status := range map[string]int{"http": http.StatusOK, "elasticsearch_jwt": http.StatusBadGateway} {
		requireNone := func(t *testing.T, s *scene, a answer) {
			t.Helper()
			require.Equal(t, status, a.StatusCode, a.body)
			if status != http.StatusOK {
				require.Contains(t, a.body, "not_admitted")
				require.Contains(t, a.body, "handle_errors")
				s.upstream.requireNone(t)
				return
			}
			r := s.upstream.last(t)
			require.Empty(t, r.Header["Authorization"])
			require.Empty(t, r.Header["Es-Client-Authentication"])
		}
		t.Run(transport+" of a client that was let in", func(t *testing.T) {
			s := newSceneOf(t, withErrorPage("", transport))
			requireNone(t, s, s.get(s.httpClient(s.clients.client("alice", "analysts")), "/"))
		})
		t.Run(transport+" of a client with credentials of its own", func(t *testing.T) {
			s := newSceneOf(t, withErrorPage("certificate optional", transport))
			requireNone(t, s, s.get(s.httpClient(), "/", "Authorization", "Basic YTpi", "ES-Client-Authentication", "SharedSecret own"))
		})
		t.Run(transport+" of a client that was refused", func(t *testing.T) {
			s := newSceneOf(t, withErrorPage("", transport))
			requireNone(t, s, s.get(s.httpClient(), "/", "Authorization", "Basic YTpi"))
		})
	}
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
