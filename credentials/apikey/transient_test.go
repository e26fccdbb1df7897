package apikey_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// notWritten is what a node says of a key that it could not write just now: 9.2.0 did with a full disk.
func notWritten(id, cause string) string {
	return fmt.Sprintf(`{"updated": [], "noops": [], "errors": {"count": 1, "details": {%q: {"type": "exception", `+
		`"reason": "bulk request execution failure", "caused_by": {"type": %q, "reason": "why"}}}}}`, id, cause)
}

// TestAKeyThatCannotBeRenewedNowIsNotLost: it is good, a restart finds it, and it is renewed later. If somebody else
// renews it at the same time, that is no failure.
func TestAKeyThatCannotBeRenewedNowIsNotLost(t *testing.T) {
	for cause, fails := range map[string]bool{
		"version_conflict_engine_exception": false,
		"cluster_block_exception":           true,
		"unavailable_shards_exception":      true,
	} {
		t.Run(cause, func(t *testing.T) {
			inScene(t, func(t *testing.T, s *scene) {
				alice, a := newClient(t, "alice", "ops"), s.replica(t)
				defer begin(t, a, nil)()
				first := get(t, a, alice, nil)
				time.Sleep(2 * time.Hour)
				s.set(func() {
					s.answers = func(r *http.Request) (int, string) {
						switch r.Method + " " + r.URL.Path {
						case updates:
							return http.StatusOK, notWritten(first.ID, cause)
						case creates:
							return http.StatusTooManyRequests, `{"error": {"type": "cluster_block_exception"}, "status": 429}`
						}
						return 0, ""
					}
				})
				kept, err := try(a, alice, first)
				require.Equal(t, fails, err != nil)
				if !fails {
					require.Equal(t, first.Authorization, kept.Authorization)
					require.Equal(t, first.Until, kept.Until)
					require.Greater(t, kept.RenewAt, time.Now().Unix())
					require.Less(t, kept.RenewAt, time.Now().Add(time.Minute).Unix(), "it is looked again soon")
				}
				require.Equal(t, 1, s.total(creates), "no other key is asked for")
				restarted := get(t, s.replica(t), alice, nil)
				require.Equal(t, first.Authorization, restarted.Authorization)
				s.set(func() { s.answers = nil })
				time.Sleep(10 * time.Minute)
				require.NotNil(t, s.keyOf(first.Authorization), "the sweep does not take it for one that nobody has")
				renewed := get(t, a, alice, first)
				require.Equal(t, first.Authorization, renewed.Authorization)
				require.Greater(t, renewed.Until, first.Until)
			})
		})
	}
}
