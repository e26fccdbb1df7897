// Package headersize counts the bytes of a request's header lines as a node does.
//
// Elasticsearch and OpenSearch read at most http.max_header_size bytes of them. A node answers a larger request with
// 400, keeps the connection open, and reads nothing more from it. If the proxy then sends another client's request
// over that connection, it never gets an answer. So no node must get such a request.
package headersize

import (
	"fmt"
	"net/http"

	"golang.org/x/net/http/httpguts"
)

// Default is http.max_header_size of a cluster that does not set it.
const Default = 16 << 10

const (
	minLimit = 4 << 10
	maxLimit = 1 << 20

	// proxySize is an upper limit for what reverse_proxy adds to a request, apart from the client's Host:
	// X-Forwarded-For, X-Forwarded-Proto, Via, the node's Host, the length and the encoding.
	proxySize = 768

	// wireSize is an upper limit for what net/http adds to a request: the length and the encoding.
	wireSize = 96
)

// Check checks the value of the setting max_header_size, the limit of a cluster.
func Check(limit int) error {
	if limit < minLimit || limit > maxLimit {
		return fmt.Errorf("%d bytes: use what the cluster has in http.max_header_size, "+
			"4KiB to 1MiB (its 16kb is 16KiB)", limit)
	}
	return nil
}

// Line returns how many bytes a header line has in HTTP/1.1.
func Line(name, value string) int { return len(name) + len(value) + len(": \r\n") }

// Lines returns how many bytes the lines of one header have.
func Lines(name string, values []string) int {
	size := 0
	for _, value := range values {
		size += Line(name, value)
	}
	return size
}

// Sent returns an upper limit for the bytes of header lines that net/http sends for a request whose own headers have
// this size.
func Sent(r *http.Request, size int) int {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	return size + len("Host: \r\n") + hostSize(host) + wireSize
}

// hostSize returns how many bytes a Host has when net/http sends it. It sends a name beyond ASCII in Punycode, which can
// be longer.
func hostSize(host string) int {
	if sent, err := httpguts.PunycodeHostPort(host); err == nil {
		return len(sent)
	}
	return len(host) // net/http does not send it
}

// Fits reports whether a node reads all headers of a client's request once reverse_proxy has added its own.
// size is that of the headers so far. The client's Host is sent twice, as Host and as X-Forwarded-Host.
func Fits(size int, host string, limit int) bool {
	return size+proxySize+hostSize(host)+len(host) <= limit
}
