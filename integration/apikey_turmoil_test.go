package integration

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// keysOfTurmoil is a node with a basic licence and two Caddys that share the keys of their clients.
type keysOfTurmoil struct {
	*keyStack
	cluster *cluster
}

// turmoilLifetime is an hour of a build whose minutes are seconds. A restart of a node is shorter than half of it.
const turmoilLifetime = time.Minute

func newKeysOfTurmoil(t *testing.T, version string) *keysOfTurmoil {
	t.Helper()
	s := &keysOfTurmoil{keyStack: newKeyStack(t, basicNodeOf(t, version), turmoilLifetime)}
	s.cluster = &cluster{node: s.es.Node, whoami: "/_security/_authenticate", name: "api_key.name"}
	program, err := fastCaddy()
	require.NoError(t, err)
	var shared []string
	for i := range s.cluster.replicas {
		process := caddyOf(t, program, shared...)
		s.cluster.replicas[i] = &replica{process, site{port: freePort(t), upstream: s.es.URL(), handler: s.settings}}
		s.run(t, i)
		if i == 0 {
			shared = []string{"XDG_DATA_HOME=" + process.DataHome()}
		}
	}
	return s
}

func (s *keysOfTurmoil) run(t *testing.T, i int) {
	t.Helper()
	r := s.cluster.replicas[i]
	f := &front{site: r.site}
	require.NoError(t, r.Run(t.Context(), f.keyCaddyfile(t)))
}

// active returns how many good keys the node has by the names of the clients.
func (s *keysOfTurmoil) active(t testing.TB) map[string]int {
	t.Helper()
	count := make(map[string]int)
	for _, k := range s.keys(t) {
		if !k.Invalidated && time.UnixMilli(k.Expiration).After(time.Now()) {
			count[k.Name]++
		}
	}
	return count
}

