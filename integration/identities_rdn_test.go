package integration

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/issuer"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// rdnRealmSettings are two PKI realms that take one attribute of the subject, which
// they name in either way.
func rdnRealmSettings() string {
	return pkiRealmSettings(2) + fmt.Sprintf(`  username_rdn_name: CN
xpack.security.authc.realms.pki.%s:
  order: 3
  certificate_authorities: certs/people-ca.crt
  username_rdn_oid: %s
`, peopleRealm, pki.UID)
}

// A PKI realm that takes an attribute, and Caddy with the same one.
func TestAttributeOfThePKIRealmGivesTheSameUserName(t *testing.T) {
	one := func(attribute, text string) pki.RDN { return pki.RDN{{Type: attribute, Text: text}} }
	as := func(attribute string, as pki.StringType) pki.RDN {
		return pki.RDN{{Type: attribute, Text: "alice", As: as}}
	}
	// For these the node takes an earlier value, or one of several by the order of
	// DER (OpenSearch takes another one), and Caddy nobody.
	refused := map[string]bool{
		"an empty last": true, "after an empty one": true, "T61 at the end": true,
		"several in one": true, "several in one, sorted": true, "a longer one in one": true, "other types in one": true,
	}
	subjects := func(a, other string) map[string][]byte {
		return map[string][]byte{
			"one":                    pki.Subject(one(a, "alice"), one(pki.O, "acme")),
			"the last":               pki.Subject(one(pki.O, "acme"), one(a, "alice")),
			"several":                pki.Subject(one(a, "first"), one(pki.O, "acme"), one(a, "last")),
			"beside another":         pki.Subject(pki.RDN{{Type: pki.OU, Text: "eng"}, {Type: a, Text: "alice"}}),
			"several in one":         pki.Subject(pki.RDN{{Type: a, Text: "b"}, {Type: a, Text: "a"}}),
			"several in one, sorted": pki.Subject(pki.RDN{{Type: a, Text: "a"}, {Type: a, Text: "b"}}),
			"a longer one in one":    pki.Subject(pki.RDN{{Type: a, Text: "aa"}, {Type: a, Text: "b"}}),
			"other types in one":     pki.Subject(pki.RDN{{Type: a, Text: "b"}, {Type: a, Text: "a", As: pki.Printable}}),
			"T61 at the end":         pki.Subject(one(a, "alice"), as(a, pki.T61)),
			"after an empty one":     pki.Subject(one(a, "first"), pki.RDN{{Type: pki.OU, Text: ""}, {Type: a, Text: "alice"}}),
			"none":                   pki.Subject(one(other, "alice"), one(pki.O, "acme")),
			"empty":                  pki.Subject(one(a, ""), one(pki.O, "acme")),
			"an empty last":          pki.Subject(one(a, "alice"), one(a, "")),
			"in another attribute":   pki.Subject(one(pki.O, "CN=root, UID=root"), one(a, "alice")),
			"with a comma":           pki.Subject(one(a, "Doe, John")),
			"with what is escaped":   pki.Subject(one(a, `a+b"c\d<e>f;g#h=i`)),
			"with blanks":            pki.Subject(one(a, " alice ")),
			"with a number sign":     pki.Subject(one(a, "#alice")),
			"in UTF-8":               pki.Subject(one(a, "Zoë 東京")),
			"in capitals":            pki.Subject(one(a, "ALICE")),
			"as printable":           pki.Subject(as(a, pki.Printable)),
			"as BMP":                 pki.Subject(as(a, pki.BMP)),
			"as T61":                 pki.Subject(as(a, pki.T61)),
			"as IA5":                 pki.Subject(as(a, pki.IA5)),
			"as a number":            pki.Subject(pki.RDN{{Type: a, Text: "12", As: pki.Numeric}}),
		}
	}
	for _, version := range versions(*rdnVersions) {
		t.Run(version, func(t *testing.T) {
			byName := site{port: freePort(t), handler: "username_rdn CN\ngroups off"}
			es := newElasticsearch(t, nodeConfig(version, teleportRealmSettings(byName.url(issuer.Path))+rdnRealmSettings()))
			byName.upstream = es.URL()
			server := byName.start(t)
			byOID := site{port: freePort(t), upstream: es.URL(), clients: "people-ca.crt", handler: "username_rdn " + pki.UID +
				"\ngroups off"}
			byOID.start(t, "XDG_DATA_HOME="+server.DataHome())
			require.NoError(t, es.Start(t.Context()))

			known := 0
			for _, realm := range []struct {
				ca               *pki.CA
				site             site
				attribute, other string
			}{
				{clientCA(), byName, pki.CN, pki.UID},
				{peopleCA(), byOID, pki.UID, pki.CN},
			} {
				for name, subject := range subjects(realm.attribute, realm.other) {
					certificate := realm.ca.ClientRaw(subject)
					direct, err := whoIs(t.Context(), present(certificate.TLS, directClient()), es.URL())
					require.NoError(t, err)
					got, err := realm.site.through(t.Context(), certificate)
					require.NoError(t, err)
					if direct.nobody() {
						assert.Equal(t, identity{Status: http.StatusForbidden}, got, name)
						continue
					}
					known++
					if refused[name] {
						assert.Equal(t, identity{Status: http.StatusForbidden}, got, name)
						continue
					}
					assert.Equal(t, direct.Name, got.Name, name)
				}
			}
			require.Greater(t, known, 20)
		})
	}
}
