package esjwt_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// partFor is the list of certificates with the given CRL distribution point.
func partFor(t testing.TB, a *authority, uri string, nextUpdate time.Time, revoked ...*x509.Certificate) []byte {
	t.Helper()
	type name struct {
		FullName []asn1.RawValue `asn1:"tag:0"`
	}
	point, err := asn1.Marshal(struct {
		Name name `asn1:"tag:0"`
	}{name{[]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(uri)}}}})
	require.NoError(t, err)
	template := &x509.RevocationList{
		Number: nextSerial(), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: nextUpdate,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: point}},
	}
	for _, cert := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: template.ThisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	require.NoError(t, err)
	return der
}

// TestACertificateThatNoListCoversIsRefused, whatever the lists are instead: for a certificate with
// another address (RFC 5280 section 6.3.3 (b)(2), smallstep/certificates#1770), or of the
// authority's other key (NIST PKITS 4.5.4 and 4.5.5).
func TestACertificateThatNoListCoversIsRefused(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	renewed := newAuthority(t, "clients authority") // the same with a new key
	issue := func(uris ...string) *x509.Certificate {
		return ca.issue(x509.Certificate{Subject: pkix.Name{CommonName: "alice"}, CRLDistributionPoints: uris}).Leaf
	}
	alice, anywhere := issue("http://ca.lan/1.0/crl"), issue()
	day, past := time.Now().Add(24*time.Hour), time.Now().Add(-time.Second)
	const good, bad = "alice []", "refused: revoked"

	tests := map[string]struct {
		client        *x509.Certificate
		lists         [][]byte
		want, lenient string // lenient: with crl_stale allow
	}{
		"its address":           {alice, [][]byte{partFor(t, ca, "http://ca.lan/1.0/crl", day)}, good, good},
		"https instead of http": {alice, [][]byte{partFor(t, ca, "https://ca.lan/1.0/crl", day)}, bad, good},
		"the same, out of date": {alice, [][]byte{partFor(t, ca, "https://ca.lan/1.0/crl", past)}, bad, good},
		"the same, with the client": {
			alice, [][]byte{partFor(t, ca, "https://ca.lan/1.0/crl", past, alice)}, bad, bad,
		},
		"beside the list of all": {
			alice, [][]byte{partFor(t, ca, "https://ca.lan/1.0/crl", day), revocationList(t, ca, day)}, good, good,
		},
		"beside the list of all, out of date": {
			alice, [][]byte{partFor(t, ca, "https://ca.lan/1.0/crl", day), revocationList(t, ca, past)}, bad, good,
		},
		"no address in the certificate":  {anywhere, [][]byte{partFor(t, ca, "http://ca.lan/1.0/crl", day)}, bad, good},
		"the other key":                  {alice, [][]byte{revocationList(t, renewed, day)}, bad, good},
		"the other key, with the client": {alice, [][]byte{revocationList(t, renewed, day, alice)}, bad, bad},
		"its own key for others alone, the other key with the client": { // 4.5.5
			alice, [][]byte{partFor(t, ca, "http://ca.lan/own", day), revocationList(t, renewed, day, alice)}, bad, bad,
		},
		"both keys, the other with the client": {
			alice, [][]byte{revocationList(t, ca, day), revocationList(t, renewed, day, alice)}, bad, bad,
		},
		"both keys": {alice, [][]byte{revocationList(t, ca, day), revocationList(t, renewed, day)}, good, good},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var files []string
			var bundle []byte
			for i, list := range tt.lists {
				files = append(files, filepath.Join(dir, fmt.Sprintf("%d.crl", i)))
				require.NoError(t, os.WriteFile(files[i], list, 0o600))
				bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list})...)
			}
			together := filepath.Join(dir, "all.pem")
			require.NoError(t, os.WriteFile(together, bundle, 0o600))
			for _, names := range [][]string{files, {together}} {
				crl := `,"crl":["` + strings.Join(names, `","`) + `"]`
				require.Equal(t, tt.want, identityOf(configured(t, crl), referenceRequest(tt.client, ca.cert)))
				require.Equal(t, tt.lenient, identityOf(configured(t, crl+`,"crl_stale":"allow"`),
					referenceRequest(tt.client, ca.cert)))
			}
		})
	}
}

// TestAForgedAnswerIsOverWhenTheGoodOneIsBack: an answer of a list's URL that nobody known has signed
// refuses nobody whom the good list covers, lets nobody in, and leaves nothing behind.
func TestAForgedAnswerIsOverWhenTheGoodOneIsBack(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	impostor := newAuthority(t, "clients authority")
	alice, eve := ca.client("alice").Leaf, ca.client("eve").Leaf
	day := time.Now().Add(24 * time.Hour)
	good := revocationList(t, ca, day, eve)
	broken, brokenPart := revocationList(t, ca, day), partFor(t, ca, "http://ca.lan/1.0/crl", day, alice)
	broken[len(broken)-1] ^= 1
	brokenPart[len(brokenPart)-1] ^= 1
	answers := map[string][]byte{
		"a broken signature":      broken,
		"an impostor's":           revocationList(t, impostor, day),
		"one that names clients":  revocationList(t, impostor, day, alice),
		"one of another scope":    partFor(t, impostor, "http://ca.lan/1.0/crl", day, alice),
		"a broken one of another": brokenPart,
		"a web page":              []byte("<html>"),
	}
	for name, forged := range answers {
		for _, first := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				var now atomic.Pointer[[]byte]
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_,
						_ = w.Write(*now.Load())
				}))
				defer server.Close()
				// Each load of a configuration asks the URL, and the lists outlive it.
				fetch := func(list []byte) *esjwt.Handler {
					now.Store(&list)
					h := configured(t, `,"crl":["`+server.URL+`"]`)
					identityOf(h, referenceRequest(alice, ca.cert))
					return h
				}
				if first {
					fetch(forged)
				}
				for _, list := range [][]byte{good, forged, good, forged, forged, good} {
					h := fetch(list)
					require.Eventually(t, func() bool {
						return identityOf(h, referenceRequest(alice, ca.cert)) == "alice []"
					}, time.Minute, 10*time.Millisecond)
					require.Equal(t, "refused: revoked", identityOf(h, referenceRequest(eve, ca.cert)))
				}
			})
		}
	}
}

// TestAWarningOfAnOldListHasDatesThatCanBeRead, and no <nil> where the list has no number.
func TestAWarningOfAnOldListHasDatesThatCanBeRead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		file := filepath.Join("internal", "crl", "testdata", "v1.pem") // without a number, and of long ago
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		time.Sleep(150 * 365 * 24 * time.Hour)
		r := startReplica(t, replicaConfig{handler: `,"crl":["` + writeFile(t, "old.crl", content) + `"]`})
		synctest.Wait()
		require.Contains(t, r.logs.String(), "a revocation list is out of date")
		require.Regexp(t, `"next_update": ?"\d{4}-\d\d-\d\dT`, r.logs.String())
		require.NotContains(t, r.logs.String(), "nil")
	})
}
