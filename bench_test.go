package esjwt_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// BenchmarkHotPath is the cost of a request of a client that has been here before.
func BenchmarkHotPath(b *testing.B) {
	clients := newAuthority(b, "clients authority")
	leaf := referenceCertificate(clients, "alice")
	h := newHandler(b, benchConfig, "")
	w := httptest.NewRecorder()
	warmUp(b, h, referenceRequest(leaf, clients.cert))

	b.Run("next alone", func(b *testing.B) {
		r := referenceRequest(leaf, clients.cert)
		var next caddyhttp.Handler = nothing
		b.ReportAllocs()
		for b.Loop() {
			_ = next.ServeHTTP(w, r)
		}
	})
	b.Run("identity and injection", func(b *testing.B) {
		r := referenceRequest(leaf, clients.cert)
		b.ReportAllocs()
		for b.Loop() {
			if err := h.ServeHTTP(w, r, nothing); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("with user id, metrics and log fields", func(b *testing.B) {
		r, fields := inCaddy(referenceRequest(leaf, clients.cert))
		b.ReportAllocs()
		for b.Loop() {
			*fields = caddyhttp.ExtraLogFields{} // a new one for each request, as in Caddy's server
			if err := h.ServeHTTP(w, r, nothing); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			w := httptest.NewRecorder()
			r := referenceRequest(leaf, clients.cert)
			for pb.Next() {
				if err := h.ServeHTTP(w, r, nothing); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// warmUp has a handler serve a request. The first one waits for the signing key to be made.
func warmUp(b *testing.B, h *esjwt.Handler, r *http.Request) {
	b.Helper()
	require.NoError(b, h.ServeHTTP(httptest.NewRecorder(), r, nothing))
}

// BenchmarkFirstRequest is the cost of the first request of a client, beside its signature
// with the same key. The two take turns, so that both see the same machine.
func BenchmarkFirstRequest(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256"} {
		b.Run(alg, func(b *testing.B) {
			clients := newAuthority(b, "clients authority")
			key, file := signingKey(b, alg)
			h := newHandler(b, benchConfig, `{"source":"file","algorithm":"`+alg+`","files":["`+file+`"]}`)
			benchmarkFirstRequest(b, h, key, referenceCertificate(clients, "alice"), clients.cert)
		})
	}
}

// loaded is the configuration of BenchmarkLoadedFirstRequest: what a site has that came from a PKI
// realm with years of users in it.
type loaded struct {
	name, settings string
}

// loadedConfigs are ten claims, a role mapping with 10,000 names and a revocation list with 100,000
// serial numbers: all together, and each alone.
func loadedConfigs(b *testing.B, clients *authority, template *x509.Certificate) []loaded {
	b.Helper()
	claims := `"claims":{
		"email":"{cert.san.email}","host":"{cert.san.dns}","unit":"{cert.ou}","country":"{cert.c}",
		"dn":"{cert.dn}","serial":"{cert.serial}","issued_by":"{cert.issuer.cn}",
		"label":"{cert.cn} of {cert.ou}","environment":"production","tags":["{cert.o}","client"]}`
	mapping := `"role_mapping":"` + clients.write("role_mapping.yml", roleMappingOf(b, template, 10_000)) + `"`
	list := `"crl":["` + clients.write("clients.crl", bigRevocationList(b, clients, 100_000)) + `"]`
	return []loaded{
		{"all", "," + claims + "," + mapping + "," + list},
		{"ten claims", "," + claims},
		{"role mapping of 10,000", "," + mapping},
		{"CRL of 100,000", "," + list},
	}
}

// roleMappingOf has the names of that many renamed certificates in a hundred roles.
func roleMappingOf(b *testing.B, template *x509.Certificate, names int) []byte {
	b.Helper()
	const roles = 100
	var file bytes.Buffer
	for role := range roles {
		fmt.Fprintf(&file, "role-%d:\n", role)
		for i := role; i < names; i += roles {
			name, err := x500.Parse(renamed(b, template, i).RawSubject)
			require.NoError(b, err)
			fmt.Fprintf(&file, "  - %q\n", name.String())
		}
	}
	return file.Bytes()
}

// bigRevocationList has that many certificates of an authority on it, with random serial numbers.
func bigRevocationList(b *testing.B, a *authority, revoked int) []byte {
	b.Helper()
	certs := make([]*x509.Certificate, revoked)
	for i := range certs {
		serial := make([]byte, 16)
		_, _ = rand.Read(serial)
		certs[i] = &x509.Certificate{SerialNumber: new(big.Int).SetBytes(serial)}
	}
	return revocationList(b, a, time.Now().Add(24*time.Hour), certs...)
}

// BenchmarkLoadedFirstRequest is BenchmarkFirstRequest for a client of which more must be found out.
func BenchmarkLoadedFirstRequest(b *testing.B) {
	clients := newAuthority(b, "clients authority")
	template := referenceCertificate(clients, "alice")
	key, file := signingKey(b, "RS256")
	for _, config := range loadedConfigs(b, clients, template) {
		b.Run(config.name, func(b *testing.B) {
			h := newHandler(b, benchConfigWith(config.settings), `{"source":"file","algorithm":"RS256","files":["`+file+`"]}`)
			benchmarkFirstRequest(b, h, key, template, clients.cert)
			who := identityOf(h, referenceRequest(renamed(b, template, 7), clients.cert))
			require.Equal(b, strings.Contains(config.settings, "role_mapping"), strings.Contains(who, "role-7"), who)
		})
	}
}

// BenchmarkLoadedHotPath is BenchmarkHotPath with the same configuration: it is decided by then.
func BenchmarkLoadedHotPath(b *testing.B) {
	clients := newAuthority(b, "clients authority")
	template := referenceCertificate(clients, "alice")
	plain := loaded{name: "plain"}
	for _, config := range []loaded{plain, loadedConfigs(b, clients, template)[0]} {
		b.Run(config.name, func(b *testing.B) {
			h := newHandler(b, benchConfigWith(config.settings), "")
			w := httptest.NewRecorder()
			r := referenceRequest(renamed(b, template, 1), clients.cert)
			warmUp(b, h, r)
			b.ReportAllocs()
			for b.Loop() {
				if err := h.ServeHTTP(w, r, nothing); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchConfigWith(settings string) string {
	return strings.TrimSuffix(benchConfig, "}") + settings + "}"
}

// benchmarkFirstRequest has new clients, with copies of a certificate, ask one after the other.
func benchmarkFirstRequest(b *testing.B, h *esjwt.Handler, key crypto.Signer, template, ca *x509.Certificate) {
	b.Helper()
	const batch = 200
	w := httptest.NewRecorder()
	digest := sha256.Sum256([]byte("payload"))
	var requests []*http.Request
	var whole, bare time.Duration
	for i := 0; b.Loop(); i++ {
		if i%batch == 0 {
			requests = requests[:0]
			for n := range batch {
				requests = append(requests, referenceRequest(renamed(b, template, i+n), ca))
			}
		}
		began := time.Now()
		if err := h.ServeHTTP(w, requests[i%batch], nothing); err != nil {
			b.Fatal(err)
		}
		answered := time.Now()
		if _, err := key.Sign(nil, digest[:], crypto.SHA256); err != nil {
			b.Fatal(err)
		}
		whole += answered.Sub(began)
		bare += time.Since(answered)
	}
	b.ReportMetric(0, "ns/op") // of both: says nothing
	b.ReportMetric(float64(whole.Nanoseconds())/float64(b.N), "ns/request")
	b.ReportMetric(float64(bare.Nanoseconds())/float64(b.N), "ns/signature")
	b.ReportMetric(float64(whole)/float64(bare), "requests/signature")
}

// signingKey makes a key and a PEM file of it.
func signingKey(b *testing.B, alg string) (crypto.Signer, string) {
	b.Helper()
	var key crypto.Signer
	var err error
	if alg == "RS256" {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	require.NoError(b, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(b, err)
	file := filepath.Join(b.TempDir(), "key.pem")
	require.NoError(b, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	return key, file
}

// BenchmarkMemory is how much memory the clients that are remembered take, while their
// connections live. The certificates themselves belong to the connections.
func BenchmarkMemory(b *testing.B) {
	const clientCount = 100_000
	clients := newAuthority(b, "clients authority")
	h := newHandler(b, benchConfig, `{"source":"storage","algorithm":"ES256"}`)
	w := httptest.NewRecorder()
	template := referenceCertificate(clients, "client")
	for b.Loop() {
		connections := make([]*tls.ConnectionState, clientCount)
		for i := range connections {
			connections[i] = referenceRequest(renamed(b, template, i), clients.cert).TLS
		}
		before := heap()
		r := referenceRequest(template, clients.cert)
		for _, r.TLS = range connections {
			if err := h.ServeHTTP(w, r, nothing); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/clientCount, "B/client")
		runtime.KeepAlive(connections)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
