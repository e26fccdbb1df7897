package apikey_test

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/credentials/apikey"
)

// TestAStorageThatIsEmptyAllAtOnce, as that of a volume that is not mounted any more, takes no key away from anybody.
func TestAStorageThatIsEmptyAllAtOnce(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		alice, a := newClient(t, "alice", "ops"), s.replica(t)
		defer begin(t, a, nil)()
		made := get(t, a, alice, nil)
		mounted := s.storage + "-mounted"
		require.NoError(t, os.Rename(s.storage, mounted))
		require.NoError(t, os.Mkdir(s.storage, 0o700))
		time.Sleep(time.Hour)
		require.NotNil(t, s.keyOf(made.Authorization), "while the volume is away")
		bob := get(t, a, newClient(t, "bob", "ops"), nil)
		time.Sleep(time.Hour)
		require.NotNil(t, s.keyOf(bob.Authorization))

		require.NoError(t, os.RemoveAll(s.storage))
		require.NoError(t, os.Rename(mounted, s.storage))
		time.Sleep(10 * time.Minute)
		require.NotNil(t, s.keyOf(made.Authorization), "when it is back")
		renewed := get(t, a, alice, made)
		require.Equal(t, made.Authorization, renewed.Authorization)
		require.NotNil(t, s.keyOf(bob.Authorization))
	})
}

// prefixed is a storage that lists names with a prefix of its own, as some have done.
type prefixed struct {
	certmagic.FileStorage
	Root string `json:"root"`
}

func init() { caddy.RegisterModule(new(prefixed)) }

func (*prefixed) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.prefixed", New: func() caddy.Module { return new(prefixed) }}
}

func (p *prefixed) CertMagicStorage() (certmagic.Storage, error) {
	p.Path = p.Root
	return p, nil
}

func (p *prefixed) List(ctx context.Context, name string, recursive bool) ([]string, error) {
	names, err := p.FileStorage.List(ctx, name, recursive)
	for i := range names {
		names[i] = path.Join("prefix", names[i])
	}
	return names, err
}

// faulty is a storage that gives no lock, or takes nothing, from when a test says so.
type faulty struct {
	certmagic.FileStorage
	Root string `json:"root"`
	*faults
}

type faults struct{ noLocks, readOnly atomic.Bool }

// nextFaults are those of the storage of the replica that is provisioned next.
var nextFaults *faults

func init() { caddy.RegisterModule(new(faulty)) }

func (*faulty) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.faulty", New: func() caddy.Module { return &faulty{faults: nextFaults} }}
}

func (f *faulty) CertMagicStorage() (certmagic.Storage, error) {
	f.Path = f.Root
	return f, nil
}

func (f *faulty) Store(ctx context.Context, key string, value []byte) error {
	if f.readOnly.Load() {
		return errors.New("read-only file system")
	}
	return f.FileStorage.Store(ctx, key, value)
}

func (f *faulty) Lock(ctx context.Context, name string) error {
	if f.noLocks.Load() {
		return errors.New("no locks available")
	}
	return f.FileStorage.Lock(ctx, name)
}

func (f *faulty) TryLock(ctx context.Context, name string) (bool, error) {
	if f.noLocks.Load() {
		return false, errors.New("no locks available")
	}
	return f.FileStorage.TryLock(ctx, name)
}

// faultyReplica is a replica whose storage has faults.
func (s *scene) faultyReplica(t *testing.T) (a *apikey.APIKey, f *faults) {
	t.Helper()
	module := s.module
	defer func() { s.module = module }()
	s.module, nextFaults = "faulty", new(faults)
	return s.replica(t), nextFaults
}

// TestAStorageWithoutLocks: the keys of denied clients are deleted all the same.
func TestAStorageWithoutLocks(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		a, f := s.faultyReplica(t)
		made := get(t, a, newClient(t, "alice", "ops"), nil)
		f.noLocks.Store(true)
		defer begin(t, a, func([]*x509.Certificate) bool { return true })()
		time.Sleep(5 * time.Minute)
		require.Nil(t, s.keyOf(made.Authorization))
	})
}

// TestAReplicaThatCannotWriteKeepsItsKeys: another one, which can, does not take them for keys that nobody knows.
func TestAReplicaThatCannotWriteKeepsItsKeys(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		alice, bob := newClient(t, "alice", "ops"), newClient(t, "bob", "ops")
		a := s.replica(t)
		b, f := s.faultyReplica(t)
		endA := begin(t, a, nil)
		defer begin(t, b, nil)()
		before := get(t, b, alice, nil)
		f.readOnly.Store(true)
		during := get(t, b, bob, nil)
		time.Sleep(30 * time.Minute)
		require.NotNil(t, s.keyOf(during.Authorization))
		time.Sleep(100 * time.Minute)
		renewed := get(t, b, alice, before)
		require.Equal(t, before.ID, renewed.ID)
		during = get(t, b, bob, during)
		time.Sleep(150 * time.Minute)
		require.NotNil(t, s.keyOf(renewed.Authorization), "although the storage has it as it was before it was renewed")
		require.NotNil(t, s.keyOf(during.Authorization))

		endA() // in this test the two are one process, of which one handler sweeps
		f.readOnly.Store(false)
		time.Sleep(10 * time.Minute)
		require.Equal(t, during.ID, get(t, s.replica(t), bob, nil).ID, "it is stored when that is possible again")
	})
}

// TestAStorageThatListsOtherNames takes no key away from anybody either.
func TestAStorageThatListsOtherNames(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.module = "prefixed"
		alice, a := newClient(t, "alice", "ops"), s.replica(t)
		defer begin(t, a, nil)()
		made := get(t, a, alice, nil)
		time.Sleep(time.Hour)
		require.NotNil(t, s.keyOf(made.Authorization))
	})
}
