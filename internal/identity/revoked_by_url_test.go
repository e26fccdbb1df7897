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

// TestAClientThatWasLetInIsRevokedByAURL at its next request, once the URL gives a list that names its certificate.
func TestAClientThatWasLetInIsRevokedByAURL(t *testing.T) {
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
	leaf := issue(&x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "alice"}}, authority)

	list := x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		der, err := x509.CreateRevocationList(rand.Reader, &list, authority, key)
		if err == nil {
			_, _ = w.Write(der)
		}
	}))
	t.Cleanup(server.Close)
	settings := Settings{Issuer: "https://es.example.com", Audience: []string{"es"}, CRL: []string{server.URL}}
	settings.SetDefaults()
	profile, err := settings.Compile(setting.Resolve)
	require.NoError(t, err)
	files, err := OpenFiles(&settings, setting.Resolve, zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, files.Close()) })
	id, err := New(profile, files, nil, 100)
	require.NoError(t, err)

	conn := &tls.ConnectionState{
		HandshakeComplete: true, ServerName: "es.example.com",
		PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf, authority}},
	}
	_, _, err = id.Identify(t.Context(), conn, "es.example.com", time.Now().Unix())
	require.NoError(t, err)

	list.Number = big.NewInt(2)
	list.RevokedCertificateEntries = []x509.RevocationListEntry{
		{SerialNumber: leaf.SerialNumber, RevocationTime: now.Add(-time.Minute)},
	}
	require.NoError(t, files.watched[0].(interface{ Read() error }).Read())
	_, _, err = id.Identify(t.Context(), conn, "es.example.com", time.Now().Unix())
	require.ErrorContains(t, err, "revoked: ")
}
