package esjwt_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// watchedPool holds an authority, and calls a function whenever a chain to it is verified.
func watchedPool(a *authority, verified func() error) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCertWithConstraint(a.cert, func([]*x509.Certificate) error { return verified() })
	return pool
}

// TestARefusedCertificateIsLookedAtOnce: verifying one costs much more than sending it, so what one
// request has found out counts for all on its connection, at the same time or later, until something
// changes on which it rests.
func TestARefusedCertificateIsLookedAtOnce(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	eve := ca.client("eve").Leaf
	stale := ca.write("stale.crl", revocationList(t, ca, time.Now().Add(-time.Second)))
	tests := []struct {
		name, settings string
		leaf           *x509.Certificate
		verified       error
		want           string
	}{
		{"denied", `,"deny":["` + ca.write("denied.txt", []byte("subject CN=eve\n")) + `"]`, eve, nil, "refused: revoked"},
		{
			"revoked", `,"crl":["` + ca.write("clients.crl", revocationList(t, ca, time.Now().Add(time.Hour), eve)) + `"]`, eve,
			nil, "refused: revoked",
		},
		{"of an authority whose list is out of date", `,"crl":["` + stale + `"]`, eve, nil, "refused: revoked"},
		{
			"without a name", "", ca.issue(x509.Certificate{Subject: pkix.Name{Organization: []string{"eve"}}}).Leaf, nil,
			"refused: no_principal",
		},
		{"with a group that is none", "", ca.client("eve", "a=b,c").Leaf, nil, "refused: invalid_group"},
		{"not trusted", "", eve, errors.New("not trusted"), "refused: unverified"},
		{"let in", "", eve, nil, "eve []"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var looked atomic.Int64
			pool := func() *x509.CertPool {
				return watchedPool(ca, func() error {
					looked.Add(1)
					return tt.verified
				})
			}
			changing.Store(pool())
			h := configured(t, `,"trust_pool":{"provider":"test_changing"}`+tt.settings)
			r := referenceRequest(tt.leaf, ca.cert)
			many := func() {
				t.Helper()
				var wg sync.WaitGroup
				for range 100 {
					mine := referenceRequest(tt.leaf, ca.cert)
					mine.TLS = r.TLS
					wg.Go(func() {
						if got := identityOf(h, mine); got != tt.want {
							t.Errorf("%s, not %s", got, tt.want)
						}
					})
				}
				wg.Wait()
			}
			many()
			many()
			require.Equal(t, int64(1), looked.Load())
			changing.Store(pool())
			many()
			require.Equal(t, int64(2), looked.Load(), "the authorities are others")
			r = referenceRequest(tt.leaf, ca.cert)
			many()
			require.Equal(t, int64(3), looked.Load(), "it is another connection")
		})
	}
}

// TestARefusalIsForgottenWhenItCanBeOtherwise: at once when a file changes, at the instant when a
// certificate becomes valid, and after a minute in any case.
func TestARefusalIsForgottenWhenItCanBeOtherwise(t *testing.T) {
	for _, own := range []bool{true, false} {
		bubble.Test(t, func(t *testing.T) {
			ca := newAuthority(t, "clients authority")
			var looked atomic.Int64
			trust := ""
			if own {
				trust = `,"trust_pool":{"provider":"test_changing"}`
				changing.Store(watchedPool(ca, func() error {
					looked.Add(1)
					return nil
				}))
			}
			file := filepath.Join(t.TempDir(), "denied.txt")
			require.NoError(t, os.WriteFile(file, []byte("subject CN=eve\n"), 0o600))
			h := configured(t, trust+`,"deny":["`+file+`"]`)
			eve := referenceRequest(ca.client("eve").Leaf, ca.cert)
			require.Equal(t, "refused: revoked", identityOf(h, eve))
			require.NoError(t, os.WriteFile(file, nil, 0o600))
			eventuallyIn(t, 15*time.Second, func() bool { return identityOf(h, eve) == "eve []" })
			require.NoError(t, os.WriteFile(file, []byte("subject CN=eve\n"), 0o600))
			eventuallyIn(t, 15*time.Second, func() bool { return identityOf(h, eve) == "refused: revoked" })

			before := looked.Load()
			for range 50 {
				time.Sleep(time.Second)
				require.Equal(t, "refused: revoked", identityOf(h, eve))
			}
			require.Equal(t, before, looked.Load())
			time.Sleep(15 * time.Second)
			require.Equal(t, "refused: revoked", identityOf(h, eve))
			if own {
				require.Equal(t, before+1, looked.Load(), "a minute is over")
			}

			soon := time.Now().Add(10 * time.Second)
			early := referenceRequest(ca.issue(x509.Certificate{Subject: pkix.Name{CommonName: "early"}, NotBefore: soon}).Leaf,
				ca.cert)
			for time.Now().Before(soon) {
				require.Equal(t, "refused: expired", identityOf(h, early))
				time.Sleep(time.Second)
			}
			require.Equal(t, "early []", identityOf(h, early))
		})
	}
}

