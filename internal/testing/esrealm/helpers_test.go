package esrealm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

const (
	testIssuer   = "https://issuer.example.com"
	testAudience = "https://elasticsearch.example.com:9200"
	hmacKey      = "a symmetric key of more than thirty-two bytes"
)

// signer signs tokens with one key.
type signer struct {
	kid string
	key *ecdsa.PrivateKey
}

func newSigner(t testing.TB, kid string) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return signer{kid, key}
}

func (s signer) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Algorithm: "ES256", Use: "sig"}
}

func keySetOf(t testing.TB, signers ...signer) string {
	t.Helper()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, s := range signers {
		set.Keys = append(set.Keys, s.jwk())
	}
	text, err := json.Marshal(set)
	require.NoError(t, err)
	return string(text)
}

// token makes a good token; more replaces claims.
func (s signer) token(t testing.TB, more map[string]any) string {
	t.Helper()
	return sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: s.key, KeyID: s.kid}}, more)
}

func hmacToken(t testing.TB, more map[string]any) string {
	t.Helper()
	return sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: []byte(hmacKey)}, more)
}

func sign(t testing.TB, key jose.SigningKey, more map[string]any) string {
	t.Helper()
	claims := map[string]any{
		"iss": testIssuer, "sub": "alice", "aud": testAudience,
		"iat": time.Now().Add(-time.Minute).Unix(), "exp": time.Now().Add(10 * time.Minute).Unix(),
		"roles": []string{"analysts"},
	}
	maps.Copy(claims, more)
	payload, err := json.Marshal(claims)
	require.NoError(t, err)
	s, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	require.NoError(t, err)
	object, err := s.Sign(payload)
	require.NoError(t, err)
	compact, err := object.CompactSerialize()
	require.NoError(t, err)
	return compact
}

// hmacRealm is a realm that needs no JWK set.
func hmacRealm() Realm {
	return Realm{
		Name:                       "jwt1",
		AllowedIssuer:              testIssuer,
		AllowedAudiences:           []string{testAudience},
		AllowedSignatureAlgorithms: []string{"HS256"},
		Claims:                     Claims{Principal: "sub", Groups: "roles"},
		ClientAuthentication:       ClientAuthentication{Type: ClientAuthenticationNone},
		HMACKey:                    hmacKey,
	}
}

// urlRealm is a realm that fetches its JWK set.
func urlRealm(server *httptest.Server) Realm {
	r := hmacRealm()
	r.HMACKey, r.AllowedSignatureAlgorithms = "", []string{"ES256"}
	r.PKCJWKSetPath = server.URL + "/jwks.json"
	r.SSL.CertificateAuthorities = x509.NewCertPool()
	r.SSL.CertificateAuthorities.AddCert(server.Certificate())
	return r
}

// jwksServer serves what the test says, and counts.
type jwksServer struct {
	*httptest.Server
	mu      sync.Mutex
	handler http.HandlerFunc
}

func newJWKSServer(t testing.TB, body string) *jwksServer {
	t.Helper()
	s := &jwksServer{}
	s.serve(body)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		handler := s.handler
		s.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *jwksServer) serve(body string) {
	s.handle(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
}

func (s *jwksServer) handle(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

func newTestNode(t testing.TB, config Config) *Node {
	t.Helper()
	config.Logf = t.Logf
	n, err := NewHandler(config)
	require.NoError(t, err)
	return n
}

// do sends a request with a bearer token, or with "name:password", to a node that
// is not served.
func do(n *Node, credentials, method, path string, headers ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, http.NoBody)
	if name, password, ok := strings.Cut(credentials, ":"); ok {
		req.SetBasicAuth(name, password)
	} else {
		req.Header.Set("Authorization", "Bearer "+credentials)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res := httptest.NewRecorder()
	n.ServeHTTP(res, req)
	return res
}

func authenticate(n *Node, credentials string, headers ...string) *httptest.ResponseRecorder {
	return do(n, credentials, http.MethodGet, "/_security/_authenticate", headers...)
}

// asked is the user that an answer of _security/_authenticate tells about.
type asked struct {
	Username string
	Roles    []string
	Realm    struct{ Name string } `json:"authentication_realm"`
}

func userOf(t testing.TB, res *httptest.ResponseRecorder) (u asked) {
	t.Helper()
	require.Equal(t, http.StatusOK, res.Code, res.Body)
	require.NoError(t, json.Unmarshal(res.Body.Bytes(), &u))
	return u
}
