package esjwt_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// metricsElsewhere is a site that asks for no certificate, with the metrics.
const metricsElsewhere = "https://other.example.com:{{port}} {\ntls {{tls}}\nmetrics /metrics\n}\n"

// TestAHandshakeThatEndsForTheCertificateIsSeen, in the metrics and the log: the client gets an alert, and nobody else
// hears of it.
func TestAHandshakeThatEndsForTheCertificateIsSeen(t *testing.T) {
	for _, mode := range []string{"verify_if_given", "require_and_verify"} {
		t.Run(mode, func(t *testing.T) {
			s := newSceneOf(t, strings.Replace(ecSite, "mode verify_if_given", "mode "+mode, 1)+metricsElsewhere)
			others := newAuthority(t, "another authority")
			template := func(subject string) x509.Certificate {
				return x509.Certificate{
					Subject:   pkix.Name{CommonName: subject},
					NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
				}
			}
			expired, future, forServers := template("expired"), template("future"), template("server")
			expired.NotAfter = time.Now().Add(-time.Minute)
			future.NotBefore = time.Now().Add(30 * time.Minute)
			forServers.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			for _, tt := range []struct {
				name   string
				certs  []tls.Certificate
				reason string
				says   string // in the log; "" if the log has said the same already
			}{
				{"of another authority", []tls.Certificate{others.client("eve")}, "unverified", "another authority"},
				{"expired", []tls.Certificate{s.clients.issue(expired)}, "expired", "has expired"},
				{"not valid yet", []tls.Certificate{s.clients.issue(future)}, "expired", ""},
				{"for servers", []tls.Certificate{s.clients.issue(forServers)}, "unverified", "extended key usage"},
				{"none", nil, "no_certificate", "client_auth insists on a certificate"},
			} {
				if tt.certs == nil && mode != "require_and_verify" {
					continue
				}
				for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
					sample := `refused_handshakes_total{reason="` + tt.reason + `"}`
					before, logged := s.onTheOtherSite()[sample], len(s.logs.String())
					client := s.httpClient(tt.certs...)
					client.Transport.(*http.Transport).TLSClientConfig.MinVersion = version
					client.Transport.(*http.Transport).TLSClientConfig.MaxVersion = version
					_, err := s.try(client, "/")
					require.Error(t, err, tt.name)
					eventually(t, func() bool { return s.onTheOtherSite()[sample] > before }, tt.name)
					require.Equal(t, before+1, s.onTheOtherSite()[sample], tt.name)
					if tt.says == "" || version == tls.VersionTLS13 {
						continue
					}
					var log string
					eventually(t, func() bool {
						log = s.logs.String()[logged:]
						return strings.Contains(log, `"logger":"http.handlers.elasticsearch_jwt"`)
					}, tt.name)
					require.Contains(t, log, "clients are being refused in the TLS handshake", tt.name)
					require.Contains(t, log, `"reason":"`+tt.reason+`"`, tt.name)
					require.Contains(t, log, tt.says, tt.name)
					require.Contains(t, log, `"server_name":"es.example.com"`, tt.name)
				}
			}
		})
	}
}

// onTheOtherSite reads the metrics on a site that asks for no certificate.
func (s *scene) onTheOtherSite() map[string]float64 {
	client := s.httpClient()
	client.Transport.(*http.Transport).TLSClientConfig.ServerName = "other.example.com"
	defer client.CloseIdleConnections()
	return s.metricsOf(client, "other.example.com")
}

// TestAHandshakeThatEndsForAnotherReasonIsNoRefusal: port scanners come every minute.
func TestAHandshakeThatEndsForAnotherReasonIsNoRefusal(t *testing.T) {
	s := newSceneOf(t, meteredSite)
	before := s.metrics()
	failed := func() int { return strings.Count(s.logs.String(), "TLS handshake error") }
	stranger := s.httpClient(s.clients.client("alice"))
	stranger.Transport.(*http.Transport).TLSClientConfig.RootCAs = x509.NewCertPool() // does not trust the site
	old := s.httpClient()
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS11
	old.Transport.(*http.Transport).TLSClientConfig.MinVersion = tls.VersionTLS10
	for _, client := range []*http.Client{stranger, old} {
		count := failed()
		_, err := s.try(client, "/")
		require.Error(t, err)
		eventually(t, func() bool { return failed() > count }, "Caddy has noticed")
	}
	require.Equal(t, http.StatusOK, s.get(s.httpClient(s.clients.client("alice")), "/").StatusCode)
	for _, reason := range []string{"no_certificate", "unverified", "expired"} {
		require.Zero(t, s.gained(before, `refused_handshakes_total{reason="`+reason+`"}`))
	}
	require.NotContains(t, s.logs.String(), "refused in the TLS handshake")
}

// TestACertificateThatNoHandshakeTakesIsSeenInEveryMode: crypto/tls reads it before anybody can ask for less.
func TestACertificateThatNoHandshakeTakesIsSeenInEveryMode(t *testing.T) {
	s := newSceneOf(t, ownPool+metricsElsewhere, "{{settings}}", "")
	const sample = `refused_handshakes_total{reason="unverified"}`
	before := s.onTheOtherSite()[sample]
	alice := s.clients.client("alice")
	alice.Certificate = [][]byte{append(slices.Clip(alice.Certificate[0]), 0)}
	_, err := s.try(s.httpClient(alice), "/")
	require.Error(t, err)
	eventually(t, func() bool { return s.onTheOtherSite()[sample] == before+1 }, "it counts")
	eventually(t, func() bool { return strings.Contains(s.logs.String(), "refused in the TLS handshake") }, "the log says so")
	require.Contains(t, s.logs.String(), "failed to parse client certificate")
	require.NotContains(t, s.logs.String(), "for an answer, set client_auth", "no mode would help")
}

// TestAuthoritiesInClientAuthAreNamedAndNotInsistedOn under `mode request`: a client that has several certificates
// chooses by them, and a stranger gets an answer all the same.
func TestAuthoritiesInClientAuthAreNamedAndNotInsistedOn(t *testing.T) {
	for hint, want := range map[string]int{"": 0, "trust_pool file {{clients}}": 1} {
		s := newSceneOf(t, strings.Replace(ownPool, "mode request", "mode request\n"+hint, 1), "{{settings}}", "")
		eve := newAuthority(t, "another authority").client("eve")
		client := s.httpClient()
		var named [][]byte
		config := client.Transport.(*http.Transport).TLSClientConfig
		config.GetClientCertificate = func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			named = asked.AcceptableCAs
			return &eve, nil
		}
		require.Equal(t, "unverified", s.seen(client, "/"))
		require.Len(t, named, want)
	}
}
