// Package freeport finds TCP ports for servers that a test starts.
package freeport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// The ports are below those of outgoing connections (on Linux, from 32768 on). So no client can get the
// port before the server listens on it.
const (
	first = 10_000
	count = 20_000
)

// perProcess is how many ports a process takes before it comes to those of the process with the next ID.
const perProcess = 50

var taken atomic.Int64

// Take returns a port of the loopback interface on which nobody listens. A process gets each port once.
//
// Tests cannot take the port that the system chooses for a listener on port 0, and close the listener:
// the system may choose the same port for another test. The two Caddys would then share the port without
// an error, since Caddy listens with SO_REUSEPORT, and the kernel would send clients to either.
func Take() (int, error) {
	for range count {
		n := int64(os.Getpid())*perProcess + taken.Add(1) - 1
		port := first + int(n%count)
		// This fails if a Caddy has the port, since it does not set SO_REUSEPORT.
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		return port, listener.Close()
	}
	return 0, errors.New("no port of the loopback interface is free")
}
