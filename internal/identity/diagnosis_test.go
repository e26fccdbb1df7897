package identity

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// named is a certificate as far as its names matter.
func named(t testing.TB, subject, issuer string) *x509.Certificate {
	t.Helper()
	raw := func(cn string) []byte {
		der, err := asn1.Marshal(pkix.Name{CommonName: cn}.ToRDNSequence())
		require.NoError(t, err)
		return der
	}
	return &x509.Certificate{
		RawSubject: raw(subject), RawIssuer: raw(issuer), BasicConstraintsValid: true, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

// TestADiagnosisEnds where authorities have certified each other, or themselves.
func TestADiagnosisEnds(t *testing.T) {
	pool := x509.NewCertPool()
	for name, sent := range map[string][]*x509.Certificate{
		"each other":  {named(t, "alice", "a"), named(t, "a", "b"), named(t, "b", "a")},
		"itself":      {named(t, "alice", "alice")},
		"one of them": {named(t, "alice", "a"), named(t, "a", "a")},
		"a twin":      {named(t, "a", "a"), named(t, "a", "a")},
	} {
		require.NotPanics(t, func() { diagnose(errors.New("no chain"), sent, pool, time.Now()) }, name)
		require.NotPanics(t, func() { diagnose(errors.New("no chain"), sent, nil, time.Now()) }, name)
	}
}

// TestAnAuthorityThatMaySignNoListsIsNamed (RFC 5280 section 6.3.3 f).
func TestAnAuthorityThatMaySignNoListsIsNamed(t *testing.T) {
	leaf, silent, may, mayNot := named(t, "alice", "a"), named(t, "a", "b"), named(t, "b", "c"), named(t, "c", "c")
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	may.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	mayNot.KeyUsage = x509.KeyUsageCertSign
	require.Empty(t, withoutCRLSign([][]*x509.Certificate{{leaf, silent, may}, {leaf}, {}}))
	require.Contains(t, withoutCRLSign([][]*x509.Certificate{{leaf, silent, may, mayNot}}),
		`"CN=c" may not sign revocation lists`)
}
