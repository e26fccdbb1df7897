package esjwt

import (
	"cmp"
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/eserror"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/nodefault"
)

// This file is about nodes that close a connection over a request. OpenSearch does so for a method that it does not know,
// and Elasticsearch for some media types. For reverse_proxy that is a failure of the node, so that with fail_duration a
// few such requests of one client would take the node away from all others.

// aliveTimeout is how long a node may take to accept a connection.
const aliveTimeout = 2 * time.Second

// answerForNode answers a request over which a node has closed the connection, though it accepts another one. It returns
// nil if the node may have failed.
//
// A node without TLS may have closed the connection because it wants TLS, which reverse_proxy's log line says, so it is
// left to reverse_proxy.
func (t *Transport) answerForNode(req *http.Request, node reverseproxy.DialInfo, err error) *http.Response {
	if !t.TLSEnabled() || req.Context().Err() != nil || !nodefault.Closed(err) || !t.accepts(req.Context(), node, req.URL.Hostname()) {
		return nil
	}
	if times, due := t.warnings.Due("closed connections", time.Now()); due {
		t.logger.Warn("a node closes the connection over a request, without an answer, and accepts others "+
			"(this is logged once a minute)",
			zap.String("node", node.Address), zap.String("method", req.Method), zap.Int("times", times), zap.Error(err))
	}
	return eserror.Response(req, http.StatusBadGateway, eserror.NodeDisconnected, "the node has closed the connection "+
		"without an answer: it may not know the method, the content type or another header of the request")
}

// accepts reports whether a node accepts a connection, and speaks TLS. host is the one that its certificate is for, unless
// the transport's settings say otherwise.
func (t *Transport) accepts(ctx context.Context, node reverseproxy.DialInfo, host string) bool {
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	if dial := t.Transport.DialTLSContext; dial != nil {
		conn, err := dial(ctx, node.Network, node.Address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	conn, err := t.Transport.DialContext(ctx, node.Network, node.Address)
	if err != nil {
		return false
	}
	defer conn.Close()
	config := t.Transport.TLSClientConfig.Clone()
	config.ServerName = cmp.Or(config.ServerName, host)
	return tls.Client(conn, config).HandshakeContext(ctx) == nil
}
