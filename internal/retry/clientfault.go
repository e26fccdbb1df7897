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

var (
	// ErrHeader says that a request has a header that cannot be sent, as header_up can make one of what a client wrote.
	ErrHeader = errors.New("the request would have a header with a character that no header can have, " +
		"such as a line break")

	// ErrMethod says that a request has a method that cannot be sent. Over HTTP/2, net/http accepts any.
	ErrMethod = errors.New("the method of the request has a character that no method can have, such as a blank")

	// ErrBodyGone says that an earlier attempt has read of the body of a request, so that it cannot be sent again.
	ErrBodyGone = errors.New("a node failed when it had read of the body of the request, " +
		"which the proxy does not keep for another one: send the request again")
)

// BodyError says that the body of a request could not be read to its end.
type BodyError struct{ cause error }

func (*BodyError) Error() string { return "the body of the request cannot be read to its end" }

// Unwrap returns the error of the body.
func (e *BodyError) Unwrap() error { return e.cause }

// otherFault returns why a request could not be sent if it is no fault of the node's: [ErrHeader], [ErrMethod],
// [ErrBodyGone] or a [BodyError]. Otherwise it returns nil.
func otherFault(body *clientBody, err error) error {
	if body != nil {
		if fault := body.fault.Load(); fault != nil {
			return *fault
		}
	}
	switch text := err.Error(); { // these errors have no type
	case strings.Contains(text, "net/http: invalid header field"):
		return ErrHeader
	case strings.Contains(text, "net/http: invalid method"):
		return ErrMethod
	}
	return nil
}

// Attempts are the attempts at sending one request, which have one body. The zero value is ready to use.
type Attempts struct {
	read atomic.Bool // one of them has read of the body
}

// clientBody is the body of a request, which remembers that it could not be read.
type clientBody struct {
	io.ReadCloser
	attempts *Attempts
	again    bool  // an earlier attempt has read of it
	left     int64 // how much of it is left to be read; negative if that is not known
	closed   atomic.Bool
	fault    atomic.Pointer[error]
}

// watchBody has a request remember whether its body can be read. It returns nil if the request has none.
func watchBody(req *http.Request, attempts *Attempts) *clientBody {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	body := &clientBody{ReadCloser: req.Body, attempts: attempts, again: attempts.read.Load(), left: req.ContentLength}
	req.Body = body
	return body
}

// Read implements [io.Reader]. reverse_proxy sends what an earlier attempt has left of a body, or nothing, as if it were
// all, unless it has kept the body (request_buffers) and so knows its length.
func (b *clientBody) Read(p []byte) (int, error) {
	if b.again && b.left < 0 {
		b.failed(ErrBodyGone)
		return 0, ErrBodyGone
	}
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.attempts.read.Store(true)
	}
	if b.left >= 0 {
		b.left -= int64(n)
	}
	switch {
	case err == io.EOF && b.left <= 0:
		return n, io.EOF
	case err == io.EOF: // over HTTP/3 the server does not say so
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		b.failed(err)
	}
	return n, err
}

// failed remembers an error of the body.
func (b *clientBody) failed(err error) {
	var fault error = &BodyError{err}
	if b.again {
		fault = ErrBodyGone
	}
	if !b.closed.Load() { // net/http closes it when the node fails
		b.fault.CompareAndSwap(nil, &fault)
	}
}

// Close implements [io.Closer].
func (b *clientBody) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}
