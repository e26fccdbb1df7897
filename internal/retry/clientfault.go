package retry

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// This file tells a client's faults from those of a node. reverse_proxy takes every error of a transport for a failure of
// the node: with fail_duration, one client that breaks off in the middle of a body would take the node away from all
// others, and with lb_retries every node.

// ErrHeader says that a request has a header that cannot be sent, as header_up can make one of what a client wrote.
var ErrHeader = errors.New("the request would have a header with a character that no header can have, " +
	"such as a line break")

// BodyError says that the body of a request could not be read to its end.
type BodyError struct{ cause error }

func (*BodyError) Error() string { return "the body of the request cannot be read to its end" }

// Unwrap returns the error of the body.
func (e *BodyError) Unwrap() error { return e.cause }

// clientFault returns the fault of the client's for which a request could not be sent: [ErrHeader], a [BodyError], or nil
// if it is none.
func clientFault(body *clientBody, err error) error {
	if body != nil {
		if fault := body.fault.Load(); fault != nil {
			return &BodyError{*fault}
		}
	}
	if strings.Contains(err.Error(), "net/http: invalid header field") { // an error that has no type
		return ErrHeader
	}
	return nil
}

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