// TestARefusalEndsWhenAnotherChainBegins: of an authority with two certificates, one is denied and the
// other is not valid yet.
func TestARefusalEndsWhenAnotherChainBegins(t *testing.T) {
	for _, trust := range []string{"", `,"trust_pool":{"provider":"test_changing"}`} {
		bubble.Test(t, func(t *testing.T) {
			root, key := newAuthority(t, "root"), newAuthority(t, "issuing authority").key
			changing.Store(root.pool())
			issuing := func(from time.Time) *x509.Certificate {
				template := &x509.Certificate{
					SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: "issuing authority"}, NotBefore: from,
					NotAfter: from.Add(24 * time.Hour),
					IsCA:     true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
				}
				der, err := x509.CreateCertificate(rand.Reader, template, root.cert, key.Public(), root.key)
				require.NoError(t, err)
				return parsed(t, der)
			}
			soon := time.Now().Add(10 * time.Second)
			now, then := issuing(time.Now().Add(-time.Hour)), issuing(soon)
			h := configured(t, trust+`,"deny":["`+root.write("denied.txt",
				[]byte("serial 0x"+now.SerialNumber.Text(16)+" issuer CN=root\n"))+`"]`)
			alice := (&authority{t: t, cert: now, key: key, dir: t.TempDir()}).client("alice").Leaf
			r := referenceRequest(alice, now)
			r.TLS.PeerCertificates = []*x509.Certificate{alice, now, then}
			r.TLS.VerifiedChains = [][]*x509.Certificate{{alice, now, root.cert}, {alice, then, root.cert}}
			for time.Now().Before(soon) {
				require.Equal(t, "refused: revoked", identityOf(h, r))
				time.Sleep(time.Second)
			}
			require.Equal(t, "alice []", identityOf(h, r))
		})
	}
}

// eventuallyIn asks every second until something is so, for so long at most.
func eventuallyIn(t *testing.T, limit time.Duration, is func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !is(); time.Sleep(time.Second) {
		require.True(t, time.Now().Before(end), "it should be so by now")
	}
}

// TestARefusalByAListFromTheFutureEndsWhenTheListBegins.
func TestARefusalByAListFromTheFutureEndsWhenTheListBegins(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "clients authority")
		list := revocationListFrom(t, ca, time.Now().Add(5*time.Minute+10*time.Second), time.Now().Add(time.Hour))
		h := configured(t, `,"crl":["`+ca.write("clients.crl", list)+`"]`)
		alice := referenceRequest(ca.client("alice").Leaf, ca.cert)
		for range 10 {
			require.Equal(t, "refused: revoked", identityOf(h, alice))
			time.Sleep(time.Second)
		}
		require.Equal(t, "alice []", identityOf(h, alice))
	})
}

// TestKnownClientsWaitForNobody, though all are busy with certificates that take their time; a new
// one waits no longer than it wants to.
func TestKnownClientsWaitForNobody(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	known := referenceRequest(ca.client("known").Leaf, ca.cert)
	var slow atomic.Bool
	busy, goOn := make(chan struct{}, 100), make(chan struct{})
	changing.Store(watchedPool(ca, func() error {
		if slow.Load() {
			busy <- struct{}{}
			<-goOn
		}
		return nil
	}))
	h := configured(t, `,"trust_pool":{"provider":"test_changing"}`)
	require.Equal(t, "known []", identityOf(h, known))

	slow.Store(true)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(goOn)
	places := max(1, runtime.GOMAXPROCS(0)/2)
	for range places + 5 {
		stranger := referenceRequest(ca.client("stranger").Leaf, ca.cert)
		wg.Go(func() { _ = identityOf(h, stranger) })
	}
	for range places {
		<-busy
	}
	require.Equal(t, "known []", identityOf(h, known))
	slow.Store(false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := h.ServeHTTP(httptest.NewRecorder(), referenceRequest(ca.client("new").Leaf, ca.cert).WithContext(ctx), nothing)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, busy, "only so many are looked at")
}
