package esjwt

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// TestAMeetingEnds covers when a node is asked once more: for a minute after its first 401 to a key, and
// not after it has taken it.
func TestAMeetingEnds(t *testing.T) {
	const refused, taken = http.StatusUnauthorized, http.StatusOK
	who := meeting{"es1:9200", "kid"}

	var m meetings
	require.True(t, m.open(who))
	require.True(t, m.answered(who, refused, at(0)))
	require.False(t, m.answered(who, http.StatusServiceUnavailable, at(time.Second)), "the node had no time for the token")
	require.True(t, m.open(who))
	require.True(t, m.answered(who, refused, at(59*time.Second)))
	require.False(t, m.answered(who, refused, at(time.Minute)), "it is no matter of moments")
	require.False(t, m.open(who))
	require.False(t, m.answered(who, refused, at(time.Hour)))

	require.True(t, m.open(meeting{"es2:9200", "kid"}), "each node learns by itself")
	require.True(t, m.open(meeting{"es1:9200", "next"}), "each key")
	m.forget("es1:9200")
	require.True(t, m.open(who), "a node that was away may have started anew")

	require.False(t, m.answered(who, taken, at(0)))
	require.False(t, m.open(who))
	require.False(t, m.answered(who, refused, at(time.Second)), "it knows the key")

	for i := range 3 * maxMeetings {
		m.answered(meeting{"es1:9200", fmt.Sprint(i)}, taken, at(0))
		require.LessOrEqual(t, len(m.known), maxMeetings)
	}
}

// TestTheSecondAttemptWaits for a moment, and for no client that is gone.
func TestTheSecondAttemptWaits(t *testing.T) {
	for name, c := range map[string]struct {
		leaves time.Duration
		want   []time.Duration // when the node was asked
	}{
		"who stays":  {time.Hour, []time.Duration{0, meetingPause}},
		"who leaves": {meetingPause / 2, []time.Duration{0}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				began := time.Now()
				var asked []time.Duration
				var node http.Transport
				node.RegisterProtocol("http", roundTripper(func(*http.Request) (*http.Response, error) {
					asked = append(asked, time.Since(began))
					return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody}, nil
				}))
				transport := Transport{HTTPTransport: reverseproxy.HTTPTransport{Transport: &node}}
				ctx, cancel := context.WithTimeout(t.Context(), c.leaves)
				defer cancel()
				ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{
					authenticatedVar: &admission{client: new(client), kid: "kid", maxHeaderSize: defaultMaxHeaderSize},
				})
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://es1:9200/", nil)
				require.NoError(t, err)
				res, err := transport.RoundTrip(req)
				require.Equal(t, c.want, asked)
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

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
