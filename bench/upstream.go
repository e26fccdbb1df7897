package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// upstream takes the place of Elasticsearch. It answers at once, with a small body.
type upstream struct {
	http.Server
	listener net.Listener
	seen     chan string // the Authorization of a request to /token

	http1, http2 atomic.Int64 // how many requests there were
}

// startUpstream starts an upstream, with TLS and HTTP/2 if there is an authority for its certificate.
func startUpstream(p *pki) (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{listener: l, seen: make(chan string, 1)}
	body := []byte(`{"took":1,"timed_out":false,"hits":{"total":{"value":0,"relation":"eq"},"hits":[]}}`)
	u.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			u.http2.Add(1)
		} else {
			u.http1.Add(1)
		}
		if r.URL.Path == "/token" {
			u.seen <- r.Header.Get("Authorization")
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	u.ReadHeaderTimeout = 10 * time.Second
	go func() {
		if p == nil {
			_ = u.Serve(l)
			return
		}
		_ = u.ServeTLS(l, filepath.Join(p.dir, "server.pem"), filepath.Join(p.dir, "server.key"))
	}()
	return u, nil
}

// Addr returns the address on which it listens.
func (u *upstream) Addr() string { return u.listener.Addr().String() }

// tokenThrough returns the token that a Caddy puts into a request.
func (u *upstream) tokenThrough(ctx context.Context, c *caddyProcess) (string, error) {
	transport := c.transport(1)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+site+"/token", nil)
	if err != nil {
		return "", err
	}
	res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	select {
	case authorization := <-u.seen:
		return strings.TrimPrefix(authorization, "Bearer "), nil
	case <-time.After(time.Second):
		return "", errors.New("the request did not reach the upstream")
	}
}
