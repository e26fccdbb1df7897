package apikey_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
)

const limitedRole = `{"cluster":["monitor"],"indices":[{"names":["logs-*"],"privileges":["read"],"query":"{\"match_all\":{}}"}]}`

func TestWhatIsMissingIsSaidAtStart(t *testing.T) {
	for name, test := range map[string]struct {
		change func(t *testing.T, s *scene)
		says   string
	}{
		"nothing":          {func(*testing.T, *scene) {}, ""},
		"another password": {func(_ *testing.T, s *scene) { s.passwords["proxy"] = "x" }, `the cluster refuses the user "proxy"`},
		"security off":     {func(_ *testing.T, s *scene) { s.security = false }, "xpack.security.enabled"},
		"API keys": {
			func(_ *testing.T, s *scene) {
				s.answers = func(r *http.Request) (int, string) {
					if strings.HasPrefix(r.URL.Path, "/_security/api_key") {
						return http.StatusBadRequest, keysOff
					}
					return 0, ""
				}
			}, "xpack.security.authc.api_key.enabled",
		},
		"to make keys": {
			func(_ *testing.T, s *scene) { s.lacks = []string{"manage_own_api_key"} },
			"lacks the cluster privilege manage_own_api_key",
		},
		"a privilege of a role": {
			func(_ *testing.T, s *scene) { s.lacks = []string{"view_index_metadata"} },
			`the role of the group "analysts" has: view_index_metadata on sales`,
		},
		"a privilege that is none": {
			func(t *testing.T, s *scene) {
				require.NoError(t, os.WriteFile(s.ops, []byte(`{"indices":[{"names":["a"],"privileges":["reed"]}]}`), 0o600))
			}, "unknown index privilege [reed]",
		},
		"a licence": {
			func(t *testing.T, s *scene) { require.NoError(t, os.WriteFile(s.ops, []byte(limitedRole), 0o600)) },
			`Platinum, Enterprise or trial licence, and it has "basic"`,
		},
		"no licence": {
			func(t *testing.T, s *scene) {
				s.licence = "trial"
				require.NoError(t, os.WriteFile(s.ops, []byte(limitedRole), 0o600))
			}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inScene(t, func(t *testing.T, s *scene) {
				test.change(t, s)
				a, logs, err := s.provision(t, s.settings())
				require.NoError(t, err)
				defer begin(t, a, nil)()
				time.Sleep(time.Second)
				synctest.Wait()
				explained, err := a.Explain(newClient(t, "alice", "ops"))
				require.NoError(t, err)
				require.NotContains(t, logs(), "hunter2")
				if test.says == "" {
					require.Empty(t, explained.Missing)
					require.NotContains(t, logs(), `"level":"error"`)
					require.Contains(t, logs(), "the cluster has what `credential api_key` needs")
					return
				}
				require.Len(t, explained.Missing, 1)
				require.Contains(t, explained.Missing[0], test.says)
				require.Contains(t, logs(), `"level":"error"`)
			})
		})
	}
}

// TestASuperuserMakesNoKeysWithoutAWarning: who has its password has more than all clients together.
func TestASuperuserMakesNoKeysWithoutAWarning(t *testing.T) {
	for role, want := range map[string]bool{"superuser": true, "key_maker": false} {
		inScene(t, func(t *testing.T, s *scene) {
			s.role = role
			a, logs, err := s.provision(t, s.settings())
			require.NoError(t, err)
			defer begin(t, a, nil)()
			time.Sleep(time.Minute)
			require.Equal(t, want, strings.Contains(logs(), "is a superuser"))
		})
	}
}

// TestTheChecksAreRepeated when they could not be made, and when what they have found may have changed.
func TestTheChecksAreRepeated(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.down = true
		s.lacks = []string{"read"}
		a := s.replica(t)
		defer begin(t, a, nil)()
		missing := func() []string {
			synctest.Wait()
			explained, err := a.Explain(newClient(t, "alice", "ops"))
			require.NoError(t, err)
			return explained.Missing
		}
		time.Sleep(time.Minute)
		require.Equal(t, []string{credential.NotAsked}, missing())
		s.set(func() { s.down = false })
		time.Sleep(6 * time.Minute)
		require.Len(t, missing(), 2)
		s.set(func() { s.lacks = nil })
		time.Sleep(2 * time.Hour)
		require.Empty(t, missing())
	})
}

// TestARestrictionIsForOneGroupAlone: Elasticsearch makes no key with a restricted role and another one.
func TestARestrictionIsForOneGroupAlone(t *testing.T) {
	const restricted = `{"indices":[{"names":["logs-*"],"privileges":["read"]}],` +
		`"restriction":{"workflows":["search_application_query"]}}`
	const warning = "a client that is in another of these groups too is refused"
	s := newScene(t)
	require.NoError(t, os.WriteFile(s.ops, []byte(restricted), 0o600))
	settings := s.settings()
	_, logs, err := s.provision(t, settings)
	require.NoError(t, err)
	require.Contains(t, logs(), warning)

	settings["roles"] = []map[string]string{{"group": "ops", "file": s.ops}}
	_, logs, err = s.provision(t, settings)
	require.NoError(t, err)
	require.NotContains(t, logs(), warning)
}

// TestWhatTheUserGainsReachesTheKeys that are there: a key has the privileges that its maker had when it was made.
func TestWhatTheUserGainsReachesTheKeys(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.lacks = []string{"read"}
		a, logs, err := s.provision(t, s.settings())
		require.NoError(t, err)
		defer begin(t, a, nil)()
		alice := get(t, a, newClient(t, "alice", "ops"), nil)
		now := func() key {
			s.mu.Lock()
			defer s.mu.Unlock()
			return *s.keys[alice.ID]
		}
		expires := now().Expires
		time.Sleep(10 * time.Minute)
		require.Equal(t, []string{"read"}, now().Lacks)
		s.set(func() {
			s.lacks = nil
			s.answers = func(r *http.Request) (int, string) {
				if strings.HasSuffix(r.URL.Path, "/_bulk_update") {
					return http.StatusServiceUnavailable, `{"error":{"type":"x"}}`
				}
				return 0, ""
			}
		})
		time.Sleep(4 * time.Minute)
		require.Contains(t, logs(), "API keys still have the privileges that the proxy's user had before")
		require.Equal(t, []string{"read"}, now().Lacks)
		s.set(func() { s.answers = nil })
		time.Sleep(3 * time.Minute)
		require.Empty(t, now().Lacks)
		require.Equal(t, expires, now().Expires)
	})
}
