package site

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
)

// Handshake is a TLS handshake that failed.
type Handshake struct {
	Err        error
	RemoteAddr net.Addr
	ServerName string // as the client named it

	site Site
}

// Authorities returns those that the client's certificate was checked against; nil means those of the system.
func (h Handshake) Authorities() *x509.CertPool {
	if h.site.policy == nil || h.site.policy.TLSConfig == nil {
		return nil
	}
	return h.site.ClientCAs()
}

// WatchHandshakes has failed called for each handshake of the server's that fails, whatever the reason, unless
// another handler of the server has it called already. It must be called while the configuration is loaded.
//
// Caddy says at the level DEBUG alone why a handshake failed. But a server hears of each connection that ends, and a
// [tls.Conn] remembers the error of its handshake. (Connections of HTTP/3 are not among them.)
func (s *Server) WatchHandshakes(failed func(Handshake)) {
	if s.server == nil {
		return
	}
	s.watched.Do(func() {
		s.server.RegisterConnState(func(conn net.Conn, state http.ConnState) {
			if state != http.StateClosed {
				return
			}
			if conn, ok := conn.(*tls.Conn); ok {
				if err := conn.HandshakeContext(context.Background()); err != nil { // it is over: this asks how it ended
					failed(s.handshake(conn, err))
				}
			}
		})
	})
}

func (s *Server) handshake(conn *tls.Conn, err error) Handshake {
	h := Handshake{Err: err, RemoteAddr: conn.RemoteAddr(), ServerName: conn.ConnectionState().ServerName}
	h.site, _ = s.policies.site(h.ServerName)
	return h
}
