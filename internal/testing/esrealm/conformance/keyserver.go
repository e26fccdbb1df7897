package conformance

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

const (
	staticPath   = "/static.json"
	rotatingPath = "/rotating.json"
	elsewhere    = "/elsewhere.json"
)

// KeyServer serves two JWK sets: one that never changes, and one that scenarios
// change. Each node needs its own server, because the server counts the fetches.
type KeyServer struct {
	// URL is the address of the server. Its host is a name without a dot.
	URL string
	// Authority has issued the server's certificate.
	Authority *pki.CA

	server   *httptest.Server
	mu       sync.Mutex
	document Document
	fetches  int
	seen     http.Header
	names    []string
}

// Document is the server's answer to a request for the set that changes.
type Document struct {
	Status int // default: 200
	Header map[string]string
	Body   string
	Delay  time.Duration
}

// NewKeyServer starts a server.
func NewKeyServer() (*KeyServer, error) {
	s := &KeyServer{Authority: pki.NewCA("keys"), document: Document{Body: firstKeys()}}
	s.server = httptest.NewUnstartedServer(s)
	s.server.TLS = &tls.Config{
		Certificates: []tls.Certificate{s.Authority.Server("localhost").TLS},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.names = append(s.names, hello.ServerName)
			return nil, nil
		},
	}
	s.server.StartTLS()
	_, port, err := net.SplitHostPort(s.server.Listener.Addr().String())
	if err != nil {
		return nil, err
	}
	s.URL = "https://localhost:" + port
	return s, nil
}

// Close stops the server.
func (s *KeyServer) Close() {
	s.server.CloseClientConnections()
	s.server.Close()
}

func firstKeys() string { return jwks(jwk(keyRSA, map[string]any{"alg": "RS256", "use": "sig"})) }

// ServeHTTP answers with a JWK set.
func (s *KeyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case staticPath:
		fmt.Fprint(w, staticKeys())
	case elsewhere:
		fmt.Fprint(w, jwks(jwk(keyRSA, nil), jwk(keyRSANext, nil)))
	case rotatingPath:
		s.mu.Lock()
		s.fetches++
		s.seen = r.Header.Clone()
		d := s.document
		s.mu.Unlock()
		if d.Delay > 0 {
			time.Sleep(d.Delay)
		}
		for name, v := range d.Header {
			w.Header().Set(name, v)
		}
		if d.Status != 0 {
			w.WriteHeader(d.Status)
		}
		if d.Status != http.StatusNoContent && d.Status != http.StatusNotModified {
			fmt.Fprint(w, d.Body)
		}
	default:
		http.NotFound(w, r)
	}
}

func (s *KeyServer) set(d Document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.document, s.fetches = d, 0
}

// takeFetches returns how often the set that changes has been fetched since the
// last call.
func (s *KeyServer) takeFetches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.fetches
	s.fetches = 0
	return n
}

// Client is what a server knows about its client.
type Client struct {
	// ServerNames are the server names in its TLS handshakes.
	ServerNames []string
	// Headers are the names of the headers of its last request.
	Headers []string
}

// Client returns what the server knows about its client.
func (s *KeyServer) Client() Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	headers := s.seen.Clone()
	headers.Del("Connection") // Keep-Alive is HTTP/1.1's default
	return Client{slices.Compact(slices.Sorted(slices.Values(s.names))), slices.Sorted(maps.Keys(headers))}
}

// KeySet returns the first content of the file [KeySetFile].
func KeySet() string { return firstKeys() }
