package esjwt_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// TestAStorageThatLostEverythingIsFilledAgain, as docs/storage.md says: a Redis without persistence
// was restarted. Replicas that run notice nothing; one that starts makes keys of its own, until a
// single command on one of the others, or a restart of all, brings them together.
func TestAStorageThatLostEverythingIsFilledAgain(t *testing.T) {
	for name, mend := range map[string]func(*memory, *operated) *operated{
		"revoke --all": func(_ *memory, before *operated) *operated {
			before.change("revoke", `{"all":true}`)
			return before
		},
		"a restart": func(shared *memory, before *operated) *operated {
			before.stop()
			return startOperated(before.t, replicaConfig{storage: shared.view(before.t).config()})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				shared := newMemory()
				start := func() *operated {
					return startOperated(t, replicaConfig{storage: shared.view(t).config()})
				}
				before := start()
				synctest.Wait()
				time.Sleep(time.Hour)
				kid, document := before.signs(), before.document()
				for _, name := range shared.keys() {
					shared.remove(name)
				}
				time.Sleep(time.Hour)
				require.Equal(t, document, before.document())
				require.Equal(t, kid, before.signs())

				after := start()
				settle()
				require.NotContains(t, after.kids(), kid, "it cannot know that key")
				before = mend(shared, before)
				time.Sleep(followed)
				signing := before.both(after)
				require.Equal(t, signing[0], signing[1])
			})
		})
	}
}
