package retry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// TestANodeLearnsAKeyForAMinute covers when a node is asked once more: for a minute after its first 401 to
// a key, and not after it has accepted the key.
func TestANodeLearnsAKeyForAMinute(t *testing.T) {
	const refused, accepted = http.StatusUnauthorized, http.StatusOK
	at := func(d time.Duration) time.Time { return time.Unix(1_700_000_000, 0).Add(d) }
	key := nodeKey{"es1:9200", "kid"}

	var k knowledge
	require.True(t, k.mayNotKnow(key))
	require.True(t, k.answered(key, refused, at(0)))
	require.False(t, k.answered(key, http.StatusServiceUnavailable, at(time.Second)), "the node had no time for the token")
	require.True(t, k.mayNotKnow(key))
	require.True(t, k.answered(key, refused, at(59*time.Second)))
	require.False(t, k.answered(key, refused, at(time.Minute)), "it is no matter of moments")
	require.False(t, k.mayNotKnow(key))
	require.False(t, k.answered(key, refused, at(time.Hour)))

	require.True(t, k.mayNotKnow(nodeKey{"es2:9200", "kid"}), "each node learns by itself")
	require.True(t, k.mayNotKnow(nodeKey{"es1:9200", "next"}), "and each key")
	k.forget("es1:9200")
	require.True(t, k.mayNotKnow(key), "a node that was away may have started anew")

	require.False(t, k.answered(key, accepted, at(0)))
	require.False(t, k.mayNotKnow(key))
	require.False(t, k.answered(key, refused, at(time.Second)), "it knows the key")

	for i := range 3 * maxRemembered {
		k.answered(nodeKey{"es1:9200", fmt.Sprint(i)}, accepted, at(0))
		require.LessOrEqual(t, len(k.first401), maxRemembered)
	}
}

// TestTheSecondAttemptWaits for a moment, and for no client that is gone.
func TestTheSecondAttemptWaits(t *testing.T) {
	for name, c := range map[string]struct {
		leaves time.Duration
		want   []time.Duration // when the node was asked
	}{
		"who stays":  {time.Hour, []time.Duration{0, pauseTime}},
		"who leaves": {pauseTime / 2, []time.Duration{0}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				began := time.Now()
				var asked []time.Duration
				node := roundTripper(func(*http.Request) (*http.Response, error) {
					asked = append(asked, time.Since(began))
					return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody}, nil
				})
				retries := 0
				transport := New(node, func() { retries++ })
				ctx, cancel := context.WithTimeout(t.Context(), c.leaves)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://es1:9200/", nil)
				require.NoError(t, err)
				res, err := transport.Send(req, "es1:9200", "kid", new(Attempts))
				require.Equal(t, c.want, asked)
				require.Equal(t, len(c.want)-1, retries)
				if len(c.want) == 1 {
					require.ErrorIs(t, err, context.DeadlineExceeded)
					return
				}
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				require.Equal(t, http.StatusUnauthorized, res.StatusCode)
			})
		})
	}
}

// TestWhatCannotBeSentTwiceIsSentOnce: neither a request without a token to learn a key for, nor an
// upgrade, nor a body of which the node has not read all.
func TestWhatCannotBeSentTwiceIsSentOnce(t *testing.T) {
	for name, c := range map[string]struct {
		kid, body string
		upgrade   bool
		reads     int64 // how much of the body the node reads
		want      int
	}{
		"with a token":              {"kid", "body", false, 5, 2},
		"without a token":           {"", "body", false, 5, 1},
		"an upgrade":                {"kid", "", true, 0, 1},
		"a body without its EOF":    {"kid", "body", false, 4, 2},
		"a body that is not read":   {"kid", "body", false, 3, 1},
		"a body of maxBody":         {"kid", strings.Repeat("a", maxBody), false, maxBody + 1, 2},
		"a body longer than that":   {"kid", strings.Repeat("a", maxBody+1), false, maxBody + 2, 1},
		"no body is like one of 0B": {"kid", "", false, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				var bodies []string
				node := roundTripper(func(r *http.Request) (*http.Response, error) {
					var read strings.Builder
					if r.Body != nil {
						_, _ = io.CopyN(&read, r.Body, c.reads)
					}
					bodies = append(bodies, read.String())
					return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody}, nil
				})
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://es1:9200/", strings.NewReader(c.body))
				require.NoError(t, err)
				if c.upgrade {
					req.Header.Set("Upgrade", "websocket")
				}
				res, err := New(node, func() {}).Send(req, "es1:9200", c.kid, new(Attempts))
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				require.Len(t, bodies, c.want)
				if c.want == 2 {
					require.Equal(t, []string{c.body, c.body}, bodies)
				}
			})
		})
	}
}

