package esrealm

import (
	"net/http"
	"sync"
	"time"
)

// Request is a request that reached the node, with what the node made of it.
type Request struct {
	Time   time.Time
	Proto  string
	Method string
	Host   string
	URI    string
	// Header are the headers as they arrived, secrets included.
	Header http.Header
	// Trailer are the trailers that came with the body, as far as the node
	// read it.
	Trailer http.Header
	// Status is the answer's.
	Status int
	// Username is who the request ran as; empty where nobody authenticated.
	Username string
	// Reason says why nobody did, in the words that a real node keeps for its
	// log.
	Reason string
}

// recorder remembers the last requests.
type recorder struct {
	mu       sync.Mutex
	limit    int
	requests []Request
	next     int
}

func (r *recorder) add(req Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.requests) < r.limit {
		r.requests = append(r.requests, req)
		return
	}
	if r.limit > 0 {
		r.requests[r.next] = req
		r.next = (r.next + 1) % r.limit
	}
}

// Requests returns the last requests, the oldest first. A request is there once
// its answer has been written.
func (n *Node) Requests() []Request {
	n.record.mu.Lock()
	defer n.record.mu.Unlock()
	return append(append([]Request{}, n.record.requests[n.record.next:]...), n.record.requests[:n.record.next]...)
}

// ForgetRequests empties what [Node.Requests] returns.
func (n *Node) ForgetRequests() {
	n.record.mu.Lock()
	defer n.record.mu.Unlock()
	n.record.requests, n.record.next = nil, 0
}
