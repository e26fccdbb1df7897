package esjwt

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
)

// This file ends upgraded connections whose client is no longer let in. A WebSocket (RFC 6455, RFC 8441,
// RFC 9220) or another upgraded connection can stay open for days, and the node asks for no other token
// meanwhile. So the client's certificate is identified again and again.

// recheckInterval is how often the client of an upgraded connection is identified again.
const recheckInterval = 5 * time.Second

// serveUpgraded serves a request that may upgrade its connection, for as long as the client is let in. Then it
// ends the connection: it cancels the context, with which reverse_proxy closes it, and it closes the
// connection itself if another handler has hijacked it.
func (h *Handler) serveUpgraded(
	w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, admitted *admission,
) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	upgraded := &upgradedWriter{ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := h.untilRefused(ctx, r, admitted.client); err != nil {
			cancel(err)
			upgraded.end()
		}
	})
	defer watching.Wait()
	defer cancel(nil) // ends the watching, for which the defer above waits
	err := next.ServeHTTP(upgraded, r.WithContext(ctx))
	refusal, ok := errors.AsType[*Refusal](context.Cause(ctx))
	if !ok {
		return err
	}
	if err != nil {
		// It had not been upgraded yet. The next handler may have begun an answer, so none is written here.
		return h.refused(r, refusal)
	}
	metrics.refused(identity.Reason(refusal.Reason))
	logDecision(r, &decision{certificate: admitted.certificate, credential: admitted.credential, reason: refusal.Reason})
	h.logRefusal(r, refusal, "upgraded connections are being ended, whose clients are no longer let in "+
		"(this is logged once a minute)", zap.String("user", admitted.client.Name()))
	return nil
}

// untilRefused identifies a client again and again. It returns the refusal as soon as the client is no longer
// let in, or would be somebody else than before; or nil when the context ends.
func (h *Handler) untilRefused(ctx context.Context, r *http.Request, as *identity.Client) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(recheckInterval):
		}
		if h.app.stopped.Load() {
			// This configuration no longer notices changed files. reverse_proxy closes its connections
			// itself when a configuration ends, unless it was told to keep them.
			return refuseEndedConfiguration()
		}
		now, _, err := h.identifier.Identify(ctx, r.TLS, r.Host, time.Now().Unix())
		if err != nil {
			return err
		}
		if !now.Same(as) {
			return refuseOtherClient()
		}
	}
}

// upgradedWriter remembers the connection that a handler hijacks.
type upgradedWriter struct {
	caddyhttp.ResponseWriterWrapper

	mu    sync.Mutex
	conn  net.Conn
	ended bool
}

// Hijack implements [http.Hijacker].
func (u *upgradedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return conn, rw, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.conn = conn
	if u.ended {
		conn.Close()
	}
	return conn, rw, nil
}

// end closes the connection, or will do so as soon as it is hijacked.
func (u *upgradedWriter) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	if u.conn != nil {
		u.conn.Close()
	}
}

// Interface guards
var _ http.Hijacker = (*upgradedWriter)(nil)
