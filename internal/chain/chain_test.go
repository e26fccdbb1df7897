package chain_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/chain"
)

// party is an authority or a client.
type party struct {
	name string
	key  crypto.Signer
}

var serial atomic.Int64

// certify makes a certificate for the name and key of a subject, signed by p.
func (p party) certify(t testing.TB, subject party, change ...func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: subject.name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	for _, c := range change {
		c(template)
	}
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: p.name}}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, subject.key.Public(), p.key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

func leaf(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = false, false, x509.KeyUsageDigitalSignature
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
}

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

func newParty(t testing.TB, name string) party {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return party{name, key}
}

func poolOf(certs ...*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool
}

// plain calls crypto/x509 itself. In FIPS 140-3 mode, it would refuse the curve that counts.
func plain(sent []*x509.Certificate, pool *x509.CertPool) (chains [][]*x509.Certificate, err error) {
	fips140.WithoutEnforcement(func() {
		chains, err = sent[0].Verify(x509.VerifyOptions{
			Roots: pool, Intermediates: poolOf(sent[1:]...), CurrentTime: time.Now(),
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
	})
	return chains, err
}

// counting is a curve. It counts the signatures that are checked with its keys.
type counting struct {
	elliptic.Curve
	checks *atomic.Int64
}

// Params returns a copy of the curve's parameters, so that crypto/ecdsa calls the methods of counting.
func (c counting) Params() *elliptic.CurveParams {
	c.checks.Add(1)
	params := *c.Curve.Params()
	return &params
}

// junk returns nine useless intermediates. One has the name and key of the real authority, and is signed
// by one of eight issuers, which have the same name and have certified each other.
func junk(t testing.TB, authority party, checks *atomic.Int64) []*x509.Certificate {
	t.Helper()
	var issuers []party
	for range 8 {
		key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		require.NoError(t, err)
		issuers = append(issuers, party{"junk", key})
	}
	certs := []*x509.Certificate{issuers[0].certify(t, authority)}
	for i := range issuers {
		cert := issuers[(i+1)%len(issuers)].certify(t, issuers[i])
		key := *cert.PublicKey.(*ecdsa.PublicKey)
		key.Curve = counting{key.Curve, checks}
		cert.PublicKey = &key
		certs = append(certs, cert)
	}
	return certs
}

// TestJunkCostsNothing: signatures are checked only with keys that an authority has certified. Otherwise
// a client could make Caddy check up to a hundred, each of which takes milliseconds.
func TestJunkCostsNothing(t *testing.T) {
	authority := newParty(t, "authority")
	pool := poolOf(authority.certify(t, authority))
	for name, issuer := range map[string]party{
		"a client": authority, "a stranger": {"authority", newParty(t, "").key},
		"of the web": {"junk", newParty(t, "").key},
	} {
		t.Run(name, func(t *testing.T) {
			checks := new(atomic.Int64)
			sent := append([]*x509.Certificate{issuer.certify(t, party{"alice", authority.key}, leaf)},
				junk(t, authority, checks)...)
			chains, err := chain.Verify(sent, pool, time.Now())
			require.Zero(t, checks.Load())
			_, plainErr := plain(sent, pool)
			require.Equal(t, plainErr == nil, err == nil)
			if name == "a client" {
				require.Len(t, chains, 1)
				require.Greater(t, checks.Load(), int64(50), "by crypto/x509 itself")
			}
		})
	}
}

// TestTheChainsAreThoseOfCryptoX509, no matter which authorities have certified each other, and in which
// order their certificates come.
func TestTheChainsAreThoseOfCryptoX509(t *testing.T) {
	var keys []crypto.Signer
	for range 6 {
		keys = append(keys, newParty(t, "").key)
	}
	good := 0
	for seed := range uint64(400) {
		rnd := mathrand.New(mathrand.NewPCG(seed, 0)) // the same each time
		var parties []party
		for _, key := range keys {
			parties = append(parties, party{fmt.Sprintf("authority %d", rnd.IntN(5)), key}) // some share a name
		}
		some := func() party { return parties[rnd.IntN(len(parties))] }
		changes := func(c *x509.Certificate) {
			switch rnd.IntN(12) {
			case 0:
				expired(c)
			case 1:
				c.MaxPathLen, c.MaxPathLenZero = 0, true
			case 2:
				c.MaxPathLen = 1
			case 3:
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			case 4:
				c.KeyUsage = x509.KeyUsageCRLSign
			case 5:
				c.IsCA = false
			case 6:
				c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.com"}, true
			case 7:
				c.DNSNames = []string{"a.example.org"}
			}
		}
		sent := []*x509.Certificate{some().certify(t, newParty(t, "alice"), leaf,
			func(c *x509.Certificate) { c.DNSNames = []string{"alice.example.com"} })}
		for range rnd.IntN(9) {
			sent = append(sent, some().certify(t, some(), changes))
		}
		pool := x509.NewCertPool()
		for range 1 + rnd.IntN(3) {
			if rnd.IntN(3) == 0 && len(sent) > 1 {
				pool.AddCert(sent[1+rnd.IntN(len(sent)-1)])
				continue
			}
			root := some()
			pool.AddCert(root.certify(t, root, changes))
		}
		want, wantErr := plain(sent, pool)
		got, err := chain.Verify(sent, pool, time.Now())
		require.Equal(t, wantErr == nil, err == nil, "seed %d: %v, %v", seed, wantErr, err)
		require.ElementsMatch(t, texts(want), texts(got), "seed %d", seed)
		if err == nil {
			good++
		}
	}
	require.Greater(t, good, 50)
	require.Less(t, good, 350)
}

// texts returns chains as lists of serial numbers.
func texts(chains [][]*x509.Certificate) []string {
	var all []string
	for _, certs := range chains {
		var b strings.Builder
		for _, c := range certs {
			fmt.Fprintf(&b, "%s ", c.SerialNumber)
		}
		all = append(all, b.String())
	}
	return all
}

// TestTheErrorSaysWhichIntermediateIsAtFault.
func TestTheErrorSaysWhichIntermediateIsAtFault(t *testing.T) {
	root, upper, lower, stranger := newParty(t, "root"), newParty(t, "upper"), newParty(t, "lower"),
		newParty(t, "stranger")
	alice := lower.certify(t, newParty(t, "alice"), leaf)
	upperCert, lowerCert := root.certify(t, upper), upper.certify(t, lower)
	critical := func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
	}
	encodedAnew := func(cert *x509.Certificate) *x509.Certificate {
		p := partsOf(t, cert.Raw)
		again, err := x509.ParseCertificate(sequence(0, p.TBS.FullBytes, p.Algorithm.FullBytes, marshal(t, p.Signature),
			[]byte{5, 0}))
		require.NoError(t, err)
		return again
	}
	for _, tt := range []struct {
		name string
		sent []*x509.Certificate
		want string
	}{
		{"nothing wrong", []*x509.Certificate{upperCert, lowerCert}, ""},
		{
			"one is missing",
			[]*x509.Certificate{lowerCert},
			`the intermediate certificate "CN=lower": x509: certificate signed by unknown authority`,
		},
		{"both are missing", nil, "x509: certificate signed by unknown authority"},
		{
			"one has expired",
			[]*x509.Certificate{upperCert, upper.certify(t, lower, expired)},
			`the intermediate certificate "CN=lower": x509: certificate has expired`,
		},
		{
			"the upper one has",
			[]*x509.Certificate{lowerCert, root.certify(t, upper, expired)},
			`the intermediate certificate "CN=upper": x509: certificate has expired`,
		},
		{
			"an extension that nobody knows",
			[]*x509.Certificate{lowerCert, root.certify(t, upper, critical)},
			`the intermediate certificate "CN=upper": x509: unhandled critical extension`,
		},
		{
			"of a stranger",
			[]*x509.Certificate{lowerCert, stranger.certify(t, upper)},
			`the intermediate certificate "CN=upper": x509: certificate signed by unknown authority`,
		},
		{
			"written anew",
			[]*x509.Certificate{encodedAnew(lowerCert), upperCert},
			`the intermediate certificate "CN=lower": the certificate is not encoded`,
		},
		{"written anew, and as it was", []*x509.Certificate{encodedAnew(lowerCert), upperCert, lowerCert}, ""},
		{
			"no authority", []*x509.Certificate{upperCert, upper.certify(t, lower,
				func(c *x509.Certificate) { c.IsCA = false })}, "parent certificate cannot sign this kind of certificate",
		},
		{
			"for servers",
			[]*x509.Certificate{
				lowerCert,
				root.certify(t, upper,
					func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
			},
			"incompatible key usage",
		},
		{
			"a fault that has nothing to do with it", []*x509.Certificate{lowerCert, root.certify(t, newParty(t, "other"),
				expired)}, `the intermediate certificate "CN=lower": x509: certificate signed by unknown authority`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chains, err := chain.Verify(slices.Concat([]*x509.Certificate{alice}, tt.sent), poolOf(root.certify(t, root)),
				time.Now())
			if tt.want == "" {
				require.NoError(t, err)
				require.Len(t, chains, 1)
				return
			}
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

// TestAnIntermediateCountsOnce, even if it is sent in several forms.
func TestAnIntermediateCountsOnce(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	root, issuing := party{"root", key}, newParty(t, "issuing")
	cert := root.certify(t, issuing)
	twin, err := x509.ParseCertificate(otherForms(t, cert.Raw, key.Public())["n-s"])
	require.NoError(t, err)
	sent := []*x509.Certificate{issuing.certify(t, newParty(t, "alice"), leaf), twin, cert, twin, cert}
	chains, err := chain.Verify(sent, poolOf(root.certify(t, root)), time.Now())
	require.NoError(t, err)
	require.Len(t, chains, 1)
	require.True(t, bytes.Equal(twin.RawTBSCertificate, chains[0][1].RawTBSCertificate))
}

// BenchmarkVerify verifies a client's certificate alone, and together with junk.
func BenchmarkVerify(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(b, err)
	authority := party{"authority", key}
	pool := poolOf(authority.certify(b, authority))
	alice := authority.certify(b, newParty(b, "alice"), leaf)
	web := junk(b, authority, new(atomic.Int64))
	for i, c := range web { // with their own keys
		web[i], err = x509.ParseCertificate(c.Raw)
		require.NoError(b, err)
	}
	for name, sent := range map[string][]*x509.Certificate{
		"alone":     {alice},
		"with junk": append([]*x509.Certificate{alice}, web...),
	} {
		for how, verify := range map[string]func() ([][]*x509.Certificate, error){
			"vetted":      func() ([][]*x509.Certificate, error) { return chain.Verify(sent, pool, time.Now()) },
			"crypto/x509": func() ([][]*x509.Certificate, error) { return plain(sent, pool) },
		} {
			b.Run(name+"/"+how, func(b *testing.B) {
				for b.Loop() {
					if _, err := verify(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
