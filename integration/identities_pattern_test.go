package integration

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// A PKI realm with a pattern of its own, and Caddy with the same one.
func TestPatternOfThePKIRealmGivesTheSameUserName(t *testing.T) {
	uid := func(text string) pki.RDN { return pki.RDN{{Type: pki.UID, Text: text}} }
	cn := pki.RDN{{Type: pki.CN, Text: "Alice Doe"}}
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		moved := site{clients: "people-ca.crt", issuer: movedIssuer, handler: `username_pattern "` + peoplePattern + `"` +
			"\nclaim dn {cert.dn}"}
		byUID := site{clients: "people-ca.crt", issuer: movedIssuer, handler: "principal {cert.uid}\nclaim dn {cert.dn}"}
		s.startSites(t, &moved, &byUID)
		for _, c := range []struct {
			name              string
			subject           []byte
			byPattern, byItem string
		}{
			{"a user id", pki.Subject(uid("alice"), cn), "alice", "alice"},
			{"a user id last", pki.Subject(cn, uid("alice")), "alice", "alice"},
			{"two", pki.Subject(uid("first"), uid("last")), "last", ""},
			{"one with a comma", pki.Subject(uid("a,b")), `"a`, "a,b"},
			{"beside a name", pki.Subject(pki.RDN{{Type: pki.UID, Text: "alice"}, cn[0]}), "alice + CN=Alice Doe", "alice"},
			{"in another attribute", pki.Subject(pki.RDN{{Type: pki.CN, Text: "uid=root"}}), `root"`, ""},
			{"none", pki.Subject(cn), "", ""},
		} {
			certificate := peopleCA().ClientRaw(c.subject)
			direct, err := s.direct(t.Context(), certificate)
			require.NoError(t, err)
			require.Equal(t, c.byPattern, direct.Name, c.name)

			got, err := moved.through(t.Context(), certificate)
			require.NoError(t, err)
			if direct.nobody() {
				require.Equal(t, identity{Status: http.StatusForbidden}, got, c.name)
			} else {
				require.Equal(t, direct, got, c.name)
			}
			got, err = byUID.through(t.Context(), certificate)
			require.NoError(t, err)
			require.Equal(t, c.byItem, got.Name, c.name)
		}
	})
}
