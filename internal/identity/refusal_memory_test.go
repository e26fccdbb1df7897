package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
)

// throwaway is a certificate that its holder has signed.
func throwaway(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

// missingLists are revocation lists that nobody has fetched yet. They count who asks for them.
type missingLists struct {
	asked   int
	version uint64
}

func (l *missingLists) Get() *crl.Lists {
	l.asked++
	return nil
}

func (l *missingLists) Version() uint64 { return l.version }

// TestARefusalIsRememberedWhoeverVerified: where the TLS layer did, there are the lists, the names and
// the claims to look at, and once is enough.
func TestARefusalIsRememberedWhoeverVerified(t *testing.T) {
	list := new(missingLists)
	id, err := New(new(Profile), new(Files), nil, 100)
	require.NoError(t, err)
	id.files.lists = []listSource{{"a list", list}}
	id.files.versions = []versioned{list}
	cert := throwaway(t, "eve")
	conn := &tls.ConnectionState{
		HandshakeComplete: true, ServerName: "es.example.com",
		PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert, cert}},
	}
	ask := func(host string) string {
		_, _, err := id.Identify(t.Context(), conn, host, time.Now().Unix())
		var refusal *Refusal
		require.ErrorAs(t, err, &refusal)
		return refusal.Reason
	}
	for range 3 {
		require.Equal(t, string(Revoked), ask("es.example.com"))
		require.Equal(t, string(Misdirected), ask("other.example.com"),
			"what depends on the request is looked at each time")
	}
	require.Equal(t, 1, list.asked)
	list.version++
	require.Equal(t, string(Revoked), ask("es.example.com"))
	require.Equal(t, 2, list.asked, "a file has changed")
}

// TestARememberedRefusalKeepsNoCertificate, and so none of the handshake that it came in: anybody can
// send some.
func TestARememberedRefusalKeepsNoCertificate(t *testing.T) {
	id, err := New(new(Profile), new(Files), nil, 100)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(throwaway(t, "authority"))
	var sent []weak.Pointer[x509.Certificate]
	for range 10 {
		for _, pool := range []*x509.CertPool{pool, nil} { // nobody trusts it; it has no principal
			cert := throwaway(t, strings.Repeat("eve", 10_000))
			sent = append(sent, weak.Make(cert))
			chain := []*x509.Certificate{cert}
			conn := &tls.ConnectionState{PeerCertificates: chain, VerifiedChains: [][]*x509.Certificate{chain}}
			_, err := id.decide(t.Context(), conn, "", pool, time.Now().Unix())
			var refusal *Refusal
			require.ErrorAs(t, err, &refusal)
			if refusal.cause != nil {
				require.LessOrEqual(t, len(refusal.cause.Error()), maxText+len("…"))
			}
		}
	}
	require.Equal(t, 20, id.outcomes.refusals.Len())
	long := errors.New(strings.Repeat("eve", 10_000))
	for _, err := range []error{long, Refuse(InvalidName, "a name").From(long)} {
		err := id.outcomes.refused(connection{}, basis{}, time.Now().Unix(), err, nil)
		require.LessOrEqual(t, len(err.Error()), maxText+len("…"))
		if cause := errors.Unwrap(err); cause != nil {
			require.LessOrEqual(t, len(cause.Error()), maxText+len("…"))
		}
	}
	runtime.GC()
	runtime.GC()
	alive := 0
	for _, cert := range sent {
		if cert.Value() != nil {
			alive++
		}
	}
	require.LessOrEqual(t, alive, 1, "the last one may still be in a register")
	runtime.KeepAlive(id)
}

// TestAFloodOfStrangersIsBoundedAndPutsNobodyOut (attack: made-up certificates, each on a connection of its
// own).
func TestAFloodOfStrangersIsBoundedAndPutsNobodyOut(t *testing.T) {
	const size = 10
	id, err := New(new(Profile), new(Files), nil, size)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(throwaway(t, "authority"))
	now := time.Now()
	sent := []*x509.Certificate{throwaway(t, "alice")}
	alice := &Client{basis: id.basis(pool), decided: now.Unix(), recheck: now.Add(time.Hour).Unix()}
	id.outcomes.admitted(sent, connectionOf(sent), alice)

	stranger := throwaway(t, "eve")
	for range 20 * size {
		made := []*x509.Certificate{stranger}
		_, err := id.decide(t.Context(), &tls.ConnectionState{PeerCertificates: made}, "", pool, now.Unix())
		require.Error(t, err)
		require.LessOrEqual(t, id.outcomes.refusals.Len(), size)
	}
	require.Same(t, alice, id.outcomes.client(sent, alice.basis, now.Unix()))
	runtime.KeepAlive(sent)
}
