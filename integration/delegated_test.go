package integration

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// document is a text of the manual, by its name in docs.
func document(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/" + name)
	require.NoError(t, err)
	return string(text)
}

// ruleRow is a rule in the table of docs/elasticsearch.md.
var ruleRow = regexp.MustCompile("(?m)^\\| `(\\{\"field\": .*\\})` \\|")

// Each rule that the manual has is one for some clients and not for others.
func TestRoleMappingRulesOfTheManual(t *testing.T) {
	person := func(name, team, organization string, emails ...string) pki.Pair {
		return clientCA().Issue(&x509.Certificate{
			RawSubject: pki.Subject(
				pki.RDN{{Type: pki.O, Text: "Acme"}},
				pki.RDN{{Type: pki.OU, Text: organization}},
				pki.RDN{{Type: pki.OU, Text: team}},
				pki.RDN{{Type: pki.CN, Text: name}},
			),
			EmailAddresses: emails,
		})
	}
	alice := clientCA().ClientRaw(pki.Subject(
		pki.RDN{{Type: pki.O, Text: "ACME"}}, pki.RDN{{Type: pki.OU, Text: "People"}},
		pki.RDN{{Type: pki.CN, Text: "Alice"}}))
	analyst := clientCA().Client("bob", "Analysts")
	service := clientCA().Client("svc-logs", "machines")
	capitals := clientCA().Client("SVC-LOGS", "machines")
	searcher := person("carol", "search", "people", "carol@example.com")
	seeker := person("dave", "Search", "machines", "dave@example.org")
	others := []pki.Pair{alice, analyst, service, capitals, searcher, seeker}

	means := map[string][]pki.Pair{
		`{"field": {"groups": "analysts"}}`:                        {analyst},
		`{"field": {"username": "svc-*"}}`:                         {service},
		`{"field": {"dn": "*,ou=people,o=acme"}}`:                  {alice, searcher},
		`{"field": {"dn": "cn=alice,ou=people,o=acme"}}`:           {alice},
		`{"field": {"metadata.jwt_claim_team": "search"}}`:         {searcher},
		`{"field": {"metadata.jwt_claim_email": "*@example.com"}}`: {searcher},
	}
	rules := ruleRow.FindAllStringSubmatch(document(t, "elasticsearch.md"), -1)
	require.Len(t, rules, len(means))
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		for i, rule := range rules {
			s.putMapping(t, fmt.Sprintf("manual-%d", i), fmt.Sprintf(
				`{"enabled":true,"roles":["role-%d"],"rules":{"all":[{"field":{"realm.name":%q}},%s]}}`, i, movedRealm, rule[1]))
		}
		proxy := site{issuer: movedIssuer, handler: "claim dn {cert.dn}\nclaim team {cert.ou}\nclaim email {cert.san.email}"}
		s.startSites(t, &proxy)
		for i, rule := range rules {
			meant, known := means[rule[1]]
			require.True(t, known, rule[1])
			for _, certificate := range others {
				who, err := proxy.through(t.Context(), certificate)
				require.NoError(t, err)
				require.NotEmpty(t, who.Name)
				isMeant := slices.ContainsFunc(meant, func(p pki.Pair) bool { return p.Leaf.Equal(certificate.Leaf) })
				require.Equal(t, isMeant, slices.Contains(who.Roles, fmt.Sprintf("role-%d", i)), "%s for %s", rule[1], who.DN)
			}
		}
	})
}

// With authorization_realms the certificate says who it is, and another realm what
// he may do.
func TestRolesAreThoseOfAnotherRealm(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		native := func(name, body string) {
			t.Helper()
			status, answer, err := s.es.Do(t.Context(), http.MethodPut, "/_security/user/"+name, body)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status, string(answer))
			t.Cleanup(func() {
				status, answer, err := s.es.Do(context.Background(), http.MethodDelete, "/_security/user/"+name, "")
				assert.NoError(t, err)
				assert.Equal(t, http.StatusOK, status, string(answer))
			})
		}
		native("alice", `{"password":"unused-password","roles":["sales_reader"],"full_name":"Alice Doe",`+
			`"metadata":{"team":"search"}}`)
		native("disabled", `{"password":"unused-password","roles":["sales_reader"],"enabled":false}`)
		s.putMapping(t, "not-for-those", fmt.Sprintf(
			`{"enabled":true,"roles":["superuser"],"rules":{"field":{"realm.name":%q}}}`, delegatedRealm))

		proxy := site{issuer: delegatedIssuer, handler: "claim team {cert.o}"}
		s.startSites(t, &proxy)
		ask := func(name string) answer {
			t.Helper()
			return proxy.authenticate(t, proxy.client(clientCA().Client(name, "admins").TLS))
		}
		alice := ask("alice")
		got := alice.user(t)
		require.Equal(t, "alice", got.Username)
		require.Equal(t, []string{"sales_reader"}, got.Roles)
		require.Equal(t, map[string]any{"team": "search"}, got.Metadata)
		require.Equal(t, delegatedRealm, got.Realm.Name)
		require.Contains(t, alice.body, `"full_name":"Alice Doe"`)

		require.Equal(t, []string{"cluster_watcher"}, ask("runas-target").user(t).Roles, "a user of the file realm")
		require.Equal(t, http.StatusUnauthorized, ask("nobody").status)
		require.Equal(t, http.StatusUnauthorized, ask("disabled").status)
		require.Equal(t, http.StatusUnauthorized, ask("Alice").status, "the case counts")

		client := proxy.client(clientCA().Client("alice").TLS)
		found := send(t, client, http.MethodGet, proxy.url("/sales/_search"), "", nil)
		require.Equal(t, http.StatusOK, found.status, found.body)
		require.Equal(t, http.StatusForbidden, send(t, client, http.MethodGet, proxy.url("/_cluster/health"), "", nil).status)
	})
}
