package watch_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// TestReadFileReadsRegularFiles: opening a FIFO hung `caddy validate` without a word (psviderski/uncloud#331).
func TestReadFileReadsRegularFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(in("file"), []byte("content"), 0o600))
	require.NoError(t, os.WriteFile(in("empty"), nil, 0o600))
	require.NoError(t, os.Symlink(in("file"), in("link")))
	require.NoError(t, os.Symlink(in("nothing"), in("dangling")))
	socket, err := net.Listen("unix", in("socket"))
	require.NoError(t, err)
	defer socket.Close()

	for name, test := range map[string]struct{ file, content, says string }{
		"a file":         {in("file"), "content", ""},
		"an empty file":  {in("empty"), "", ""},
		"a link":         {in("link"), "content", ""},
		"/dev/null":      {os.DevNull, "", ""},
		"a folder":       {dir, "", "it is a folder, not a regular file"},
		"a socket":       {in("socket"), "", "it is a socket, not a regular file"},
		"nothing":        {in("nothing"), "", "no such file or directory"},
		"a link to none": {in("dangling"), "", "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) { requireRead(t, test.file, test.content, test.says) })
	}
}

// requireRead checks what ReadFile returns, and that it does not hang. An empty says stands for no error.
func requireRead(t *testing.T, file, content, says string) {
	t.Helper()
	type result struct {
		content []byte
		err     error
	}
	read := make(chan result, 1)
	go func() {
		content, err := watch.ReadFile(file)
		read <- result{content, err}
	}()
	select {
	case r := <-read:
		if says == "" {
			require.NoError(t, r.err)
			require.Equal(t, content, string(r.content))
			return
		}
		require.ErrorContains(t, r.err, says)
		require.ErrorContains(t, r.err, "name a file that Caddy can read")
		require.NotContains(t, r.err.Error(), filepath.Base(file)+":", "whoever names the file knows what it is for")
		require.Empty(t, r.content)
	case <-time.After(10 * time.Second):
		require.Fail(t, "it hangs")
	}
}
