//go:build unix

package watch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// TestReadFileWaitsForNoWriter of a pipe, and reads no device, which may have no end (psviderski/uncloud#331).
func TestReadFileWaitsForNoWriter(t *testing.T) {
	const pipe = "it is a pipe, not a regular file"
	dir := t.TempDir()
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	require.NoError(t, os.Symlink(fifo, link))

	t.Run("a FIFO", func(t *testing.T) { requireRead(t, fifo, "", pipe) })
	t.Run("a link to a FIFO", func(t *testing.T) { requireRead(t, link, "", pipe) })
	t.Run("a device without an end", func(t *testing.T) {
		requireRead(t, "/dev/zero", "", "it is a device, not a regular file")
	})
	t.Run("a FIFO with a writer", func(t *testing.T) {
		both, err := os.OpenFile(fifo, os.O_RDWR, 0) // does not wait for a reader
		require.NoError(t, err)
		defer both.Close()
		_, err = both.WriteString("content")
		require.NoError(t, err)
		requireRead(t, fifo, "", pipe)
	})

	// What a shell makes of <(…), of a | and of a <.
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("content"), 0o600))
	open, err := os.Open(file)
	require.NoError(t, err)
	defer open.Close()
	if _, err := os.Stat("/dev/fd"); err != nil {
		return
	}
	t.Run("a pipe of the shell", func(t *testing.T) { requireRead(t, fmt.Sprintf("/dev/fd/%d", r.Fd()), "", pipe) })
	t.Run("a file of the shell", func(t *testing.T) {
		requireRead(t, fmt.Sprintf("/dev/fd/%d", open.Fd()), "content", "")
	})
}

// TestAFileThatBecomesAPipeLeavesWhatWasThereBefore, and does not stop the checks.
func TestAFileThatBecomesAPipeLeavesWhatWasThereBefore(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "list")
		require.NoError(t, os.WriteFile(file, []byte("first"), 0o600))
		w := start(t, file)
		require.NoError(t, os.Remove(file))
		require.NoError(t, syscall.Mkfifo(file, 0o600))
		time.Sleep(watch.Latest)
		require.ErrorContains(t, w.Err(), "it is a pipe")
		require.Equal(t, "first", w.Get())
		require.NoError(t, os.Remove(file))
		require.NoError(t, os.WriteFile(file, []byte("second"), 0o600))
		time.Sleep(watch.Latest)
		require.NoError(t, w.Err())
		require.Equal(t, "second", w.Get())
	})
}
