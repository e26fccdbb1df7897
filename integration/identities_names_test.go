package integration

import (
	"crypto/x509"
	"net"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// Names that no PKI realm reads: the alternative ones. Every value of a certificate
// can be the user, as it is written there.
func TestUserIsWhateverValueTheCaddyfileNames(t *testing.T) {
	spiffe, err := url.Parse("spiffe://example.org/ns/data/sa/ingest")
	require.NoError(t, err)
	full := clientCA().Issue(&x509.Certificate{
		RawSubject: pki.Subject(
			pki.RDN{{Type: pki.DC, Text: "com", As: pki.IA5}}, pki.RDN{{Type: pki.O, Text: "Acme, Inc."}},
			pki.RDN{{Type: pki.OU, Text: "data"}},
			pki.RDN{{Type: pki.UID, Text: "a1"}, {Type: pki.CN, Text: "alice"}},
			pki.RDN{{Type: pki.Email, Text: "a@example.com", As: pki.IA5}},
		),
		DNSNames:       []string{"alice.example.com"},
		EmailAddresses: []string{"alice@example.com"},
		IPAddresses:    []net.IP{net.ParseIP("2001:db8::1")},
		URIs:           []*url.URL{spiffe},
	})
	// As SPIFFE has it: there is no subject.
	workload := clientCA().Issue(&x509.Certificate{RawSubject: pki.Subject(), URIs: []*url.URL{spiffe}})
	cases := []struct {
		principal   string
		certificate pki.Pair
		want        string
	}{
		{"{cert.cn}", full, "alice"},
		{"{cert.uid}", full, "a1"},
		{"{cert.email}", full, "a@example.com"},
		{"{cert.cn}@{cert.dc}", full, "alice@com"},
		{`"{cert.o}/{cert.ou}"`, full, "Acme, Inc./data"},
		{"{cert.san.dns}", full, "alice.example.com"},
		{"{cert.san.email}", full, "alice@example.com"},
		{"{cert.san.ip}", full, "2001:db8::1"},
		{"{cert.san.uri}", full, "spiffe://example.org/ns/data/sa/ingest"},
		{"{cert.dn}", full, `EMAILADDRESS=a@example.com, UID=a1 + CN=alice, OU=data, O="Acme, Inc.", DC=com`},
		{"{cert.dn_opensearch}", full, `EMAILADDRESS=a@example.com,CN=alice+UID=a1,OU=data,O=Acme\, Inc.,DC=com`},
		{
			"{cert.dn_rfc2253}", full,
			`1.2.840.113549.1.9.1=#160d61406578616d706c652e636f6d,UID=a1+CN=alice,OU=data,O=Acme\, Inc.,DC=com`,
		},
		{"{cert.issuer.cn}:{cert.cn}", full, "Clients CA:alice"},
		{"{cert.spiffe_id}", full, "spiffe://example.org/ns/data/sa/ingest"},
		{"{cert.spiffe_id}", workload, "spiffe://example.org/ns/data/sa/ingest"},
		{"{cert.dn}", workload, ""},
	}
	sites := make([]*site, len(cases))
	for i, c := range cases {
		sites[i] = &site{issuer: movedIssuer, handler: "principal " + c.principal + "\ngroups off\nclaim dn {cert.dn}"}
	}
	t.Run("Elasticsearch", func(t *testing.T) {
		forEachElasticsearch(t, func(t *testing.T, s *stack) {
			s.startSites(t, sites...)
			for i, c := range cases {
				got, err := sites[i].through(t.Context(), c.certificate)
				require.NoError(t, err)
				require.Equal(t, c.want, got.Name, c.principal)
			}
		})
	})
	t.Run("OpenSearch", func(t *testing.T) {
		for _, s := range sites {
			s.issuer = ""
		}
		forEachOpenSearch(t, func(t *testing.T, s *searchStack) {
			s.startSites(t, sites...)
			for i, c := range cases {
				got := searchAs(t, sites[i].client(), sites[i].url(""), c.certificate)
				require.Equal(t, c.want, got.Name, c.principal)
			}
		})
	})
}
