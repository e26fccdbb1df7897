package esjwt_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// noKeys checks that clients are refused, and quickly, because there are no keys.
func (r *replica) noKeys(within time.Duration) {
	r.t.Helper()
	asked := time.Now()
	require.Equal(r.t, "503 no_key", r.refusal())
	r.unavailable()
	require.LessOrEqual(r.t, time.Since(asked), within)
}

func TestAStorageThatFailsAtStartIsWaitedFor(t *testing.T) {
	failures := map[string]func(*view){
		"unreachable": func(v *view) { v.failure = errors.New("connection refused") },
		"read-only":   func(v *view) { v.readOnly = errors.New("read-only file system") },
		"forbidden":   func(v *view) { v.failure = os.ErrPermission },
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				v := newMemory().view(t)
				v.set(fail)
				r := startReplica(t, replicaConfig{storage: v.config()})
				time.Sleep(5 * time.Second)
				r.noKeys(0)
				time.Sleep(time.Hour)
				r.noKeys(0)
				require.Empty(t, v.memory.keys())

				log := r.logs.String()
				require.Contains(t, log, "no signing key: every request of an authenticated client gets 503 until there is one")
				require.Contains(t, log, "for Caddy", "and what to do")
				require.Contains(t, log, v.Name, "and which storage")
				require.Less(t, strings.Count(log, "no signing key"), 150, "not all the time")

				v.set(func(v *view) { v.failure, v.readOnly = nil, nil })
				settle()
				require.NotEmpty(t, r.signs(), "it recovers by itself")
				require.Len(t, r.kids(), 2)
			})
		})
	}
}

func TestAStorageThatHangsAtStartIsNoticed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		v := newMemory().view(t)
		hang := make(chan struct{})
		v.set(func(v *view) { v.hang = hang })
		r := startReplica(t, replicaConfig{storage: v.config()})
		r.noKeys(15 * time.Second)
		time.Sleep(time.Minute)
		r.noKeys(0)
		require.Contains(t, r.logs.String(), "no signing key")
		require.Contains(t, r.logs.String(), "gave no answer")

		v.set(func(v *view) { v.hang = nil })
		close(hang)
		settle()
		require.NotEmpty(t, r.signs(), "it recovers by itself")
	})
}

func TestAStorageThatHangsLaterKeepsNothingFromBeingServed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		v := newMemory().view(t)
		r := startReplica(t, replicaConfig{storage: v.config()})
		document, kid := r.document(), r.signs()
		hang := make(chan struct{})
		v.set(func(v *view) { v.hang = hang })
		time.Sleep(24 * time.Hour)
		require.Equal(t, document, r.document())
		require.Equal(t, kid, r.signs())
		require.Contains(t, r.logs.String(), "those at hand go on")
		require.Contains(t, r.logs.String(), "gave no answer")
		close(hang)
	})
}

func TestOtherSitesAreServedWhileTheStorageFails(t *testing.T) {
	storage := filepath.Join(t.TempDir(), "storage")
	require.NoError(t, os.WriteFile(storage, nil, 0o600)) // a file, where there should be a folder
	const caddyfile = `{
	admin off
	storage file_system {{root}}
	auto_https disable_redirects
	elasticsearch_jwt {
		keys default storage {
			algorithm ES256
		}
	}
}
{{site}} {
	tls {{tls}} {
		client_auth {
			mode verify_if_given
			trust_pool file {{clients}}
		}
	}
	respond /hello "hello"
	handle /es/* {
		elasticsearch_jwt {
			issuer   https://es.example.com
			audience https://elasticsearch.example.com:9200
		}
		reverse_proxy {{upstream}}
	}
	handle {
		elasticsearch_jwks
	}
	handle_errors {
		header X-Reason {http.elasticsearch_jwt.reason}
		respond {err.status_code}
	}
}
`
	s := newSceneOf(t, caddyfile, "{{root}}", storage)
	client := s.httpClient(s.clients.client("alice"))
	require.Equal(t, "hello", s.get(client, "/hello").body)

	a := s.get(client, "/es/")
	require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
	require.Equal(t, "no_key", a.Header.Get("X-Reason"))
	a = s.get(client, jwksPath)
	require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	require.Equal(t, "5", a.Header.Get("Retry-After"))
	s.upstream.requireNone(t)
	require.Contains(t, s.logs.String(), "no signing key")
	require.Contains(t, s.logs.String(), storage)

	require.NoError(t, os.Remove(storage))
	eventually(t, func() bool { return s.get(client, "/es/").StatusCode == http.StatusOK }, "it recovers by itself")
	require.Equal(t, "alice []", s.token(s.upstream.last(t)).who())
}

