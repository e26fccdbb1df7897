package apikey_test

import (
	"context"
	"os"
	"path"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"github.com/stretchr/testify/require"
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
