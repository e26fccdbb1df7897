// Package module provisions a single module of Caddy for a test, and collects what it logs.
package module

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/logging" // the writer of a log to a file
	"github.com/stretchr/testify/require"
)

// Load provisions the module with an ID, which is a T, as a part of a configuration that changes may change. Its settings
// are encoded as JSON. logs returns what was logged, one JSON object in a line. The error is that of the module.
func Load[T any](
	t testing.TB, id string, settings any, changes ...func(*caddy.Config),
) (loaded T, logs func() string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "log")
	config := &caddy.Config{
		Admin: &caddy.AdminConfig{Disabled: true},
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{
			WriterRaw: JSON(t, map[string]any{"output": "file", "filename": file, "roll": false}),
		}}}},
	}
	for _, change := range changes {
		change(config)
	}
	ctx, err := caddy.ProvisionContext(config)
	require.NoError(t, err)
	logs = func() string {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		return string(content)
	}
	module, err := ctx.LoadModuleByID(id, JSON(t, settings))
	if err != nil {
		return loaded, logs, err
	}
	loaded, ok := module.(T)
	require.True(t, ok, "the module is a %T", module)
	return loaded, logs, nil
}

// JSON encodes a value.
func JSON(t testing.TB, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return raw
}
