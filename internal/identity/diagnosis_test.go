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
		SignatureAlgorithm: x509.ECDSAWithSHA256,
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

// TestAWeakSignatureIsNamed: crypto/x509 says of it what it says of a signature with another key.
func TestAWeakSignatureIsNamed(t *testing.T) {
	for algorithm, want := range map[x509.SignatureAlgorithm]string{
		x509.SHA1WithRSA:               "SHA-1",
		x509.ECDSAWithSHA1:             "SHA-1",
		x509.MD5WithRSA:                "MD5",
		x509.UnknownSignatureAlgorithm: "an unknown algorithm",
	} {
		leaf, intermediate := named(t, "alice", "a"), named(t, "a", "b")
		leaf.SignatureAlgorithm, intermediate.SignatureAlgorithm = x509.SHA256WithRSA, algorithm
		text := diagnose(x509.UnknownAuthorityError{}, []*x509.Certificate{leaf, intermediate}, x509.NewCertPool(), time.Now())
		require.Equal(t, `the intermediate "CN=a" is signed with `+want+", which Go does not take: issue it with SHA-256", text)
	}
	for _, algorithm := range []x509.SignatureAlgorithm{
		x509.SHA256WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA384, x509.PureEd25519,
	} {
		require.Empty(t, insecureHash(algorithm))
	}
}

// TestANameConstraintThatGoCannotCheckIsNamed (golang/go#15196): without it, the authority could issue any name.
func TestANameConstraintThatGoCannotCheckIsNamed(t *testing.T) {
	subtree := func(tag byte) []byte { return []byte{0x30, 2, tag, 0} }
	for name, tt := range map[string]struct {
		value []byte
		want  string
	}{
		"permitted directories": {append([]byte{0x30, 6, 0xa0, 4}, subtree(0xa4)...), "(directoryName)"},
		"excluded users":        {append([]byte{0x30, 6, 0xa1, 4}, subtree(0xa0)...), "(otherName)"},
		"hosts and directories": {
			append(append([]byte{0x30, 10, 0xa0, 8}, subtree(0x82)...), subtree(0xa4)...), "(directoryName)",
		},
		"two of them": {
			append(append([]byte{0x30, 10, 0xa0, 8}, subtree(0xa4)...), subtree(0x88)...), "(directoryName, registeredID)",
		},
		"what cannot be read": {[]byte{0x30, 5}, "the critical extension 2.5.29.30, which Go does not know"},
	} {
		t.Run(name, func(t *testing.T) {
			cert := named(t, "a", "b")
			cert.Extensions = []pkix.Extension{{Id: oidNameConstraints, Critical: true, Value: tt.value}}
			cert.UnhandledCriticalExtensions = []asn1.ObjectIdentifier{oidNameConstraints}
			faults := faultsOf(cert, "it", true, time.Now())
			require.Contains(t, faults[0], tt.want)
			require.NotContains(t, faults[0], "not critical")
		})
	}
}
