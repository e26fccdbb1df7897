//go:build unix

package esjwt_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAFIFOInsteadOfAFileIsAnErrorAtOnce: Caddy waited for ever for its writer, and said nothing
// (psviderski/uncloud#331). Every setting is here whose file is read while the configuration is loaded.
func TestAFIFOInsteadOfAFileIsAnErrorAtOnce(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "fifo")
	require.NoError(t, syscall.Mkfifo(file, 0o600))
	for name, caddyfile := range map[string]string{
		"deny":                 handlerBlock("deny " + file),
		"crl":                  handlerBlock("crl " + file),
		"role_mapping":         handlerBlock("role_mapping " + file),
		"shared_secret":        handlerBlock("shared_secret {file." + file + "}"),
		"trust_pool":           handlerBlock("trust_pool file " + file),
		"trust_pool combined":  handlerBlock("trust_pool combined {\nsource file " + file + "\n}"),
		"a template":           handlerBlock("audience {file." + file + "}"),
		"a part of a template": handlerBlock("audience https://{file." + file + "}/"),
		"keys file":            keysBlock("keys a file " + file),
		"keys secret":          keysBlock("keys a secret {\nsecret {file." + file + "}\n}"),
	} {
		t.Run(name, func(t *testing.T) {
			config := adapt(t, caddyfile)
			storage := t.TempDir()
			hangs := time.AfterFunc(20*time.Second, func() {
				if writer, err := os.OpenFile(file, os.O_RDWR, 0); err == nil { // which lets a reader go on
					writer.Close()
				}
			})
			err := validate(t, config, storage)
			require.True(t, hangs.Stop(), "it hangs")
			require.ErrorContains(t, err, "it is a pipe, not a regular file")
			require.ErrorContains(t, err, file)
		})
	}
}
