package esjwt

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/eserror"
)

// This file tells a client's faults from those of a node. reverse_proxy takes every error of a transport for a failure of
// the node: with fail_duration, one client that breaks off in the middle of a body would take the node away from all
// others, and with lb_retries every node.

// clientBody is the body of a request, which remembers that it could not be read.
type clientBody struct {
	io.ReadCloser
	closed atomic.Bool
	fault  atomic.Pointer[error]
}

// watchBody has a request remember whether its body can be read. It returns nil if the request has none.
func watchBody(req *http.Request) *clientBody {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	body := &clientBody{ReadCloser: req.Body}
	req.Body = body
	return body
}

// Read implements [io.Reader].
func (b *clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && !b.closed.Load() { // net/http closes it when the node fails
		b.fault.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Close implements [io.Closer].
func (b *clientBody) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}

// clientFault returns the answer to a request that could not be sent for a fault of the client's, or nil if it is none.
func clientFault(req *http.Request, body *clientBody, err error) *http.Response {
	const invalid = "net/http: invalid header field" // an error that has no type
	if body != nil {
		if fault := body.fault.Load(); fault != nil {
			status := http.StatusBadRequest
			if limit, ok := errors.AsType[caddyhttp.HandlerError](*fault); ok && limit.StatusCode != 0 {
				status = limit.StatusCode // such as that of request_body
			}
			return eserror.Response(req, status, eserror.IllegalArgument, "the body of the request cannot be read to its end")
		}
	}
	if strings.Contains(err.Error(), invalid) {
		return eserror.Response(req, http.StatusBadRequest, eserror.IllegalArgument,
			"the request would have a header with a character that no header can have, such as a line break")
	}
	return nil
}
