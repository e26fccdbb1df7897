package integration

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// config is a part of OpenSearch's config.yml.
type config = map[string]any

const securityConfig = "/_plugins/_security/api/securityconfig"

// changeDomains changes who is authenticated, and how, for the time of a test.
func (s *searchStack) changeDomains(t *testing.T, change func(domains config)) {
	t.Helper()
	put := func(ctx context.Context, dynamic []byte) error {
		status, answer, err := s.node.Do(ctx, http.MethodPut, securityConfig+"/config", `{"dynamic":`+string(dynamic)+`}`)
		if err == nil && status != http.StatusOK {
			err = errors.New(string(answer))
		}
		return err
	}
	status, body, err := s.node.Do(t.Context(), http.MethodGet, securityConfig, "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, string(body))
	var before struct {
		Config struct{ Dynamic json.RawMessage }
	}
	require.NoError(t, json.Unmarshal(body, &before))
	var dynamic config
	require.NoError(t, json.Unmarshal(before.Config.Dynamic, &dynamic))
	change(dynamic["authc"].(config))
	changed, err := json.Marshal(dynamic)
	require.NoError(t, err)
	require.NoError(t, put(t.Context(), changed))
	t.Cleanup(func() { assert.NoError(t, put(context.Background(), before.Config.Dynamic)) })
}

// searchIdentity is who somebody is to OpenSearch; nobody has no name.
type searchIdentity struct {
	Name  string
	Roles []string // backend roles, sorted
}

// searchAs shows a certificate to the node or to a site.
func searchAs(t *testing.T, client *http.Client, address string, certificate pki.Pair) searchIdentity {
	t.Helper()
	got, err := trySend(t.Context(), present(certificate.TLS, client), http.MethodGet, address+
		"/_plugins/_security/authinfo", "", nil)
	if disconnected(err) || got.status == http.StatusUnauthorized || got.status == http.StatusForbidden {
		return searchIdentity{}
	}
	require.NoError(t, err)
	user := got.searchUser(t)
	slices.Sort(user.BackendRoles)
	return searchIdentity{user.Name, user.BackendRoles}
}

// The same certificates, shown to a node that authenticates by them and shown to
// Caddy, with the lines that docs/opensearch.md has for it.
func TestOpenSearchClientCertificateUsersMoveOver(t *testing.T) {
	rdn := func(oid, text string) pki.RDN { return pki.RDN{{Type: oid, Text: text}} }
	certificates := map[string]pki.Pair{}
	for name, subject := range map[string][]byte{
		"plain": pki.Subject(rdn(pki.C, "DE"), rdn(pki.O, "admins"), rdn(pki.O, "analysts"),
			rdn(pki.OU, "data"), rdn(pki.CN, "alice")),
		"no unit":         pki.Subject(rdn(pki.O, "acme"), rdn(pki.CN, "alice")),
		"several units":   pki.Subject(rdn(pki.OU, "people"), rdn(pki.OU, "data"), rdn(pki.CN, "alice")),
		"a unit twice":    pki.Subject(rdn(pki.OU, "data"), rdn(pki.OU, "data"), rdn(pki.CN, "alice")),
		"commas":          pki.Subject(rdn(pki.O, "Acme, Inc."), rdn(pki.OU, "a,b"), rdn(pki.CN, "Doe, John")),
		"quotes":          pki.Subject(rdn(pki.OU, `the "data"`), rdn(pki.CN, `John "Jack" Doe`)),
		"backslash":       pki.Subject(rdn(pki.CN, `CORP\alice`)),
		"plus and number": pki.Subject(rdn(pki.OU, "#1"), rdn(pki.CN, "a+b")),
		"e-mail": pki.Subject(rdn(pki.CN, "alice"),
			pki.RDN{{Type: pki.Email, Text: "alice@example.com", As: pki.IA5}}),
		"UTF-8":             pki.Subject(rdn(pki.OU, "Vertrieb für Süden"), rdn(pki.CN, "Zoë 😀")),
		"BMPString":         pki.Subject(pki.RDN{{Type: pki.CN, Text: "Zoë", As: pki.BMP}}),
		"unknown attribute": pki.Subject(rdn("1.2.3.4.5", "x"), rdn(pki.CN, "alice")),
		"two names":         pki.Subject(rdn(pki.CN, "first"), rdn(pki.O, "acme"), rdn(pki.CN, "last")),
		"two names in one":  pki.Subject(rdn(pki.O, "acme"), pki.RDN{{Type: pki.CN, Text: "b"}, {Type: pki.CN, Text: "a"}}),
		"no name":           pki.Subject(rdn(pki.O, "acme")),
		"empty name":        pki.Subject(rdn(pki.O, "acme"), rdn(pki.CN, "")),
		"two attributes": pki.Subject(rdn(pki.O, "acme"),
			pki.RDN{{Type: pki.CN, Text: "bob"}, {Type: pki.OU, Text: "eng"}}),
		"two, the unit first": pki.Subject(rdn(pki.O, "acme"),
			pki.RDN{{Type: pki.OU, Text: "eng"}, {Type: pki.CN, Text: "bob"}}),
		"a name in a unit": pki.Subject(rdn(pki.OU, "x,CN=admin"), rdn(pki.CN, "eve")),
		"tab":              pki.Subject(rdn(pki.CN, "a\tb")),
		"spaces around":    pki.Subject(rdn(pki.OU, " data "), rdn(pki.CN, " alice ")),
	} {
		certificates[name] = clientCA().ClientRaw(subject)
	}
	withAddress := clientCA().Issue(&x509.Certificate{
		RawSubject:     pki.Subject(rdn(pki.OU, "data"), rdn(pki.CN, "alice")),
		EmailAddresses: []string{"alice@example.com"},
	})
	r := rand.New(rand.NewPCG(2, 19))
	random := make([]pki.Pair, 100)
	for i := range random {
		random[i] = clientCA().ClientRaw(randomSubject(r))
	}

	for _, c := range []struct {
		name       string
		clientcert config
		handler    string // the lines of docs/opensearch.md
		// differs are the certificates that are somebody else, or nobody.
		differs map[string]searchIdentity
		random  bool
		from    string // the first version with it
	}{
		{
			name:       "by common name and units",
			clientcert: config{"username_attribute": "cn", "roles_attribute": "ou"},
			handler:    "principal {cert.cn}\ngroups {cert.ou}",
			differs: map[string]searchIdentity{
				"tab":                 {},
				"two names":           {},                              // the authenticator takes the last one,
				"two names in one":    {},                              // the first one,
				"no name":             {},                              // here the whole name,
				"spaces around":       {" alice ", []string{" data "}}, // drops the last space,
				"two attributes":      {"bob", []string{"eng"}},        // and sees only the first of the two
				"two, the unit first": {"bob", []string{"eng"}},
				"a name in a unit":    {}, // a group that looks like a name
			},
		},
		{
			name:       "by the last common name and organizations",
			clientcert: config{"username_attribute": "cn", "roles_attribute": "o"},
			handler:    "username_rdn CN\ngroups {cert.o}",
			differs: map[string]searchIdentity{
				"tab":              {},
				"two names in one": {},
				"no name":          {},
				"spaces around":    {" alice ", []string{}},
			},
		},
		{
			name:       "by the whole name",
			clientcert: config{},
			handler:    "principal {cert.dn_opensearch}\ngroups off",
			differs:    map[string]searchIdentity{"tab": {}},
			random:     true,
		},
		{
			name:       "by e-mail address",
			clientcert: config{"username_attribute": "san:rfc822Name", "roles_attribute": "ou"},
			handler:    "principal {cert.san.email}\ngroups {cert.ou}",
			differs:    map[string]searchIdentity{"no address": {}},
			from:       "3.",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for line := range strings.Lines(c.handler) {
				require.Contains(t, document(t, "opensearch.md"), "`"+strings.TrimSpace(line)+"`")
			}
			certificates := certificates
			if strings.Contains(c.handler, "san.email") {
				certificates = map[string]pki.Pair{"an address": withAddress, "no address": certificates["plain"]}
			}
			forEachOpenSearch(t, func(t *testing.T, s *searchStack) {
				if s.node.Version() < c.from {
					return
				}
				s.changeDomains(t, func(domains config) {
					domains["client_certificates"] = config{
						"http_enabled": true, "transport_enabled": false, "order": 1,
						"http_authenticator":     config{"type": "clientcert", "challenge": false, "config": c.clientcert},
						"authentication_backend": config{"type": "noop", "config": config{}},
					}
				})
				proxy := site{handler: c.handler + "\nname_characters any"}
				s.startSites(t, &proxy)
				for _, name := range slices.Sorted(maps.Keys(certificates)) {
					want := searchAs(t, directClient(), s.node.URL(), certificates[name])
					got := searchAs(t, proxy.client(), proxy.url(""), certificates[name])
					if other, differs := c.differs[name]; differs {
						assert.NotEqual(t, want, got, "%s: no difference", name)
						want = other
					}
					assert.Equal(t, want, got, name)
				}
				for _, certificate := range random {
					if c.random {
						want := searchAs(t, directClient(), s.node.URL(), certificate)
						require.NotEmpty(t, want.Name)
						got := searchAs(t, proxy.client(), proxy.url(""), certificate)
						assert.Equal(t, want, got, "%x", certificate.Leaf.RawSubject)
					}
				}
			})
		})
	}
}

