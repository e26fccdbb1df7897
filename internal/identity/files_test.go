package identity

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// TestFilesThatCannotBeOpenedKeepNothingFetched, or a list of a configuration that never ran would stay
// in memory.
func TestFilesThatCannotBeOpenedKeepNothingFetched(t *testing.T) {
	list := pki.NewCA("clients").RevocationList()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(list) }))
	defer server.Close()
	fetched := func() (known bool) {
		fetchedLists.Range(func(key, _ any) bool {
			known = known || key == sha256.Sum256([]byte(server.URL))
			return true
		})
		return known
	}
	good := &Settings{CRL: []string{server.URL}}
	bad := &Settings{CRL: []string{server.URL, filepath.Join(t.TempDir(), "missing.crl")}}

	_, err := OpenFiles(bad, setting.Resolve, zap.NewNop())
	require.ErrorContains(t, err, "missing.crl")
	require.False(t, fetched())

	one, err := OpenFiles(good, setting.Resolve, zap.NewNop())
	require.NoError(t, err)
	two, err := OpenFiles(good, setting.Resolve, zap.NewNop())
	require.NoError(t, err)
	require.Same(t, one.lists[0].Get(), two.lists[0].Get())
	require.NoError(t, one.Close())
	require.True(t, fetched(), "the other still uses it")
	require.NoError(t, two.Close())
	require.False(t, fetched())
}

// TestADoubtfulRoleMappingIsWarnedOf, and read (elastic/elasticsearch#60432).
func TestADoubtfulRoleMappingIsWarnedOf(t *testing.T) {
	for content, warnings := range map[string]int{
		"admin:\n- cn=*,dc=example\n": 1,
		"admin:\n- cn=a,dc=example\n": 0,
	} {
		core, logs := observer.New(zap.WarnLevel)
		file := filepath.Join(t.TempDir(), "roles.yml")
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		files, err := OpenFiles(&Settings{RoleMapping: file}, setting.Resolve, zap.New(core))
		require.NoError(t, err)
		require.NoError(t, files.Close())
		require.Len(t, logs.All(), warnings)
		for _, line := range logs.All() {
			require.Contains(t, line.ContextMap()["error"], `line 2: role "admin": there are no wildcards`)
		}
	}
}

// TestEachChangeOfAFileIsAnotherVersion, whichever file it is.
func TestEachChangeOfAFileIsAnotherVersion(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		write := func(name, content string) string {
			file := filepath.Join(dir, name)
			require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
			return file
		}
		ca := pki.NewCA("clients")
		files, err := OpenFiles(&Settings{
			RoleMapping: write("roles.yml", "users:\n- CN=alice\n"),
			Deny:        []string{write("one", "subject CN=eve\n"), write("two", "")},
			CRL:         []string{write("clients.crl", string(ca.RevocationList()))},
		}, setting.Resolve, zap.NewNop())
		require.NoError(t, err)
		for _, w := range files.Watched() {
			go w.Watch(t.Context())
		}
		seen := map[uint64]bool{files.version(): true}
		for name, content := range map[string]string{
			"roles.yml":   "users:\n- CN=bob\n",
			"one":         "subject CN=mallory\n",
			"two":         "subject CN=eve\n",
			"clients.crl": string(ca.RevocationList(ca.Client("eve"))),
		} {
			write(name, content)
			time.Sleep(watch.Latest)
			synctest.Wait()
			require.False(t, seen[files.version()], name)
			seen[files.version()] = true
		}
		before := files.version()
		time.Sleep(watch.Latest)
		require.Equal(t, before, files.version(), "nothing has changed")
	})
}
