package proxyheaders_test

import (
	"context"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/credentials/proxyheaders"
)

// TestAHeaderHasNoAsterisk, which RFC 9110 allows: what protects it would take it for a pattern, or panic.
func TestAHeaderHasNoAsterisk(t *testing.T) {
	for _, name := range []string{"*", "x-*"} {
		kind := &proxyheaders.ProxyHeaders{UserHeader: name}
		require.Error(t, kind.Provision(caddy.Context{Context: context.Background()}), name)
	}
}