// The user and the backend roles are those of the claims that the configuration
// names, one backend role for each group, whatever is in it.
func TestOpenSearchTakesEveryShapeOfGroups(t *testing.T) {
	with := func(groups ...string) pki.Pair { return clientCA().Client("alice", groups...) }
	groups := []struct {
		certificate pki.Pair
		want        []string
	}{
		{with(), []string{}},
		{with("analysts"), []string{"analysts"}},
		{with("analysts", "admins"), []string{"admins", "analysts"}},
		{with("Acme, Inc."), []string{"Acme, Inc."}},
		{with("a,b", "c"), []string{"a,b", "c"}},
		{with("Vertrieb für Süden"), []string{"Vertrieb für Süden"}},
	}
	ask := func(t *testing.T, proxy site, certificate pki.Pair) searchIdentity {
		t.Helper()
		return searchAs(t, proxy.client(), proxy.url(""), certificate)
	}
	forEachOpenSearch(t, func(t *testing.T, s *searchStack) {
		t.Run("in sub and roles", func(t *testing.T) {
			byDefault, off := site{}, site{handler: "groups off"}
			s.startSites(t, &byDefault, &off)
			for _, g := range groups {
				require.Equal(t, searchIdentity{"alice", g.want}, ask(t, byDefault, g.certificate))
				require.Equal(t, searchIdentity{"alice", []string{}}, ask(t, off, g.certificate))
			}
		})
		t.Run("in claims with other names", func(t *testing.T) {
			s.changeDomains(t, func(domains config) { setKeys(domains, "username", "groups") })
			other, byDefault := site{handler: "principal_claim username\ngroups_claim groups"}, site{}
			s.startSites(t, &other, &byDefault)
			for _, g := range groups {
				require.Equal(t, searchIdentity{"alice", g.want}, ask(t, other, g.certificate))
			}
			require.Empty(t, ask(t, byDefault, with("analysts")), "a token without the subject_key is nobody's")
		})
		t.Run("in a claim that is not the groups", func(t *testing.T) {
			s.changeDomains(t, func(domains config) { setKeys(domains, "sub", "team") })
			proxy := site{handler: "claim team {cert.o}"}
			s.startSites(t, &proxy)
			for _, g := range groups {
				want := g.want
				if slices.Equal(want, []string{"Acme, Inc."}) {
					want = []string{" Inc.", "Acme"} // a claim with one value is a text, which is cut at its commas
				}
				require.Equal(t, searchIdentity{"alice", want}, ask(t, proxy, g.certificate))
			}
		})
	})
}

func setKeys(domains config, subject, roles string) {
	authenticator := domains["jwt_from_proxy"].(config)["http_authenticator"].(config)["config"].(config)
	authenticator["subject_key"], authenticator["roles_key"] = subject, roles
}