// TestANodeThatCannotBeReachedLearnsItsKeysAnew: it may have been restarted.
func TestANodeThatCannotBeReachedLearnsItsKeysAnew(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		answers := []int{http.StatusOK, http.StatusUnauthorized, 0, http.StatusUnauthorized, http.StatusOK}
		node := roundTripper(func(*http.Request) (*http.Response, error) {
			status := answers[0]
			answers = answers[1:]
			if status == 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return &http.Response{StatusCode: status, Body: http.NoBody}, nil
		})
		transport := New(node, func() {})
		send := func() (int, error) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://es1:9200/", nil)
			require.NoError(t, err)
			res, err := transport.Send(req, "es1:9200", "kid", new(Attempts))
			if err != nil {
				return 0, err
			}
			return res.StatusCode, res.Body.Close()
		}
		for _, want := range []int{http.StatusOK, http.StatusUnauthorized, 0, http.StatusOK} {
			status, err := send()
			if want == 0 {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, want, status)
		}
		require.Empty(t, answers)
	})
}

// TestAClientsFaultSaysNothingOfTheNode: what is known of it stays, and the error tells whose fault it is.
func TestAClientsFaultSaysNothingOfTheNode(t *testing.T) {
	broken := errors.New("broken off")
	for name, c := range map[string]struct {
		body   io.Reader
		fails  error // the node's own failure
		fault  bool
		status int // of the next answer, to a request that is sent once more only if the node was forgotten
	}{
		"a body that breaks off":   {iotest.ErrReader(broken), nil, true, http.StatusUnauthorized},
		"a header that is none":    {strings.NewReader(""), errors.New(`net/http: invalid header field value for "X"`), true, http.StatusUnauthorized},
		"a method that is none":    {strings.NewReader(""), errors.New(`net/http: invalid method "GET /"`), true, http.StatusUnauthorized},
		"a node that breaks off":   {strings.NewReader("{}"), io.ErrUnexpectedEOF, false, http.StatusOK},
		"a node, and no body read": {nil, io.ErrUnexpectedEOF, false, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				answers := []int{http.StatusOK, 0, http.StatusUnauthorized, http.StatusOK}
				transport := New(roundTripper(func(r *http.Request) (*http.Response, error) {
					status := answers[0]
					answers = answers[1:]
					if status == 0 {
						if c.fails != nil {
							return nil, c.fails
						}
						_, err := io.ReadAll(r.Body)
						return nil, err
					}
					return &http.Response{StatusCode: status, Body: http.NoBody}, nil
				}), func() {})
				send := func(body io.Reader) (int, error) {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://es1:9200/", body)
					require.NoError(t, err)
					res, err := transport.Send(req, "es1:9200", "kid", new(Attempts))
					if err != nil {
						return 0, err
					}
					return res.StatusCode, res.Body.Close()
				}
				status, err := send(nil)
				require.NoError(t, err)
				require.Equal(t, http.StatusOK, status)

				_, err = send(c.body)
				_, ofBody := errors.AsType[*BodyError](err)
				require.Equal(t, c.fault, ofBody || errors.Is(err, ErrHeader) || errors.Is(err, ErrMethod), "%v", err)
				require.Equal(t, ofBody, errors.Is(err, broken))

				status, err = send(nil)
				require.NoError(t, err)
				require.Equal(t, c.status, status)
			})
		})
	}
}

