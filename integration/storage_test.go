package integration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/caddy"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode/process"
)

// storagesCaddy is a Caddy with storages in databases, in which a minute is a second.
var storagesCaddy = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "caddy-storages-")
	if err != nil {
		return "", err
	}
	closeAtEnd(func() error { return os.RemoveAll(dir) })
	return caddy.BuildStorages(context.Background(), dir, "esjwt_fast")
})

// TestReplicasShareADatabase: three replicas start together on an empty storage, one of them rotates
// the keys, one revokes them all, and one is killed while it has the lock. docs/storage.md says what was
// tried.
func TestReplicasShareADatabase(t *testing.T) {
	for name, start := range map[string]func(testing.TB) (storage string){
		"Redis":                          startRedis,
		"PostgreSQL":                     func(t testing.TB) string { return startPostgres(t) + " 5s" },
		"PostgreSQL that refuses a lock": func(t testing.TB) string { return startPostgres(t) + " 0s" },
	} {
		t.Run(name, func(t *testing.T) {
			storage := start(t)
			replicas := startStorageReplicas(t, storage, 3)
			require.Len(t, slices.Compact(kidsOf(t, replicas)), 1, "they sign with one key")

			var rotation struct{ Signing, Fresh string }
			replicas[0].command(t, &rotation, "rotate", "--json")
			followedBy(t, replicas, rotation.Signing)
			replicas[1].command(t, &rotation, "revoke", "--all", "--json")
			followedBy(t, replicas, rotation.Fresh)
			for _, r := range replicas {
				require.Empty(t, r.refused, "%v", r.refused)
				require.NoError(t, r.server.Stop())
				require.NotContains(t, r.server.LogSince(0), "no signing key")
			}

			dies := newStorageReplica(t, storage, "late", "THIN_STORAGE_HANGS=1")
			require.NoError(t, dies.run(t))
			require.Eventually(t, func() bool { return strings.Contains(dies.server.LogSince(0), "the storage hangs") },
				20*time.Second, 50*time.Millisecond)
			require.NoError(t, dies.server.Kill())
			survivor := newStorageReplica(t, storage, "late")
			require.NoError(t, survivor.run(t))
			require.Eventually(t, func() bool {
				got, err := survivor.request(t)
				return err == nil && got.status == http.StatusNoContent
			}, time.Minute, 100*time.Millisecond, "the lock of a process that is gone ends")
		})
	}
}

// storageReplica is one of several Caddys on one storage.
type storageReplica struct {
	site
	set      string
	storage  string
	upstream *recorder
	server   *caddy.Caddy
	client   *http.Client
	refused  []int // statuses
}

// newStorageReplica prepares a replica that signs with a key set.
func newStorageReplica(t testing.TB, storage, set string, env ...string) *storageReplica {
	t.Helper()
	program, err := storagesCaddy()
	require.NoError(t, err)
	r := &storageReplica{set: set, storage: storage, upstream: newRecorder(t)}
	r.site = site{
		port: freePort(t), upstream: r.upstream.url,
		handler: "keys " + set, jwks: "elasticsearch_jwks {\nkeys " + set + "\nmax_age 1s\n}",
	}
	r.client = r.site.client(clientCA().Client("alice", "analysts").TLS)
	r.server, err = caddy.New(program, env...)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last lines of Caddy's log:\n%s", r.server.LogTail(40))
		}
		assert.NoError(t, r.server.Close())
	})
	return r
}

func (r *storageReplica) run(t testing.TB) error {
	block, err := r.block()
	if err != nil {
		return err
	}
	return r.server.Run(t.Context(), fmt.Sprintf(`{
	auto_https off
	storage %s
	elasticsearch_jwt {
		keys %s storage {
			algorithm ES256
		}
	}
}
%s`, r.storage, r.set, block))
}

func (r *storageReplica) request(t testing.TB) (answer, error) {
	got, err := trySend(t.Context(), r.client, http.MethodGet, r.url("/"), "", nil)
	if err == nil && got.status != http.StatusNoContent {
		r.refused = append(r.refused, got.status)
	}
	return got, err
}

