// Package issuer has a JWT issuer with a JWKS endpoint that does what the plugin does
// not: it signs any token, changes its key at any time, and closes its endpoint.
package issuer

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// Path is the path of the JWKS.
const Path = "/.well-known/jwks.json"

// Issuer signs tokens and serves the keys for them.
type Issuer struct {
	// Name is the claim iss.
	Name string
	// Audience is the claim aud.
	Audience string

	host        string
	port        int
	certificate tls.Certificate

	mu      sync.Mutex
	key     jose.JSONWebKey
	answer  http.Handler // answers instead of the JWKS, if it is set
	server  *http.Server
	fetches atomic.Int64
}

// New makes an issuer for a port of 127.0.0.1. The host is a name in the certificate.
// Call Serve to start it.
func New(name, audience, host string, port int, certificate pki.Pair) (*Issuer, error) {
	i := &Issuer{Name: name, Audience: audience, host: host, port: port, certificate: certificate.TLS}
	return i, i.Rotate()
}

// Rotate replaces the key by a new one.
func (i *Issuer) Rotate() error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key = jose.JSONWebKey{Key: private, KeyID: rand.Text(), Algorithm: string(jose.RS256), Use: "sig"}
	return nil
}

// URL returns the URL of the JWKS.
func (i *Issuer) URL() string {
	return "https://" + net.JoinHostPort(i.host, strconv.Itoa(i.port)) + Path
}

// Serve starts the server. It does nothing if the server runs.
func (i *Issuer) Serve() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.server != nil {
		return nil
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(i.port)))
	if err != nil {
		return fmt.Errorf("serve the key set: %w", err)
	}
	server := &http.Server{
		Handler:           i,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{i.certificate}},
		ReadHeaderTimeout: 10 * time.Second,
	}
	i.server = server
	go func() {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	return nil
}

// Close stops the server. Serve starts it again, on the same port.
func (i *Issuer) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.server == nil {
		return nil
	}
	err := i.server.Close()
	i.server = nil
	return err
}

// Answer sets a handler that answers requests for the JWKS. After Answer(nil), the
// issuer answers them itself.
func (i *Issuer) Answer(handler http.Handler) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = handler
}

// Fetches returns the number of requests for the JWKS.
func (i *Issuer) Fetches() int { return int(i.fetches.Load()) }

func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != Path {
		http.NotFound(w, r)
		return
	}
	i.fetches.Add(1)
	i.mu.Lock()
	answer, key := i.answer, i.key.Public()
	i.mu.Unlock()
	if answer != nil {
		answer.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	if err := json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}}); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// Claims are the claims of a token.
type Claims map[string]any

// Claims returns the claims of a token as the plugin makes it for a user in groups.
func (i *Issuer) Claims(user string, groups ...string) Claims {
	now := time.Now()
	return Claims{
		"iss": i.Name, "sub": user, "aud": []string{i.Audience},
		"iat": now.Add(-time.Minute).Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(10 * time.Minute).Unix(),
		"roles": groups,
	}
}

// With returns a copy with another value for a claim, or without the claim if the
// value is nil.
func (c Claims) With(name string, value any) Claims {
	changed := maps.Clone(c)
	changed[name] = value
	if value == nil {
		delete(changed, name)
	}
	return changed
}

// Token returns a token with the claims, signed with the present key.
func (i *Issuer) Token(t testing.TB, claims Claims) string {
	t.Helper()
	i.mu.Lock()
	key := i.key
	i.mu.Unlock()
	options := (&jose.SignerOptions{}).WithType("JWT")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, options)
	require.NoError(t, err)
	payload, err := json.Marshal(claims)
	require.NoError(t, err)
	signed, err := signer.Sign(payload)
	require.NoError(t, err)
	token, err := signed.CompactSerialize()
	require.NoError(t, err)
	return token
}
