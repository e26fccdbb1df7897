package esjwt_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestValidatingAnAPIKeyWritesNothing: neither into the storage, nor the ID of this Caddy into its folder.
func TestValidatingAnAPIKeyWritesNothing(t *testing.T) {
	home, storage := t.TempDir(), filepath.Join(t.TempDir(), "storage")
	t.Setenv("XDG_DATA_HOME", home)
	t.Setenv("ESJWT_TEST_USER", "proxy:hunter2")
	role := writeFile(t, "role.json", []byte(`{"cluster":["monitor"]}`))
	config := handlerJSON(`{"handler":"elasticsearch_jwt","credential":{"kind":"api_key",`+
		`"cluster":["http://127.0.0.1:1"],"user":"{env.ESJWT_TEST_USER}","roles":[{"group":"a","file":"`+role+`"}]}},`+
		`{"handler":"reverse_proxy","upstreams":[{"dial":"127.0.0.1:1"}],"transport":{"protocol":"elasticsearch_jwt"}}`, "")
	require.NoError(t, validate(t, config, storage))
	found, err := os.ReadDir(home)
	require.NoError(t, err)
	require.Empty(t, found)
	require.NoDirExists(t, storage)
}