// command runs a command of the plugin.
func (r *storageReplica) command(t testing.TB, result any, command ...string) {
	t.Helper()
	output, err := r.server.Command(t.Context(), append([]string{"elasticsearch-jwt"}, command...)...)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal([]byte(output), result))
}

// kid is that of the key that signs for alice.
func (r *storageReplica) kid(t testing.TB) string {
	t.Helper()
	r.upstream.take()
	got, err := r.request(t)
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, got.status, got.body)
	received := r.upstream.take()
	require.Len(t, received, 1, "the upstream of this replica got it")
	part, _, _ := strings.Cut(received[0].token(t), ".")
	raw, err := base64.RawURLEncoding.DecodeString(part)
	require.NoError(t, err)
	var header struct{ Kid string }
	require.NoError(t, json.Unmarshal(raw, &header))
	return header.Kid
}

func kidsOf(t testing.TB, replicas []*storageReplica) []string {
	t.Helper()
	kids := make([]string, 0, len(replicas))
	for _, r := range replicas {
		kids = append(kids, r.kid(t))
	}
	return kids
}

// followedBy waits until all replicas sign with a key.
func followedBy(t testing.TB, replicas []*storageReplica, kid string) {
	t.Helper()
	require.NotEmpty(t, kid)
	require.Eventually(t, func() bool {
		return slices.Equal(slices.Compact(kidsOf(t, replicas)), []string{kid})
	}, 20*time.Second, 100*time.Millisecond, "not all sign with it")
}

// startStorageReplicas starts replicas together. From the first moment on none refuses a request.
func startStorageReplicas(t testing.TB, storage string, n int) []*storageReplica {
	t.Helper()
	replicas := make([]*storageReplica, n)
	errs := make([]error, n)
	for i := range replicas {
		replicas[i] = newStorageReplica(t, storage, "default")
	}
	var started sync.WaitGroup
	for i, r := range replicas {
		started.Go(func() {
			if errs[i] = r.run(t); errs[i] != nil {
				return
			}
			for range 50 {
				if _, errs[i] = r.request(t); errs[i] != nil {
					return
				}
			}
		})
	}
	started.Wait()
	for i, r := range replicas {
		require.NoError(t, errs[i])
		require.Empty(t, r.refused)
	}
	return replicas
}

// startRedis starts a Redis that keeps what it has in memory, and returns how a Caddyfile names it.
func startRedis(t testing.TB) string {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		requireReal(t, &realnode.MissingError{What: "Redis", How: "apt-get install redis-server"})
	}
	port := fmt.Sprint(freePort(t))
	runDatabase(t, exec.Command(program, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no",
		"--dir", t.TempDir()),
		func() bool { return exec.CommandContext(t.Context(), "redis-cli", "-p", port, "ping").Run() == nil })
	return "thin_redis 127.0.0.1:" + port
}

// startPostgres starts a PostgreSQL, which refuses to run as root.
func startPostgres(t testing.TB) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		requireReal(t, &realnode.MissingError{What: "PostgreSQL", How: "apt-get install postgresql"})
	}
	bin := filepath.Dir(found[len(found)-1])
	account := process.Unprivileged()
	dir, err := os.MkdirTemp("", "postgres-") //nolint:usetesting // the folder of a test is one that only its owner may pass
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, process.Own(dir, account))
	data := filepath.Join(dir, "data")
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir = dir
		process.RunAs(cmd, account)
		return cmd
	}
	output, err := command("initdb", "-D", data, "-U", "caddy", "-A", "trust", "--no-sync", "--locale=C").CombinedOutput()
	require.NoError(t, err, string(output))
	port := fmt.Sprint(freePort(t))
	runDatabase(t, command("postgres", "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c",
		"unix_socket_directories=", "-c", "fsync=off"),
		func() bool { return command("pg_isready", "-h", "127.0.0.1", "-p", port).Run() == nil })
	return "thin_postgres postgres://caddy@127.0.0.1:" + port + "/postgres"
}

// runDatabase runs a database until the test ends, and waits until it is ready.
func runDatabase(t testing.TB, cmd *exec.Cmd, ready func() bool) {
	t.Helper()
	database, err := process.Start(cmd)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, database.Stop(0, 20*time.Second)) })
	require.Eventually(t, ready, time.Minute, 50*time.Millisecond, "the database does not start")
}
