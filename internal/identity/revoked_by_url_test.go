package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// listed is a client whose authority publishes a revocation list at a URL.
type listed struct {
	id              *Identifier
	files           *Files
	authority, leaf *x509.Certificate
	list            x509.RevocationList
	off             bool // nobody answers at the URL
}

func newListed(t *testing.T, off bool) *listed {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	now := time.Now()
	issue := func(template, issuer *x509.Certificate) *x509.Certificate {
		template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), key)
		require.NoError(t, err)
		cert, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		return cert
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients authority"}, SubjectKeyId: []byte{1},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	authority = issue(authority, authority)
	l := &listed{
		authority: authority,
		leaf:      issue(&x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "alice"}}, authority),
		list: x509.RevocationList{
			Number: big.NewInt(1), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour),
		},
		off: off,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		der, err := x509.CreateRevocationList(rand.Reader, &l.list, authority, key)
		if err != nil || l.off {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(der)
	}))
	t.Cleanup(server.Close)
	settings := Settings{Issuer: "https://es.example.com", Audience: []string{"es"}, CRL: []string{server.URL}}
	settings.SetDefaults()
	profile, err := settings.Compile(setting.Resolve)
	require.NoError(t, err)
	l.files, err = OpenFiles(&settings, setting.Resolve, zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.files.Close()) })
	l.id, err = New(profile, l.files, nil, 100)
	require.NoError(t, err)
	return l
}

// revoke puts the client into the list.
func (l *listed) revoke() {
	l.list.Number = big.NewInt(2)
	l.list.RevokedCertificateEntries = []x509.RevocationListEntry{
		{SerialNumber: l.leaf.SerialNumber, RevocationTime: time.Now().Add(-time.Minute)},
	}
}

func (l *listed) fetch() error { return l.files.watched[0].(interface{ Read() error }).Read() }

// TestAClientThatWasLetInIsRevokedByAURL at its next request, once the URL gives a list that names its certificate.
func TestAClientThatWasLetInIsRevokedByAURL(t *testing.T) {
	l := newListed(t, false)
	conn := &tls.ConnectionState{
		HandshakeComplete: true, ServerName: "es.example.com",
		PeerCertificates: []*x509.Certificate{l.leaf}, VerifiedChains: [][]*x509.Certificate{{l.leaf, l.authority}},
	}
	require.NoError(t, l.fetch())
	_, _, err := l.id.Identify(t.Context(), conn, "es.example.com", time.Now().Unix())
	require.NoError(t, err)

	l.revoke()
	require.NoError(t, l.fetch())
	_, _, err = l.id.Identify(t.Context(), conn, "es.example.com", time.Now().Unix())
	require.ErrorContains(t, err, "revoked: ")
}

// TestWhatMayPassIsSaid: a certificate that is revoked stays so. One of which that is not known, or that is not valid by
// the clock, may be taken again as it is.
func TestWhatMayPassIsSaid(t *testing.T) {
	l := newListed(t, true)
	explained := func(at time.Duration) Explanation {
		return l.id.Explain([]*x509.Certificate{l.leaf, l.authority}, nil, time.Now().Add(at))
	}
	require.Error(t, l.fetch())
	missing := explained(0)
	require.Contains(t, missing.Advice, "has not been fetched yet")
	require.Equal(t, []any{"revoked", true}, []any{missing.Reason, missing.Passing})

	l.off = false
	require.NoError(t, l.fetch())
	require.Empty(t, explained(0).Reason)
	require.False(t, explained(0).Passing)

	past, future := explained(-2*time.Hour), explained(2*time.Hour)
	require.Equal(t, []any{"expired", true, "expired", true}, []any{past.Reason, past.Passing, future.Reason, future.Passing})

	l.list.NextUpdate = time.Now().Add(-time.Second)
	l.list.Number = big.NewInt(2)
	require.NoError(t, l.fetch())
	stale := explained(0)
	require.Contains(t, stale.Advice, "out of date")
	require.Equal(t, []any{"revoked", true}, []any{stale.Reason, stale.Passing})

	l.revoke()
	l.list.Number = big.NewInt(3)
	require.NoError(t, l.fetch())
	revoked := explained(0)
	require.Equal(t, []any{"revoked", false}, []any{revoked.Reason, revoked.Passing})
}
