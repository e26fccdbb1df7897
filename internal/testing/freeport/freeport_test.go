package freeport

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/require"
)

func TestAPortIsTakenOnce(t *testing.T) {
	seen := map[int]bool{}
	for range 200 {
		port, err := Take()
		require.NoError(t, err)
		require.False(t, seen[port], "port %d was given before", port)
		seen[port] = true
	}
}

// TestAPortOfACaddyIsNotFree: Caddy's listeners share their ports, so that to listen as Caddy does would succeed.
func TestAPortOfACaddyIsNotFree(t *testing.T) {
	port, err := Take()
	require.NoError(t, err)
	address, err := caddy.ParseNetworkAddress(fmt.Sprintf("tcp/127.0.0.1:%d", port))
	require.NoError(t, err)
	listener, err := address.Listen(context.Background(), 0, net.ListenConfig{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.(net.Listener).Close()) })

	taken.Add(-1) // the next one is the same
	next, err := Take()
	require.NoError(t, err)
	require.NotEqual(t, port, next)
}
