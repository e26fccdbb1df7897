package retry

import (
	"errors"
	"io"
	"net/http"
	"reflect"
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

// Attempts are the attempts at sending one request, of which only one may read the body. The zero value is ready to use.
type Attempts struct{ body *sharedBody }

// sharedBody is the body of a request, for all attempts that reverse_proxy makes with it. It belongs to the first one that
// reads: reverse_proxy sends the next node what that one has left, which can be nothing, as if it were all. The first one
// may still be reading then, if its node has answered early.
type sharedBody struct {
	io.ReadCloser
	reader atomic.Pointer[clientBody] // whose it is; nil if nobody has read
}

// clientBody is the body of a request in one attempt, which remembers that it could not be read.
type clientBody struct {
	of     *sharedBody
	left   int64 // how much of it is left to be read; negative if that is not known
	closed atomic.Bool
	fault  atomic.Pointer[error]
}

// watchBody has a request remember whether its body can be read. It returns nil if the request has none.
func (a *Attempts) watchBody(req *http.Request) *clientBody {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	if a.body == nil || !isSame(a.body.ReadCloser, req.Body) { // else request_buffers has made a new one
		a.body = &sharedBody{ReadCloser: req.Body}
	}
	body := &clientBody{of: a.body, left: req.ContentLength}
	req.Body = body
	return body
}

// isSame reports whether two bodies are one.
func isSame(a, b io.ReadCloser) bool { return reflect.ValueOf(a).Comparable() && a == b }

// isGone reports whether the body belongs to another attempt.
func (b *clientBody) isGone() bool {
	if b == nil {
		return false
	}
	reader := b.of.reader.Load()
	return reader != nil && reader != b
}

// Read implements [io.Reader].
func (b *clientBody) Read(p []byte) (int, error) {
	if b.of.reader.CompareAndSwap(nil, b); b.isGone() {
		b.failed(ErrBodyGone)
		return 0, ErrBodyGone
	}
	n, err := b.of.ReadCloser.Read(p)
	if err == io.EOF && b.left > int64(n) { // over HTTP/3 the server does not say so
		err = io.ErrUnexpectedEOF
	}
	b.left -= int64(n)
	if err != nil && err != io.EOF {
		b.failed(&BodyError{err})
	}
	return n, err
}

// failed remembers why the body could not be read.
func (b *clientBody) failed(fault error) {
	if !b.closed.Load() { // net/http closes it when the node fails
		b.fault.CompareAndSwap(nil, &fault)
	}
}

// Close implements [io.Closer]. A body of which nothing was read is left for the next attempt.
func (b *clientBody) Close() error {
	b.closed.Store(true)
	if b.of.reader.Load() != b {
		return nil
	}
	return b.of.Close()
}