// ids returns the keys of the clients that never leave.
func (s *keysOfTurmoil) ids(t testing.TB) (ids []string) {
	t.Helper()
	for _, k := range s.keys(t) {
		if strings.HasPrefix(k.Name, "client-") && !k.Invalidated {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

// requireKept requires that a restart of the node has cost no key. A node that refuses a key because it cannot read it,
// and can a moment later when it is asked why, costs one.
func (s *keysOfTurmoil) requireKept(t *testing.T, before []string) {
	t.Helper()
	time.Sleep(2 * time.Second) // until the node finds new keys
	lost, after := 0, s.ids(t)
	for _, id := range before {
		if !slices.Contains(after, id) {
			lost++
		}
	}
	t.Logf("%d of %d keys were replaced", lost, len(before))
	require.LessOrEqual(t, lost, 3)
}

// TestKeysInTurmoil: whatever happens to the replicas, the node and other clients, every request goes on with the key
// of its own client, and no keys are left that nobody needs.
func TestKeysInTurmoil(t *testing.T) {
	for _, version := range versions(*elasticsearchVersions) {
		t.Run(version, func(t *testing.T) { newKeysOfTurmoil(t, version).turmoil(t) })
	}
}

func (s *keysOfTurmoil) turmoil(t *testing.T) {
	t.Helper()
	mallory := clientCA().Client("mallory", "analysts")
	for i := range s.cluster.replicas {
		require.Equal(t, http.StatusOK, s.asks(t, mallory, i))
	}
	load := s.cluster.startLoad(t)

	load.while(t, "all keys are renewed", func() {
		time.Sleep(2 * time.Second) // until the node finds all that were made
		before := s.ids(t)
		time.Sleep(35 * time.Second)
		require.ElementsMatch(t, before, s.ids(t), "a renewal makes no key")
	})
	load.whileProcessesEnd(t, "each replica is killed while clients arrive", func() {
		for i := range s.cluster.replicas {
			ctx, cancel := context.WithCancel(t.Context())
			done := s.arrive(ctx, load, fmt.Sprintf("newcomer-%d", i), 30)
			time.Sleep(300 * time.Millisecond)
			require.NoError(t, s.cluster.replicas[i].Kill())
			time.Sleep(3 * time.Second)
			s.run(t, i)
			<-done
			cancel()
		}
	})
	load.while(t, "the node hangs for five seconds", func() {
		s.hang(t, 5*time.Second)
		time.Sleep(3 * time.Second) // in which all are answered
	})
	load.while(t, "a client is denied", func() {
		s.deny(t, sha256.Sum256(mallory.TLS.Leaf.Raw))
		for i := range s.cluster.replicas {
			require.Eventually(t, func() bool { return s.asks(t, mallory, i) == http.StatusForbidden },
				40*time.Second, 200*time.Millisecond)
			require.Equal(t, http.StatusForbidden, s.asks(t, mallory, i), "and so it stays")
		}
	})
	load.whileProcessesEnd(t, "the node restarts", func() {
		before := s.ids(t)
		load.clusterRestarts.Store(true)
		defer func() { s.requireKept(t, before) }()
		require.NoError(t, s.es.Restart(t.Context()))
		s.waitForShards(t)
		load.clusterRestarts.Store(false)
	})
	load.while(t, "all keys are renewed after that", func() { time.Sleep(35 * time.Second) })
	for name, count := range s.active(t) {
		assert.LessOrEqual(t, count, len(s.cluster.replicas), name)
	}
	load.stop(t)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		active := s.active(t)
		for name, count := range active {
			assert.LessOrEqual(c, count, 1, name)
		}
		assert.NotContains(c, active, "mallory")
	}, 30*time.Second, time.Second)
	t.Logf("%d identities have a key in the end", len(s.active(t)))
}

// asks asks a replica who a client is, and returns the status.
func (s *keysOfTurmoil) asks(t *testing.T, client pki.Pair, i int) int {
	t.Helper()
	proxy := s.cluster.replicas[i].site
	return proxy.authenticate(t, &http.Client{Transport: proxy.http1(client.TLS)}).status
}

// arrive has new clients ask both replicas for the first time, soon after each other. It tells when all were answered.
func (s *keysOfTurmoil) arrive(ctx context.Context, l *load, prefix string, count int) <-chan struct{} {
	done := make(chan struct{})
	var left atomic.Int32
	left.Store(int32(count))
	for i := range count {
		name := fmt.Sprintf("%s-%d", prefix, i)
		certificate := clientCA().Client(name, "analysts").TLS
		l.clients.Go(func() {
			var clients [2]*http.Client
			for i, r := range s.cluster.replicas {
				clients[i] = r.site.client(certificate)
			}
			defer clients[0].CloseIdleConnections()
			defer clients[1].CloseIdleConnections()
			time.Sleep(time.Duration(i) * 20 * time.Millisecond)
			l.ask(ctx, name, clients, i)
			l.ask(ctx, name, clients, i+1)
			if left.Add(-1) == 0 {
				close(done)
			}
		})
	}
	return done
}

// hang stops the node's process for a while. What it was asked before and meanwhile it answers then.
func (s *keysOfTurmoil) hang(t *testing.T, d time.Duration) {
	t.Helper()
	pid := pidOf(t, s.es)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	defer func() { assert.NoError(t, syscall.Kill(pid, syscall.SIGCONT)) }()
	time.Sleep(d)
}

func pidOf(t testing.TB, es *realnode.Elasticsearch) int {
	t.Helper()
	text, err := os.ReadFile(es.ConfigPath("../node.pid"))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	return pid
}

// waitForShards waits until a node that has restarted can read its keys.
func (s *keysOfTurmoil) waitForShards(t *testing.T) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		status, body, err := s.es.Do(t.Context(), http.MethodGet,
			"/_cluster/health/.security-7?wait_for_status=yellow&timeout=5s", "")
		require.NoError(c, err)
		require.Equal(c, http.StatusOK, status, string(body))
	}, time.Minute, 100*time.Millisecond)
}
