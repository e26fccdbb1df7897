// Package retry sends a request once more if a node may have refused it only because the node does not know the
// key of the token yet.
//
// A node fetches the JWKS when it sees a token of a key that it does not know. If the fetch fails, because the
// replica is being killed or the connection breaks, the node answers 401, as for a wrong token. The next token makes
// it fetch the JWKS again. So each request that gets a 401 is sent once more after a moment, in the first minute in
// which the node answers 401 to tokens of that key:
//
//	9:00:00.0  the first token of a new key; the fetch fails, and the node answers 401
//	9:00:00.3  the same request again; the node fetches the JWKS, and answers 200
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
// whose key the node must fetch. attempts are those at the same request, at other nodes too. Send changes req, which must
// be the caller's own copy. If it is no fault of the node's that the request could not be sent, the error is [ErrHeader],
// [ErrMethod], [ErrBodyGone] or a [BodyError].
func (t *Transport) Send(req *http.Request, node, kid string, attempts *Attempts) (*http.Response, error) {
	body := attempts.watchBody(req)
	if body.isGone() {
		return nil, ErrBodyGone
	}
	key := nodeKey{node, kid}
	// An upgrade is not sent twice: nobody knows what the node has begun.
	if kid == "" || req.Header["Upgrade"] != nil || !t.nodes.mayNotKnow(key) {
		return t.roundTrip(req, node, body)
	}

	again := *req
	again.Header = req.Header.Clone()
	kept := keepBody(req)
	res, err := t.roundTrip(req, node, body)
	if err != nil {
		return nil, err
	}
	whole, ok := kept.whole()
	if !t.nodes.answered(key, res.StatusCode, time.Now()) || !ok {
		return res, nil
	}
	_, _ = io.CopyN(io.Discard, res.Body, maxBody) // so that the connection can be used again
	_ = res.Body.Close()
	if err := pause(req.Context(), pauseTime); err != nil {
		return nil, err
	}
	again.Body = whole
	t.retried()
	if res, err = t.roundTrip(&again, node, nil); err != nil {
		return nil, err
	}
	t.nodes.answered(key, res.StatusCode, time.Now())
	return res, nil
}

// SendRenewing sends a request to a node, and once more if the node refuses its credential and renew has put another one
// into the headers that it is given. Otherwise it is like [Transport.Send]. A body of which not all was kept is not sent
// again: renew gets no headers then, and the answer is the node's refusal.
func (t *Transport) SendRenewing(
	req *http.Request, node string, attempts *Attempts, renew func(http.Header) bool,
) (*http.Response, error) {
	body := attempts.watchBody(req)
	if body.isGone() {
		return nil, ErrBodyGone
	}
	if req.Header["Upgrade"] != nil { // nobody knows what the node has begun
		return t.roundTrip(req, node, body)
	}
	again := *req
	again.Header = nil
	kept := keepBody(req)
	res, err := t.roundTrip(req, node, body)
	if err != nil || !refusesCredential(res) {
		return res, err
	}
	whole, ok := kept.whole()
	if !ok {
		renew(nil)
		return res, nil
	}
	headers := req.Header.Clone()
	if !renew(headers) {
		return res, nil
	}
	_, _ = io.CopyN(io.Discard, res.Body, maxBody) // so that the connection can be used again
	_ = res.Body.Close()
	again.Header, again.Body = headers, whole
	t.retried()
	return t.roundTrip(&again, node, nil)
}

// refusesCredential reports whether an answer is a 401 with a challenge (RFC 9110 section 15.5.2), as of Elasticsearch to
// a credential that it does not take. Without one it passes on that somebody else has refused Elasticsearch: the service
// of an inference endpoint, or the other cluster of a reindex.
func refusesCredential(res *http.Response) bool {
	return res.StatusCode == http.StatusUnauthorized && len(res.Header["Www-Authenticate"]) > 0
}

// roundTrip sends a request. body is that of the client, or nil.
func (t *Transport) roundTrip(req *http.Request, node string, body *clientBody) (*http.Response, error) {
	res, err := t.next.RoundTrip(req)
	if err == nil {
		return res, nil
	}
	if other := otherFault(body, err); other != nil {
		return nil, other
	}
	if req.Context().Err() == nil {
		t.nodes.forget(node) // it may be restarting, and then it knows no key
	}
	return nil, err
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

	// first401 has the time of a node's first 401 to a token of a key. The time is zero if there is no reason to
	// send a request once more: the node has accepted the key, or has answered 401 for longer than learningTime.
	first401 map[nodeKey]time.Time
}

// mayNotKnow reports whether a node may not know a key yet.
func (k *knowledge) mayNotKnow(key nodeKey) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	first, ok := k.first401[key]
	return !ok || !first.IsZero()
}

// answered remembers the status of a node's answer to a token of a key, and reports whether to ask the node
// once more.
func (k *knowledge) answered(key nodeKey, status int, now time.Time) (again bool) {
	if !sawToken(status) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	first, ok := k.first401[key]
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
	if k.first401 == nil || !ok && len(k.first401) >= maxRemembered {
		k.first401 = make(map[nodeKey]time.Time)
	}
	k.first401[key] = first
	return again
}

// sawToken reports whether a status says that the node has checked the token. With other statuses, such as 400 and
// 503, it may have answered before that.
func sawToken(status int) bool {
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
	for key := range k.first401 {
		if key.node == node {
			delete(k.first401, key)
		}
	}
}
