package realnode

import (
	"archive/zip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func writeZip(t *testing.T, names ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.zip")
	file, err := os.Create(path)
	require.NoError(t, err)
	archive := zip.NewWriter(file)
	for _, name := range names {
		header := &zip.FileHeader{Name: name}
		header.SetMode(0o700)
		w, err := archive.CreateHeader(header)
		require.NoError(t, err)
		_, err = w.Write([]byte(name))
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	require.NoError(t, file.Close())
	return path
}

func TestUnpackDropsTheFirstFolder(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, unpack(writeZip(t, "node-1/bin/node", "node-1/config/a.yml"), dir, withoutFirstFolder))
	got, err := os.ReadFile(filepath.Join(dir, "bin", "node"))
	require.NoError(t, err)
	require.Equal(t, "node-1/bin/node", string(got))
	info, err := os.Stat(filepath.Join(dir, "bin", "node"))
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&0o100, "stays executable")
}

func TestUnpackStaysInItsFolder(t *testing.T) {
	for _, name := range []string{"x/../../evil", "x//etc/evil"} {
		err := unpack(writeZip(t, name), t.TempDir(), withoutFirstFolder)
		require.ErrorContains(t, err, "leads out of the folder", name)
	}
}
