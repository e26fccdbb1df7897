package esjwt_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/require"
)

// junk are nine intermediates without worth: one with an authority's name and key, and above it a
// web of issuers with large keys that have certified each other. crypto/x509 checks a hundred
// signatures for a client that sends them along.
func junk(t testing.TB, a *authority) []*x509.Certificate {
	t.Helper()
	web := make([]*authority, 8)
	for i := range web {
		key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		require.NoError(t, err)
		web[i] = newAuthorityWith(t, "an issuer", key)
	}
	day := time.Now().Add(24 * time.Hour)
	certs := []*x509.Certificate{web[0].certify(a, day)}
	for i := range web {
		certs = append(certs, web[(i+1)%len(web)].certify(web[i], day))
	}
	return certs
}

// TestJunkBesideACertificateChangesNothing: who has a certificate is let in with it, or is refused
// for what it is.
func TestJunkBesideACertificateChangesNothing(t *testing.T) {
	s := newSceneOf(t, ownPool, "{{settings}}", "deny "+writeFile(t, "denied.txt", []byte("subject CN=eve\n")))
	issuing := s.clients.intermediate("issuing authority")
	others := newAuthority(t, "another authority")
	web := junk(t, s.clients)
	require.Equal(t, "alice []", s.sends(along(s.clients.client("alice"), web...)))
	require.Equal(t, "revoked", s.sends(along(s.clients.client("eve"), web...)))
	require.Equal(t, "unverified", s.sends(along(others.client("alice"), web...)))
	require.Equal(t, "alice []", s.sends(along(issuing.client("alice"), append(web[:8:8], issuing.cert)...)))
	require.Equal(t, "unverified", s.sends(along(s.clients.client("alice"), append(web, issuing.cert)...)), "too many")
}

// BenchmarkBesideADeniedClient is how long a client waits for its answer while another has sixteen
// requests under way: one that is let in, which costs what requests cost, and one that is denied.
// With a pause between them there are 320 a second; without, they take all of the processors, which
// the three share.
func BenchmarkBesideADeniedClient(b *testing.B) {
	clients := newAuthority(b, "clients authority")
	alice, bob, eve := clients.client("alice"), clients.client("bob"), clients.client("eve")
	denied := clients.write("denied.txt", []byte("subject CN=eve\n"))
	h := newHandler(b, benchConfigWith(`,"trust_pool":{"provider":"file","pem_files":["`+clients.file()+`"]},"deny":["`+
		denied+`"]`), es256)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.WriteString(w, "hello")
			return err
		}))
		if _, refused := asRefusal(err); refused {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	client := func(cert tls.Certificate, anew bool) *http.Client {
		transport := server.Client().Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.GetClientCertificate = present([]tls.Certificate{cert})
		transport.MaxIdleConnsPerHost = 100
		transport.DisableKeepAlives = anew
		b.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
	get := func(ctx context.Context, client *http.Client) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			return 0, err
		}
		res, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode, err
	}
	web := junk(b, clients)
	for _, beside := range []struct {
		name  string
		cert  tls.Certificate
		want  int
		count int
		anew  bool
		pause time.Duration
	}{
		{"alone", bob, http.StatusOK, 0, false, 0},
		{"let in, with pauses", bob, http.StatusOK, 16, false, 50 * time.Millisecond},
		{"denied, with pauses", eve, http.StatusForbidden, 16, false, 50 * time.Millisecond},
		{"denied, with junk and pauses", along(eve, web...), http.StatusForbidden, 16, false, 50 * time.Millisecond},
		{"let in", bob, http.StatusOK, 16, false, 0},
		{"denied", eve, http.StatusForbidden, 16, false, 0},
		{"denied, with junk", along(eve, web...), http.StatusForbidden, 16, false, 0},
		{"let in, connecting anew", bob, http.StatusOK, 16, true, 0},
		{"denied, with junk, connecting anew", along(eve, web...), http.StatusForbidden, 16, true, 0},
	} {
		b.Run(beside.name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer cancel()
			for range beside.count {
				other := client(beside.cert, beside.anew)
				wg.Go(func() {
					for ctx.Err() == nil {
						if status, err := get(ctx, other); ctx.Err() == nil && (err != nil || status != beside.want) {
							b.Errorf("the other client: status %d, %v", status, err)
							return
						}
						time.Sleep(beside.pause)
					}
				})
			}
			mine := client(alice, false)
			_, err := get(ctx, mine)
			require.NoError(b, err)
			time.Sleep(time.Second) // the others are under way
			var waits []time.Duration
			for b.Loop() {
				began := time.Now()
				status, err := get(ctx, mine)
				waits = append(waits, time.Since(began))
				if err != nil || status != http.StatusOK {
					b.Fatal(fmt.Errorf("status %d: %w", status, err))
				}
			}
			slices.Sort(waits)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(waits[len(waits)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(waits[len(waits)*9/10].Microseconds()), "p90-us")
		})
	}
}
