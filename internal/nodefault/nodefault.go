// Package nodefault says what to do about a node that cannot be reached, where the error of the connection tells what
// is wrong with the configuration, and about one that refuses tokens.
package nodefault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
)

// Explain returns the error with what to do about it in front, or the error itself if nothing is known. node is the
// node's address, and overTLS says whether the connection was to be one of TLS. The error stays in the chain, and an
// error of a timeout stays as it is: reverse_proxy looks at both.
func Explain(err error, node string, overTLS bool) error {
	if failed, ok := errors.AsType[net.Error](err); ok && failed.Timeout() {
		return err
	}
	advice := plainAdvice(err, node)
	if overTLS {
		advice = tlsAdvice(err, node)
	}
	if advice == "" {
		return err
	}
	return fmt.Errorf("%s: %w", advice, err)
}

// noHTTP are errors of net/http that have no type: for an answer that is not of HTTP, and for what came, or for a
// connection that ended, before the request was sent.
var noHTTP = []string{"malformed HTTP response", "readLoopPeekFail", "http: server closed idle connection"}

// brokenOff are the errors of a connection that the node has ended. net.ErrClosed is one of them: net/http closes a
// connection when something comes before the request is sent, and if it is just sending it, that is the error.
var brokenOff = []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed}

// Closed reports whether an error says that a node has closed the connection, or its side of it, without an answer.
func Closed(err error) bool {
	return slices.ContainsFunc(brokenOff, func(one error) bool { return errors.Is(err, one) })
}

// plainAdvice is about connections without TLS. A node that speaks TLS closes such a connection at once
// (Elasticsearch), or answers with an alert.
func plainAdvice(err error, node string) string {
	if Closed(err) ||
		slices.ContainsFunc(noHTTP, func(text string) bool { return strings.Contains(err.Error(), text) }) {
		return "the node gave no answer of HTTP; if it speaks TLS, write `reverse_proxy https://" + node +
			"`, with `tls_trust_pool` in its transport"
	}
	return ""
}

// tlsAdvice is about connections with TLS.
func tlsAdvice(err error, node string) string {
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	_, unknownAuthority := errors.AsType[x509.UnknownAuthorityError](err)
	_, otherName := errors.AsType[x509.HostnameError](err)
	switch {
	case noTLS || errors.Is(err, http.ErrSchemeMismatch):
		return "the node does not speak TLS: write `reverse_proxy http://" + node + "`, or turn on TLS in the node"
	case unknownAuthority:
		return "no authority that Caddy knows has issued the node's certificate: " +
			"write `tls_trust_pool file es-ca.pem` into the transport, with the authority in that file"
	case otherName:
		return "the node's certificate is for another name than that in reverse_proxy: " +
			"write a name of the certificate there, or `tls_server_name` with one into the transport"
	default:
		return ""
	}
}
