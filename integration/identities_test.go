package integration

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// The realms of a stack's node to which the PKI realms' users have moved.
const (
	movedRealm      = "jwt3"
	movedIssuer     = "https://moved.example.com"
	delegatedRealm  = "jwt4"
	delegatedIssuer = "https://delegated.example.com"
	accessRealm     = "jwt5"
	accessIssuer    = "https://access.example.com"
	peopleRealm     = "pki2"
	peoplePattern   = "UID=(.*?)(?:,|$)"
)

// accessRealmSettings are what docs/elasticsearch.md has for a realm that takes
// access tokens.
const accessRealmSettings = `token_type: access_token
  fallback_claims.sub: client_id
  fallback_claims.aud: scope
  allowed_subject_patterns: ["*"]
  required_claims.token_use: [access]
`

// movedRealmSettings are a JWT realm whose users have distinguished names, as
// docs/from-the-pki-realm.md has it, one that takes its users from other realms,
// one for access tokens, and a PKI realm with a pattern of its own.
func movedRealmSettings(jwks string) string {
	return jwtRealmSettings(movedRealm, 4, jwks, movedIssuer, "claims.dn: dn") +
		jwtRealmSettings(delegatedRealm, 5, jwks, delegatedIssuer, "authorization_realms: [default_native, default_file]") +
		jwtRealmSettings(accessRealm, 8, jwks, accessIssuer, accessRealmSettings) +
		fmt.Sprintf(`xpack.security.authc.realms.pki.%s:
  order: 6
  certificate_authorities: certs/people-ca.crt
  username_pattern: "%s"
`, peopleRealm, peoplePattern)
}

// roleMappingFile is the role_mapping.yml of the PKI realms, and of the Caddy in
// front of the node. The names are written in as many ways as people do.
const roleMappingFile = `# Who has which role.
file_doe:
  - "CN=\"Doe, John\", O=\"Acme, Inc.\""
  - "cn=nobody,o=acme"
file_doe_too: ["CN=doe\\, john,O=acme\\, inc."]
file_bob:
  - 'ou = ENG + cn=  Bob , o=acme'
file_zoe: ["cn=ZOË,o=acme"]
file_zoe_escaped: ["cn=zo\\c3\\ab,o=acme"]
file_mail: ["EMAILADDRESS=mail@example.com,CN=mail,O=acme"]
file_not_mail: ["emailAddress=mail@example.com,CN=mail"]
file_oid: ["OID.1.2.3.4.5=x, CN=unknown attribute"]
file_wrong_order: ["O=acme, CN=alice"]
`

// mappedRoles are rules as people have them for a PKI realm's users. The names of
// the roles are all that counts here.
var mappedRoles = map[string]string{
	"by_dn":            `{"field":{"dn":"cn=doe\\, john,o=acme\\, inc."}}`,
	"by_quoted_dn":     `{"field":{"dn":"CN=\"Doe, John\", O=\"Acme, Inc.\""}}`,
	"by_subtree":       `{"field":{"dn":"*,o=acme"}}`,
	"by_wildcard_dn":   `{"field":{"dn":"cn=al*,o=acme"}}`,
	"by_username":      `{"field":{"username":"bob + OU=eng"}}`,
	"by_username_case": `{"field":{"username":"ALICE"}}`,
	"by_wildcard":      `{"field":{"username":"a*"}}`,
	"by_exception":     `{"all":[{"field":{"dn":"*,o=acme"}},{"except":{"field":{"username":"alice"}}}]}`,
}

// putMapping creates a role mapping for the time of a test.
func (s *stack) putMapping(t *testing.T, name, body string) {
	t.Helper()
	status, answer, err := s.es.Do(t.Context(), http.MethodPut, "/_security/role_mapping/"+name, body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, string(answer))
	t.Cleanup(func() {
		status, answer, err := s.es.Do(context.Background(), http.MethodDelete, "/_security/role_mapping/"+name, "")
		assert.NoError(t, err)
		assert.Equal(t, http.StatusOK, status, string(answer))
	})
}

// putSameMappings writes the rules for the PKI realm's users and, unchanged, for
// those that have moved. For the roles of role_mapping.yml there is one rule each.
func (s *stack) putSameMappings(t *testing.T) {
	t.Helper()
	for role, rule := range mappedRoles {
		s.putMapping(t, role, fmt.Sprintf(`{"enabled":true,"roles":[%q],`+
			`"rules":{"all":[{"field":{"realm.name":[%q,%q]}},%s]}}`,
			role, pkiRealm, movedRealm, rule))
	}
	for line := range strings.Lines(roleMappingFile) {
		role, _, found := strings.Cut(line, ":")
		if found && strings.HasPrefix(role, "file_") {
			s.putMapping(t, role, fmt.Sprintf(`{"enabled":true,"roles":[%q],`+
				`"rules":{"all":[{"field":{"realm.name":%q}},{"field":{"groups":%q}}]}}`,
				role, movedRealm, role))
		}
	}
}

// roleMappingPath is the file for Caddy.
func roleMappingPath(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "role_mapping.yml")
	require.NoError(t, os.WriteFile(path, []byte(roleMappingFile), 0o600))
	return path
}

// identity is who somebody is to a node. What it is not told by the realms is in
// one place for all of them.
type identity struct {
	Status int // of the answer; 0 if the handshake failed
	Name   string
	DN     string // the realm's name for it, or the claim's
	Roles  []string
}

// present is how a client shows its certificate whatever it looks like: crypto/tls
// would only send one that it can read.
func present(certificate tls.Certificate, client *http.Client) *http.Client {
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig.Certificates = nil
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &certificate, nil
	}
	transport.DisableKeepAlives = true // one connection for each certificate
	return client
}

// direct asks the node itself.
func (s *stack) direct(ctx context.Context, certificate pki.Pair) (identity, error) {
	return whoIs(ctx, present(certificate.TLS, directClient()), s.es.URL())
}

// through asks the node behind a site.
func (s site) through(ctx context.Context, certificate pki.Pair) (identity, error) {
	return whoIs(ctx, present(certificate.TLS, s.client()), s.url(""))
}

// disconnected reports whether a server ended the handshake. A client of TLS 1.3
// learns of that when it thinks that it is connected, from an alert or from a
// connection that is gone.
func disconnected(err error) bool { return errors.As(err, new(*url.Error)) }

func whoIs(ctx context.Context, client *http.Client, address string) (identity, error) {
	got, err := trySend(ctx, client, http.MethodGet, address+"/_security/_authenticate", "", nil)
	if disconnected(err) {
		return identity{}, nil
	}
	if err != nil {
		return identity{}, err
	}
	if got.status != http.StatusOK {
		return identity{Status: got.status}, nil
	}
	var u user
	if err := json.Unmarshal([]byte(got.body), &u); err != nil {
		return identity{}, err
	}
	slices.Sort(u.Roles)
	who := identity{Status: got.status, Name: u.Username, Roles: u.Roles}
	for _, key := range []string{"pki_dn", "jwt_claim_dn"} {
		if dn, ok := u.Metadata[key].(string); ok {
			who.DN = dn
		}
	}
	return who, nil
}

// nobody is somebody whom the node does not know, or Caddy does not let through.
func (i identity) nobody() bool { return i.Name == "" }