func TestAStorageThatFailsLaterIsAWarningAndNoOutage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		v := newMemory().view(t)
		config := replicaConfig{storage: v.config(), keys: storageKeys(`,"rotate_every":"2h"`)}
		r := startReplica(t, config)
		first, kids := r.signs(), r.kids()
		v.set(func(v *view) { v.failure = errors.New("connection refused") })

		time.Sleep(time.Hour)
		require.Equal(t, first, r.signs())
		require.Equal(t, kids, r.kids())
		require.Contains(t, r.logs.String(), "those at hand go on")
		require.NotContains(t, r.logs.String(), "no signing key")

		// A reload takes the keys with it.
		reloaded := startReplica(t, config)
		r.stop()
		require.Equal(t, first, reloaded.signs())
		require.Equal(t, kids, reloaded.kids())

		// The successor is known and signs when its turn comes; it goes on for longer than
		// planned, since nobody can make the next.
		time.Sleep(10 * time.Hour)
		second := reloaded.signs()
		require.Contains(t, kids, second)
		require.NotEqual(t, first, second)
		require.Equal(t, []string{second}, reloaded.kids())

		// When the storage is back, the next key is published for long enough before it signs.
		v.set(func(v *view) { v.failure = nil })
		settle()
		require.Len(t, reloaded.kids(), 2)
		require.Equal(t, second, reloaded.signs())
		time.Sleep(time.Minute)
		require.Equal(t, second, reloaded.signs(), "caches do not know it yet")
		time.Sleep(20 * time.Minute)
		require.NotEqual(t, second, reloaded.signs())
	})
}

func TestAStorageThatIsReadOnlyServesTheKeysThatItHas(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		writer := startReplica(t, replicaConfig{storage: shared.view(t).config()})
		document, kid := writer.document(), writer.signs()
		writer.stop()

		v := shared.view(t)
		v.set(func(v *view) { v.readOnly = errors.New("read-only file system") })
		r := startReplica(t, replicaConfig{storage: v.config()})
		require.Equal(t, document, r.document())
		require.Equal(t, kid, r.signs())
		time.Sleep(time.Hour)
		require.NotContains(t, r.logs.String(), `"level":"warn"`, "there is nothing to write yet")
	})
}

func TestStaleReadsTakeNothingAway(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		v := shared.view(t)
		r := startReplica(t, replicaConfig{storage: v.config()})
		document, kid := r.document(), r.signs()

		// The storage forgets everything, or lists it only after hours.
		v.set(func(v *view) { v.stale = []string{} })
		time.Sleep(3 * time.Hour)
		require.Equal(t, document, r.document())
		require.Equal(t, kid, r.signs())
		require.Equal(t, 2, shared.stored)

		// A replica that starts with such a storage makes keys of its own, but not for ever.
		stale := shared.view(t)
		stale.set(func(v *view) { v.stale = []string{} })
		other := startReplica(t, replicaConfig{storage: stale.config()})
		settle()
		settle()
		require.Len(t, other.kids(), 2)
		require.Equal(t, 4, shared.stored)

		// Once both see everything, they agree again.
		for _, v := range []*view{v, stale} {
			v.set(func(v *view) { v.stale = nil })
		}
		settle()
		require.Equal(t, r.document(), other.document())
		require.Equal(t, r.signs(other), other.signs(r))
		require.Len(t, r.kids(), 4)
	})
}

func TestAFailingLockIsNamed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		shared.locks["elasticsearch_jwt_default"] = true // of a replica that is gone, in a storage that never notices
		r := startReplica(t, replicaConfig{storage: shared.view(t).config()})
		time.Sleep(time.Minute)
		r.noKeys(0)
		require.Contains(t, r.logs.String(), "to make a key")
		require.Contains(t, r.logs.String(), context.DeadlineExceeded.Error())

		shared.mu.Lock()
		delete(shared.locks, "elasticsearch_jwt_default")
		shared.mu.Unlock()
		settle()
		require.NotEmpty(t, r.signs())
	})
}

func TestRequestsThatComeBeforeTheFirstKeyWaitForIt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		v := newMemory().view(t)
		hang := make(chan struct{})
		v.set(func(v *view) { v.hang = hang })
		r := startReplica(t, replicaConfig{storage: v.config()})
		var clients sync.WaitGroup
		for range 50 {
			clients.Go(func() {
				_, err := r.authorization()
				if err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(5 * time.Second)
		v.set(func(v *view) { v.hang = nil })
		close(hang)
		clients.Wait()
	})
}

func TestStoppingDoesNotWaitForAStorageThatHangs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		v := newMemory().view(t)
		hang := make(chan struct{})
		v.set(func(v *view) { v.hang = hang })
		r := startReplica(t, replicaConfig{storage: v.config()})
		synctest.Wait()
		stopped := time.Now()
		r.stop()
		require.Less(t, time.Since(stopped), 10*time.Second)
		close(hang)
	})
}
