package esjwt

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// This file sends a request once more that a node has refused only because it does not know the token's
// key yet. A node fetches the JWKS when it meets a key that it does not know; if that goes wrong just
// then (the replica that it asks is being killed, a connection breaks), the token that it met gets a 401,
// and the next one makes it ask again. No client can tell this 401 from that of a wrong token.

const (
	// meetingTime is for how long after its first 401 a node may still be about to learn a key.
	meetingTime = time.Minute

	// meetingPause is how long to wait before a request is sent once more: a balancer finds out by then
	// that a replica is gone.
	meetingPause = 300 * time.Millisecond

	// maxKept is how much of a body is kept, to be sent once more.
	maxKept = 64 << 10

	// maxMeetings bounds how many are remembered: keys times nodes.
	maxMeetings = 1000
)

// meeting is a node and a key that it may not know yet.
type meeting struct{ node, kid string }

// meetings are those of a transport.
type meetings struct {
	mu    sync.RWMutex
	known map[meeting]time.Time // when the node first refused the key; the zero time: it has taken it, or is given up
}

// open reports whether a node may still not know a key.
func (m *meetings) open(who meeting) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	refused, ok := m.known[who]
	return !ok || !refused.IsZero()
}

// answered remembers how a node answered to a key, and reports whether to ask it once more.
func (m *meetings) answered(who meeting, status int, now time.Time) (again bool) {
	if !judged(status) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	refused, ok := m.known[who]
	switch {
	case status != http.StatusUnauthorized:
		refused = time.Time{}
	case !ok:
		refused = now
		again = true
	default:
		again = !refused.IsZero() && now.Sub(refused) < meetingTime
		if !again {
			refused = time.Time{}
		}
	}
	if m.known == nil || len(m.known) >= maxMeetings {
		m.known = make(map[meeting]time.Time)
	}
	m.known[who] = refused
	return again
}

// judged reports whether a node has looked at the token of a request that it answered so. It may have
// refused others before, for having no time or for not understanding them.
func judged(status int) bool {
	return status < 400 || status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound
}

// forget is for a node that could not be reached: it may have started anew, and know no key.
func (m *meetings) forget(node string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for who := range m.known {
		if who.node == node {
			delete(m.known, who)
		}
	}
}

// roundTripAgain sends a request, and once more if the node may have refused it for not knowing the key
// of our token.
func (t *Transport) roundTripAgain(req *http.Request, admitted *admission) (*http.Response, error) {
	ctx := req.Context()
	who := meeting{kid: admitted.kid}
	if info, ok := reverseproxy.GetDialInfo(ctx); ok {
		who.node = info.Address
	}
	// Without a kid there is no key to fetch: it is a shared secret, or not our token.
	if who.kid == "" || req.Header["Upgrade"] != nil || !t.meetings.open(who) {
		return t.send(req, who.node)
	}

	again := *req
	again.Header = req.Header.Clone()
	kept := keepBody(req)
	res, err := t.send(req, who.node)
	if err != nil {
		return nil, err
	}
	body, whole := kept.whole()
	if !t.meetings.answered(who, res.StatusCode, time.Now()) || !whole {
		return res, nil
	}
	_, _ = io.CopyN(io.Discard, res.Body, maxKept) // so that the connection can be used again
	_ = res.Body.Close()
	if err := pause(ctx, meetingPause); err != nil {
		return nil, err
	}
	again.Body = body
	metrics.retries.Inc()
	if res, err = t.send(&again, who.node); err != nil {
		return nil, err
	}
	t.meetings.answered(who, res.StatusCode, time.Now())
	return res, nil
}

func (t *Transport) send(req *http.Request, node string) (*http.Response, error) {
	res, err := t.HTTPTransport.RoundTrip(req)
	if err != nil && req.Context().Err() == nil {
		t.meetings.forget(node)
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

// keptBody is a body that remembers what was read of it, as long as that is not too much. It reads
// nothing by itself: a request that no node could be reached for can go to another one.
type keptBody struct {
	io.ReadCloser

	mu    sync.Mutex // net/http may still be sending the body when the answer is there
	read  bytes.Buffer
	lost  bool // it was too much
	ended bool
}

// keepBody makes a request keep its body; nil if it has none.
func keepBody(req *http.Request) *keptBody {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	kept := &keptBody{ReadCloser: req.Body}
	req.Body = kept
	req.GetBody = nil
	return kept
}

func (k *keptBody) Read(p []byte) (int, error) {
	n, err := k.ReadCloser.Read(p)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.read.Len()+n > maxKept {
		k.lost = true
		k.read = bytes.Buffer{}
	}
	if !k.lost {
		k.read.Write(p[:n])
	}
	k.ended = k.ended || err == io.EOF
	return n, err
}

// whole returns the body once more. It is not ok if not all of it was read and kept: then the node has
// answered before it had it, or it is too long.
func (k *keptBody) whole() (io.ReadCloser, bool) {
	if k == nil {
		return nil, true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost || !k.ended {
		return nil, false
	}
	return io.NopCloser(bytes.NewReader(k.read.Bytes())), true
}
