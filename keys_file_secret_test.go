package esjwt_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAKeyIsNeverTakenForItsFilesName: with the placeholder that secrets are written with, the
// file's content would be the name, and in the error.
func TestAKeyIsNeverTakenForItsFilesName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(file, []byte("-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n"),
		0o600))
	_, err := tryReplica(t, replicaConfig{keys: map[string]string{"default": `{"source":"file","files":["{file.` + file +
		`}"]}`}})
	require.ErrorContains(t, err, "write the file's path as it is")
	require.NotContains(t, err.Error(), "SECRET")
}
