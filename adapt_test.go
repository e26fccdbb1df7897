package esjwt_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/stretchr/testify/require"
)

var updateFixtures = flag.Bool("update", false, "write what Caddyfiles adapt to into testdata/adapt")

// TestCaddyfilesAdaptTo compares each Caddyfile in testdata/adapt with the JSON, or the error,
// below the line of hyphens, as Caddy's own tests do.
func TestCaddyfilesAdaptTo(t *testing.T) {
	const line = "----------\n"
	fixtures, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	require.NoError(t, err)
	require.NotEmpty(t, fixtures)
	for _, fixture := range fixtures {
		t.Run(strings.TrimSuffix(filepath.Base(fixture), ".caddyfiletest"), func(t *testing.T) {
			content, err := os.ReadFile(fixture)
			require.NoError(t, err)
			caddyfile, expected, found := strings.Cut(string(content), line)
			require.True(t, found, "no line of hyphens")

			var got string
			config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile),
				map[string]any{"filename": "Caddyfile"})
			if err != nil {
				got = err.Error() + "\n"
			} else {
				require.Empty(t, warnings)
				var indented bytes.Buffer
				require.NoError(t, json.Indent(&indented, config, "", "\t"))
				got = indented.String() + "\n"
			}
			if *updateFixtures {
				require.NoError(t, os.WriteFile(fixture, []byte(caddyfile+line+got), 0o600))
				return
			}
			require.Equal(t, expected, got)
		})
	}
}
