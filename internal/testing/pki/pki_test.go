package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

func TestAnAuthorityIssuesCertificatesForEachSide(t *testing.T) {
	ca, another := pki.NewCA("clients"), pki.NewCA("others")
	client, server := ca.Client("alice", "analysts"), ca.Server("es.example.com", "127.0.0.1")
	tests := map[string]struct {
		pair   pki.Pair
		verify x509.VerifyOptions
		ok     bool
	}{
		"a client": {
			client, x509.VerifyOptions{Roots: ca.Pool(), KeyUsages: usage(x509.ExtKeyUsageClientAuth)}, true,
		},
		"a server":             {server, x509.VerifyOptions{Roots: ca.Pool(), DNSName: "es.example.com"}, true},
		"a server's address":   {server, x509.VerifyOptions{Roots: ca.Pool(), DNSName: "127.0.0.1"}, true},
		"a client as a server": {client, x509.VerifyOptions{Roots: ca.Pool()}, false},
		"of another authority": {
			client, x509.VerifyOptions{Roots: another.Pool(), KeyUsages: usage(x509.ExtKeyUsageAny)}, false,
		},
		"a server of another URL": {server, x509.VerifyOptions{Roots: ca.Pool(), DNSName: "kibana.example.com"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := test.pair.Leaf.Verify(test.verify)
			require.Equal(t, test.ok, err == nil, err)
		})
	}
	require.Equal(t, "CN=alice,O=analysts", client.Leaf.Subject.String())
	_, err := tls.X509KeyPair(client.Cert, client.Key)
	require.NoError(t, err, "the PEM is a pair")
}

func usage(usages ...x509.ExtKeyUsage) []x509.ExtKeyUsage { return usages }

func TestARevocationListNamesTheRevoked(t *testing.T) {
	ca := pki.NewCA("clients")
	alice := ca.Client("alice")
	list, err := x509.ParseRevocationList(ca.RevocationList(alice))
	require.NoError(t, err)
	require.NoError(t, list.CheckSignatureFrom(ca.Certificate))
	require.Len(t, list.RevokedCertificateEntries, 1)
	require.Equal(t, alice.Leaf.SerialNumber, list.RevokedCertificateEntries[0].SerialNumber)
}

// TestASubjectIsWrittenAsItIs compares it with crypto/x509 where that can write it.
func TestASubjectIsWrittenAsItIs(t *testing.T) {
	ca := pki.NewCA("clients")
	raw := pki.Subject(
		pki.RDN{{Type: pki.C, Text: "DE", As: pki.Printable}},
		pki.RDN{{Type: pki.O, Text: "Acme", As: pki.BMP}},
		pki.RDN{{Type: pki.CN, Text: "Zoë", As: pki.T61}, {Type: pki.UID, Text: "zoe"}},
	)
	require.Equal(t, raw, ca.ClientRaw(raw).Leaf.RawSubject)

	plain := pki.Subject(pki.RDN{{Type: pki.O, Text: "Änderung"}}, pki.RDN{{Type: pki.CN, Text: "Zoë"}})
	require.Equal(t, ca.ClientSubject(pkix.Name{CommonName: "Zoë", Organization: []string{"Änderung"}}).Leaf.RawSubject,
		plain)
}

func TestAServerHasItsAddresses(t *testing.T) {
	leaf := pki.NewCA("servers").Server("localhost", "::1").Leaf
	require.Equal(t, []string{"localhost"}, leaf.DNSNames)
	require.True(t, leaf.IPAddresses[0].Equal(net.IPv6loopback))
}
