package static_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/credentials/static"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
)

// TestExplainShowsNoSecretInTheWrongPlace: a line in another order has an API key where its scheme should be.
func TestExplainShowsNoSecretInTheWrongPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	require.NoError(t, os.WriteFile(file, []byte("\"ApiKey\" essu_the-secret analysts\n"), 0o600))
	kind := &static.Static{File: file}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	require.NoError(t, kind.Provision(ctx))
	e, err := kind.Explain(&credential.Client{Principal: "alice", Groups: []string{"ApiKey"}})
	require.NoError(t, err)
	require.Equal(t, []string{"Authorization: …", "X-Opaque-Id: alice"}, e.Sends)
}