// TestABodyIsSentWholeOrNotAtAll: less than a client has announced is no body, and neither is what an attempt has left
// for the next one.
func TestABodyIsSentWholeOrNotAtAll(t *testing.T) {
	const body = "0123456789"
	for name, c := range map[string]struct {
		length int64
		reads  []int64 // how much of the body each attempt reads before its node fails; the last one reads all
		kept   bool    // whether each attempt has the body anew
		want   error
	}{
		"all of it":                      {10, []int64{11}, false, nil},
		"all of an unknown length":       {-1, []int64{11}, false, nil},
		"less than announced":            {11, []int64{12}, false, io.ErrUnexpectedEOF},
		"after a node that read nothing": {10, []int64{0, 11}, false, nil},
		"after one that read all":        {10, []int64{11, 11}, false, ErrBodyGone},
		"after one that read some":       {10, []int64{3, 11}, false, ErrBodyGone},
		"of an unknown length, nothing":  {-1, []int64{0, 11}, false, nil},
		"of an unknown length, all":      {-1, []int64{11, 11}, false, ErrBodyGone},
		"of an unknown length, some":     {-1, []int64{3, 11}, false, ErrBodyGone},
		"after some, if it is kept":      {10, []int64{3, 11}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var reads int64
			var got string
			failed := errors.New("the node failed")
			transport := New(roundTripper(func(r *http.Request) (*http.Response, error) {
				read, err := io.ReadAll(io.LimitReader(r.Body, reads))
				if err != nil {
					return nil, err
				}
				if got = string(read); reads <= c.length || c.length < 0 && reads <= int64(len(body)) {
					return nil, failed
				}
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			}), func() {})
			var attempts Attempts
			var err error
			left := strings.NewReader(body)
			for i := range c.reads {
				reads = c.reads[i]
				if c.kept {
					left = strings.NewReader(body)
				}
				req, e := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://es1:9200/", io.NopCloser(left))
				require.NoError(t, e)
				req.ContentLength = c.length
				var res *http.Response
				if res, err = transport.Send(req, "es1:9200", "kid", &attempts); err == nil {
					require.NoError(t, res.Body.Close())
				}
			}
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, body, got)
		})
	}
}

// TestABodyIsReadByOneAttemptAlone: the first one may still be sending it when its node has answered.
func TestABodyIsReadByOneAttemptAlone(t *testing.T) {
	for name, first := range map[string]bool{"the first": true, "the second": false} {
		t.Run(name, func(t *testing.T) {
			var bodies []io.Reader
			transport := New(roundTripper(func(r *http.Request) (*http.Response, error) {
				bodies = append(bodies, r.Body)
				return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: http.NoBody}, nil
			}), func() {})
			var attempts Attempts
			body := io.NopCloser(strings.NewReader("0123456789"))
			for range 2 {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://es1:9200/", body)
				require.NoError(t, err)
				res, err := transport.Send(req, "es1:9200", "kid", &attempts)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
			}
			require.Len(t, bodies, 2)
			one, other := bodies[0], bodies[1]
			if !first {
				one, other = other, one
			}
			_, err := one.Read(make([]byte, 1))
			require.NoError(t, err)
			_, err = other.Read(make([]byte, 1))
			require.ErrorIs(t, err, ErrBodyGone)
			rest, err := io.ReadAll(one)
			require.NoError(t, err)
			require.Equal(t, "123456789", string(rest))
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestAKnownNodeStaysKnown: when as many pairs as possible are remembered, an answer of a node about a key that is
// one of them does not make the others unknown.
func TestAKnownNodeStaysKnown(t *testing.T) {
	var k knowledge
	key := func(i int) nodeKey { return nodeKey{"es1:9200", fmt.Sprint(i)} }
	for i := range maxRemembered {
		k.answered(key(i), http.StatusOK, time.Unix(1_700_000_000, 0))
	}
	k.answered(key(0), http.StatusOK, time.Unix(1_700_000_001, 0))
	for i := range maxRemembered {
		require.False(t, k.mayNotKnow(key(i)), "key %d", i)
	}
}
