package freeport

import (
	"fmt"
	"net"
	"testing"

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

func TestAPortInUseIsNotFree(t *testing.T) {
	port, err := Take()
	require.NoError(t, err)
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.Close()) })

	taken.Add(-1) // the next one is the same
	next, err := Take()
	require.NoError(t, err)
	require.NotEqual(t, port, next)
}
