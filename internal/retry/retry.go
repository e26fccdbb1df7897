// Package retry sends a request once more that a node refused only because it does not know the key of the
// token yet.
//
// A node fetches the JWKS when it sees a token of a key that it does not know. If the fetch fails just then
// (the replica that it asks is being killed, or a connection breaks), the node answers 401, and the next
// token makes it fetch the JWKS again. No client can tell this 401 from that for a wrong token. So for the
// first minute in which a node refuses a key, each request that it refuses is sent once more, after a
// moment.
package retry

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// learningTime is how long after its first 401 a node may still be about to learn a key.
	learningTime = time.Minute

	// pauseTime is how long to wait before a request is sent once more: long enough for a load balancer to
	// notice that a replica is gone.
	pauseTime = 300 * time.Millisecond

	// maxRemembered bounds for how many pairs of a node and a key the answers are remembered.
	maxRemembered = 1000
)

// Transport sends requests to nodes. Make one with [New].
type Transport struct {
	next    http.RoundTripper
	retried func()
	nodes   knowledge
}

// New returns a Transport that sends requests over next, and calls retried for each that it sends once more.
func New(next http.RoundTripper, retried func()) *Transport {
	return &Transport{next: next, retried: retried}
}

// Send sends a request to a node, and once more if the node may have refused it for not knowing the key of
// its token. node is the node's address, and kid the ID of the key; it is empty if the request has no token
// whose key the node must fetch. Send changes req, which must be the caller's own copy.
func (t *Transport) Send(req *http.Request, node, kid string) (*http.Response, error) {
	key := nodeKey{node, kid}
	// An upgrade is not sent twice: nobody knows what the node has begun.
	if kid == "" || req.Header["Upgrade"] != nil || !t.nodes.mayNotKnow(key) {
		return t.send(req, node)
	}

	again := *req
	again.Header = req.Header.Clone()
	kept := keepBody(req)
	res, err := t.send(req, node)
	if err != nil {
		return nil, err
	}
	body, whole := kept.whole()
	if !t.nodes.answered(key, res.StatusCode, time.Now()) || !whole {
		return res, nil
	}
	_, _ = io.CopyN(io.Discard, res.Body, maxBody) // so that the connection can be used again
	_ = res.Body.Close()
	if err := pause(req.Context(), pauseTime); err != nil {
		return nil, err
	}
	again.Body = body
	t.retried()
	if res, err = t.send(&again, node); err != nil {
		return nil, err
	}
	t.nodes.answered(key, res.StatusCode, time.Now())
	return res, nil
}

func (t *Transport) send(req *http.Request, node string) (*http.Response, error) {
	res, err := t.next.RoundTrip(req)
	if err != nil && req.Context().Err() == nil {
		t.nodes.forget(node) // it may be starting anew, and will know no key
	}
	return res, err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// nodeKey is a node's address, and the ID of a key that the node may or may not know.
type nodeKey struct{ node, kid string }

// knowledge is what the answers of nodes have said about the keys that they know.
type knowledge struct {
	mu sync.RWMutex

	// refused has the time of the first 401 of a node to a key. The time is zero once the node has accepted
	// the key, or has refused it for so long that asking once more makes no sense.
	refused map[nodeKey]time.Time
}

// mayNotKnow reports whether a node may not know a key yet.
func (k *knowledge) mayNotKnow(key nodeKey) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	first, ok := k.refused[key]
	return !ok || !first.IsZero()
}

// answered remembers the status of a node's answer to a token of a key, and reports whether to ask the node
// once more.
func (k *knowledge) answered(key nodeKey, status int, now time.Time) (again bool) {
	if !judged(status) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	first, ok := k.refused[key]
	switch {
	case status != http.StatusUnauthorized:
		first = time.Time{}
	case !ok:
		first = now
		again = true
	default:
		again = !first.IsZero() && now.Sub(first) < learningTime
		if !again {
			first = time.Time{}
		}
	}
	if k.refused == nil || len(k.refused) >= maxRemembered {
		k.refused = make(map[nodeKey]time.Time)
	}
	k.refused[key] = first
	return again
}

// judged reports whether a status says that the node has looked at the token. With other statuses, such as
// 400 and 503, it may have refused the request before that.
func judged(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return true
	default:
		return status < 400
	}
}

// forget forgets which keys a node knows.
func (k *knowledge) forget(node string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.refused {
		if key.node == node {
			delete(k.refused, key)
		}
	}
}
