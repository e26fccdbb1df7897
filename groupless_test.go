package esjwt_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAClientWithoutGroupsIsSaidOf, since a node lets it in, with no roles, and says nothing either.
func TestAClientWithoutGroupsIsSaidOf(t *testing.T) {
	const line = "clients have no group, since their certificates have nothing for "
	mapping := writeFile(t, "role_mapping.yml", []byte("reader: ['CN=somebody else']\n"))
	for settings, want := range map[string]string{
		"":                          "groups {cert.o}",
		"groups {cert.ou} {cert.l}": "groups {cert.ou} {cert.l}",
		"group_pattern OU=(.*)":     "group_pattern OU=(.*)",
		"role_mapping " + mapping:   "role_mapping " + mapping,
		"groups off":                "",
		"groups everybody":          "",
	} {
		t.Run(settings, func(t *testing.T) {
			s := newSceneOf(t, ownPool, "{{settings}}", settings)
			client := s.httpClient(s.clients.client("alice"))
			for range 3 {
				s.get(client, "/")
			}
			s.get(s.httpClient(s.clients.client("bob")), "/")
			if want == "" {
				require.NotContains(t, s.logs.String(), line)
				return
			}
			require.Contains(t, s.logs.String(), line+want+",")
			require.Equal(t, 1, strings.Count(s.logs.String(), line), "once a minute")
			require.Contains(t, s.logs.String(), `"times":1,"user":"alice"`)
		})
	}
	s := newSceneOf(t, ownPool, "{{settings}}", "")
	s.get(s.httpClient(s.clients.client("alice", "analysts")), "/")
	require.NotContains(t, s.logs.String(), line)
}
