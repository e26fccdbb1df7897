package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// Elasticsearch compares groups and distinguished names as Java's equalsIgnoreCase does, which takes four letters
// for others of ASCII. With name_characters any they are another group's roles; by default they are refused.
func TestLettersThatElasticsearchTakesForOthersAreRefused(t *testing.T) {
	person := func(group string) pki.Pair { return clientCA().Client("eve", group) }
	named := func(cn string) pki.Pair { return clientCA().ClientRaw(pki.Subject(pki.RDN{{Type: pki.CN, Text: cn}})) }
	refused := identity{Status: http.StatusForbidden}
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		safe, all := site{issuer: movedIssuer}, site{issuer: movedIssuer, handler: "name_characters any"}
		safeDN, allDN := site{issuer: movedIssuer, handler: "claim dn {cert.dn}"},
			site{issuer: movedIssuer, handler: "claim dn {cert.dn}\nname_characters any"}
		s.startSites(t, &safe, &all, &safeDN, &allDN)
		rule := func(field, value string) string {
			return fmt.Sprintf(`{"enabled":true,"roles":["sales_reader"],`+
				`"rules":{"all":[{"field":{"realm.name":%q}},{"field":{%q:%q}}]}}`, movedRealm, field, value)
		}
		for i, name := range []struct{ ascii, other string }{
			{"staff", "\u017ftaff"},
			{"admins", "adm\u0131ns"},
			{"admins", "ADM\u0130NS"},
			{"k", "\u212a"},
		} {
			s.putMapping(t, fmt.Sprint("folded-group-", i), rule("groups", name.ascii))
			s.putMapping(t, fmt.Sprint("folded-dn-", i), rule("dn", "cn="+name.ascii))
			ask := func(proxy site, certificate pki.Pair) identity {
				got, err := proxy.through(t.Context(), certificate)
				require.NoError(t, err)
				return got
			}
			require.Equal(t, []string{"sales_reader"}, ask(safe, person(name.ascii)).Roles)
			require.Equal(t, []string{"sales_reader"}, ask(all, person(name.other)).Roles, "the group %q was %s", name.other,
				name.ascii)
			require.Equal(t, refused, ask(safe, person(name.other)), name.other)

			require.Equal(t, []string{"sales_reader"}, ask(safeDN, named(name.ascii)).Roles)
			require.Equal(t, []string{"sales_reader"}, ask(allDN, named(name.other)).Roles, "CN=%q was CN=%s", name.other,
				name.ascii)
			require.Equal(t, refused, ask(safeDN, named(name.other)), name.other)
		}
	})
}

// OpenSearch puts the user's name and claims into patterns of indices and filters of documents as they are. With
// name_characters any a name reads what is others'; by default it is refused.
func TestNamesThatOpenSearchPutsIntoPatternsAreRefused(t *testing.T) {
	named := func(cn, team string) pki.Pair {
		return clientCA().ClientRaw(pki.Subject(pki.RDN{{Type: pki.OU, Text: team}}, pki.RDN{{Type: pki.CN, Text: cn}}))
	}
	forEachOpenSearch(t, func(t *testing.T, s *searchStack) {
		put := func(path, body string) {
			t.Helper()
			status, answer, err := s.node.Do(t.Context(), http.MethodPut, path, body)
			require.NoError(t, err)
			require.Less(t, status, http.StatusMultipleChoices, string(answer))
			t.Cleanup(func() {
				if !strings.Contains(path, "/_doc/") {
					status, answer, err := s.node.Do(context.Background(), http.MethodDelete, path, "")
					assert.NoError(t, err)
					assert.Equal(t, http.StatusOK, status, string(answer))
				}
			})
		}
		for _, index := range []string{"alice-notes", "bob-notes", "papers", "alice", "bob"} {
			put("/"+index, `{"mappings":{"properties":{"owner":{"type":"keyword"}}}}`)
			for _, owner := range []string{"alice", "bob"} {
				put("/"+index+"/_doc/"+owner+"?refresh=true", `{"owner":"`+owner+`"}`)
			}
		}
		put("/_plugins/_security/api/roles/own_documents", `{"index_permissions":[
			{"index_patterns":["${user.name}-*", "${user.name}"],"allowed_actions":["read"]},
			{"index_patterns":["papers"],"dls":"{\"bool\":{\"should\":[{\"term\":{\"owner\":\"${user.name}\"}}]}}",
				"allowed_actions":["read"]}]}`)
		put("/_plugins/_security/api/rolesmapping/own_documents", `{"users":["*"]}`)
		safe := site{handler: "groups off\nclaim team {cert.ou}"}
		all := site{handler: "groups off\nclaim team {cert.ou}\nname_characters any"}
		s.startSites(t, &safe, &all)
		search := func(proxy site, certificate pki.Pair, index string) answer {
			t.Helper()
			got, err := trySend(t.Context(), present(certificate.TLS, proxy.client()), http.MethodGet,
				proxy.url("/"+index+"/_search"), "", nil)
			require.NoError(t, err)
			return got
		}

		alice := named("alice", "data")
		require.Equal(t, http.StatusOK, search(safe, alice, "alice-notes").status)
		require.Equal(t, http.StatusForbidden, search(safe, alice, "bob-notes").status)
		require.NotContains(t, search(safe, alice, "papers").body, `"owner":"bob"`)
		require.Contains(t, search(safe, alice, "papers").body, `"owner":"alice"`)

		for name, c := range map[string]struct {
			certificate pki.Pair
			index       string
		}{
			"everybody's indices":                 {named("*", "data"), "bob-notes"},
			"one letter of a name":                {named("?ob", "data"), "bob-notes"},
			"a filter that takes everything":      {named(`x"}},{"match_all":{}},{"term":{"owner":"x`, "data"), "papers"},
			"a name that is put together again":   {named("${attr.jwt.team}", "bob"), "bob-notes"},
			"a regular expression instead of one": {named("/b.b/", "data"), "bob"},
		} {
			got := search(all, c.certificate, c.index)
			assert.Equal(t, http.StatusOK, got.status, "%s: %s", name, got.body)
			assert.Contains(t, got.body, `"owner":"bob"`, name)

			got = search(safe, c.certificate, c.index)
			assert.Equal(t, http.StatusForbidden, got.status, name)
			assert.Contains(t, got.body, `"reason":"invalid_name: `, "%s: it is not the node's answer", name)
		}
	})
}
