// Package freeport finds TCP ports for servers that a test starts.
package freeport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// The ports are below those that systems give to outgoing connections (from 32768 on Linux),
// so that no client of another program takes one before its server listens.
const (
	first = 10_000
	count = 20_000
)

// Of two processes with neighbouring IDs each has this many ports before it comes to those of the other.
const perProcess = 50

var taken atomic.Int64

// Take returns a port of the loopback interface that nobody listens on. A process gets each port once.
//
// To listen on port 0 and close it does not do. The system may give the same port again, and
// two Caddys on one port are no error: Caddy listens with SO_REUSEPORT, and the kernel spreads the
// clients of both over both.
func Take() (int, error) {
	for range count {
		n := int64(os.Getpid())*perProcess + taken.Add(1) - 1
		port := first + int(n%count)
		// This fails beside a Caddy, since it does not set SO_REUSEPORT.
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		return port, listener.Close()
	}
	return 0, errors.New("no port of the loopback interface is free")
}
