package esjwt

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"weak"

	"github.com/caddyserver/caddy/v2/modules/caddytls"
	lru "github.com/hashicorp/golang-lru/v2"
)

// This file decides who a client is. That follows from its certificate, the configuration with the
// files that it names, and the clock; the request's Host can only refuse. There are three ways out
// of identify that are no refusal: a client that is known and that the handler's own authorities
// vouch for, one that is known and was verified again, and a new one.

// client is who a certificate stands for.
type client struct {
	subject

	cleanup    runtime.Cleanup
	pool       *x509.CertPool // the handler's own, that it was decided by
	generation uint64         // of the files that it was decided by
	decided    int64          // Unix seconds
	recheck    int64          // Unix seconds: what it was checked against, chain and revocation lists, is good until then
	chainEnd   int64          // Unix seconds: the end of the chain that speaks for it

	principal   any // a string, boxed once for the replacer
	serial      string
	fingerprint [sha256.Size]byte
	headers     []string // the values of the identifier's headers, in their order; "" has the token in it
}

// name is the client's user name.
func (c *client) name() string { return c.principal.(string) }

// identifier turns the certificate of a TLS connection into a client.
type identifier struct {
	profile
	pool       caddytls.CA // the handler's own trust_pool; nil: what the TLS layer verified counts
	revocation revocation
	generation atomic.Uint64 // raised when a file that decides changes
	clients    *lru.Cache[weak.Pointer[x509.Certificate], *client]
	refused    *lru.Cache[weak.Pointer[x509.Certificate], untrusted]
}

// untrusted is a certificate that the handler's own trust_pool did not lead to. To verify one
// costs much more than to send it, so the outcome is remembered for a while. (Every connection has
// a parsed certificate of its own, and so the same intermediates beside it.)
type untrusted struct {
	pool  *x509.CertPool
	until time.Time
	err   error
}

const (
	maxUntrusted  = 10_000
	untrustedTime = time.Minute

	// maxSent is how many certificates a client may send: a chain is hardly longer than four.
	maxSent = 10
)

func newIdentifier(p profile, pool caddytls.CA, size int) (*identifier, error) {
	clients, err := lru.NewWithEvict(size, func(_ weak.Pointer[x509.Certificate], c *client) { c.cleanup.Stop() })
	if err != nil {
		return nil, err
	}
	refused, err := lru.New[weak.Pointer[x509.Certificate], untrusted](min(size, maxUntrusted))
	if err != nil {
		return nil, err
	}
	return &identifier{profile: p, pool: pool, clients: clients, refused: refused}, nil
}

// identify returns the client at the other end of a connection, and until when its
// certificate is good (Unix seconds).
func (id *identifier) identify(conn *tls.ConnectionState, host string, now time.Time) (*client, int64, error) {
	if hasNoCertificate(conn) {
		return nil, 0, refuse(noCertificate, "the client sent no certificate: connect with TLS and a client certificate; if you did, this site does not ask for one: set client_auth { mode verify_if_given } with a trust_pool")
	}
	// A resumed session was verified at another time, maybe under another configuration, and
	// early data (RFC 8446 section 8) can be replayed.
	if conn.DidResume || !conn.HandshakeComplete {
		return nil, 0, refuse(unverified, "the TLS session was resumed or is not complete, which proves nothing: connect anew")
	}
	pool, err := id.trustPool()
	if err != nil {
		return nil, 0, err
	}
	leaf := conn.PeerCertificates[0]
	key := weak.Make(leaf)
	known := id.known(key, pool, now)
	if known != nil && pool != nil {
		// TLS has proven that the client holds this certificate's key, and a chain was found.
		return known, known.chainEnd, nil
	}
	trust, err := id.verify(conn, pool, host, now)
	if err != nil {
		return nil, 0, err
	}
	if known != nil {
		return known, min(trust.notAfter, known.chainEnd), nil
	}
	client, _, err := id.newClient(leaf, pool, trust.chains, now)
	if err != nil {
		return nil, 0, err
	}
	id.remember(leaf, key, client)
	return client, min(trust.notAfter, client.chainEnd), nil
}

// hasNoCertificate reports whether a client has none: where certificates are optional, it may be
// somebody else.
func hasNoCertificate(conn *tls.ConnectionState) bool {
	return conn == nil || len(conn.PeerCertificates) == 0
}

// trustPool returns the authorities of the handler's own trust_pool as they are now, or nil if it
// has none. They can be others from one request to the next.
func (id *identifier) trustPool() (*x509.CertPool, error) {
	if id.pool == nil {
		return nil, nil
	}
	pool := id.pool.CertPool()
	if pool == nil {
		// For crypto/x509, no pool means the system's roots.
		return nil, refuse(unverified, "the trust_pool of elasticsearch_jwt is empty: name the authority of the client certificates")
	}
	return pool, nil
}

// known returns the client that a certificate stood for the last time, unless the authorities or a
// file that this was decided by have changed since, or a revocation list has run out, or the clock
// was set back.
func (id *identifier) known(key weak.Pointer[x509.Certificate], pool *x509.CertPool, now time.Time) *client {
	client, ok := id.clients.Get(key)
	if !ok || client.pool != pool || client.generation != id.generation.Load() || now.Unix() >= client.recheck || now.Unix() < client.decided {
		return nil
	}
	return client
}

// verified is what speaks for a certificate: the chains that lead to an authority, and until
// when one of them is good.
type verified struct {
	chains   [][]*x509.Certificate
	notAfter int64 // Unix seconds
}

// verify checks that the certificate may be believed now, and on this site.
func (id *identifier) verify(conn *tls.ConnectionState, pool *x509.CertPool, host string, now time.Time) (verified, error) {
	if pool != nil {
		return id.verifyOwn(conn.PeerCertificates, pool, now)
	}
	if len(conn.VerifiedChains) == 0 {
		return verified{}, refuseNobodyVerified()
	}
	notAfter := chainsEnd(conn.VerifiedChains, conn.PeerCertificates[0], now)
	if notAfter == 0 {
		return verified{}, refuseExpired()
	}
	// Another site of this server may trust other authorities. What was verified is the
	// certificate for the site that the client named in the handshake.
	if !sameHost(conn.ServerName, host) {
		return verified{}, refuse(misdirected, "the Host is not the server name of the TLS handshake: connect with the name that the request is for, or give elasticsearch_jwt a trust_pool of its own")
	}
	return verified{conn.VerifiedChains, notAfter}, nil
}

// verifyOwn verifies the certificate against the handler's own trust_pool, whatever the TLS
// layer thought of it.
func (id *identifier) verifyOwn(sent []*x509.Certificate, pool *x509.CertPool, now time.Time) (verified, error) {
	if len(sent) > maxSent {
		return verified{}, refuse(unverified, "the client sent %d certificates: send its own and the intermediates, which are %d at most", len(sent), maxSent-1)
	}
	key := weak.Make(sent[0])
	if before, ok := id.refused.Get(key); ok && before.pool == pool && now.Before(before.until) {
		return verified{}, before.err
	}
	v, err := verifyChains(sent, pool, "elasticsearch_jwt", now)
	if err != nil {
		id.refused.Add(key, untrusted{pool, now.Add(untrustedTime), err})
	}
	return v, err
}

// verifyChains finds the chains of a certificate to authorities, over the intermediates that were
// sent after it. What the trust_pool belongs to is for the refusal.
func verifyChains(sent []*x509.Certificate, pool *x509.CertPool, of string, now time.Time) (verified, error) {
	intermediates := x509.NewCertPool()
	for _, c := range sent[1:] {
		intermediates.AddCert(c)
	}
	chains, err := sent[0].Verify(x509.VerifyOptions{
		Roots:         pool,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return verified{}, refuseUnverified(err, of)
	}
	notAfter := chainsEnd(chains, sent[0], now)
	if notAfter == 0 {
		return verified{}, refuseExpired()
	}
	return verified{chains, notAfter}, nil
}

func refuseNobodyVerified() error {
	return refuse(unverified, "nobody verified the client's certificate: set client_auth { mode verify_if_given } with a trust_pool, or give elasticsearch_jwt a trust_pool of its own")
}

func refuseExpired() error {
	return refuse(expired, "the client's certificate, or one above it, has expired or is not valid yet: renew it and connect again")
}

func refuseNotForClients() error {
	return refuse(unverified, "the client's certificate is not for client authentication: its extended key usage must include clientAuth")
}

// refuseUnverified says why crypto/x509 did not accept a certificate.
func refuseUnverified(err error, of string) error {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch invalid.Reason {
		case x509.Expired:
			return refuseExpired()
		case x509.IncompatibleUsage:
			return refuseNotForClients()
		default:
			return refuse(unverified, "the chain of the client's certificate to the trust_pool of %s breaks a rule of an authority in it, such as a name constraint: the log says which", of).from(textOf(err))
		}
	}
	return refuse(unverified, "the client's certificate does not lead to an authority in the trust_pool of %s: use one that its authorities issued, and send the intermediates along", of).from(textOf(err))
}

// chainsEnd is until when (Unix seconds) at least one of the verified chains of a leaf is
// valid as a whole; 0 if none of them is now. Connections outlive certificates, so the
// handshake's verdict is not enough.
func chainsEnd(chains [][]*x509.Certificate, leaf *x509.Certificate, now time.Time) int64 {
	best := int64(0)
	for _, chain := range chains {
		best = max(best, chainEnd(chain, leaf, now))
	}
	return best
}

// chainEnd is until when (Unix seconds) a chain of a leaf is valid as a whole; 0 if it is not now.
func chainEnd(chain []*x509.Certificate, leaf *x509.Certificate, now time.Time) int64 {
	if len(chain) == 0 || chain[0] != leaf {
		return 0
	}
	end := int64(math.MaxInt64)
	for _, c := range chain {
		if now.Before(c.NotBefore) {
			return 0
		}
		end = min(end, c.NotAfter.Unix())
	}
	if end <= now.Unix() {
		return 0
	}
	return end
}

// sameHost compares a server name (SNI, RFC 6066) with a Host header (RFC 9110 section 7.2), as
// ASCII. Caddy chooses a site's TLS settings by one and its routes by the other, and folds neither
// quite as the other: a name with anything unusual in it, such as a letter that only Unicode takes
// for another, a bracket or a final dot, was not verified for this site.
func sameHost(serverName, host string) bool {
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 {
		host = host[:colon] // a port, or else the address has a colon left and is no name
	}
	if serverName == "" || len(serverName) != len(host) {
		return false
	}
	for i := range len(serverName) {
		a, b := lowerASCII(serverName[i]), lowerASCII(host[i])
		if a != b || !isHostByte(a) {
			return false
		}
	}
	return true
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

func isHostByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_'
}

// remember keeps a client for as long as its certificate lives in memory, which is as long as
// a connection has it. The weak pointer neither keeps the parsed certificate alive, nor is it
// ever equal to that of another one.
func (id *identifier) remember(leaf *x509.Certificate, key weak.Pointer[x509.Certificate], client *client) {
	// Weak again: old configurations must not live as long as the connections.
	clients := weak.Make(id.clients)
	client.cleanup = runtime.AddCleanup(leaf, func(key weak.Pointer[x509.Certificate]) {
		if c := clients.Value(); c != nil {
			c.Remove(key)
		}
	}, key)
	if before, ok := id.clients.Peek(key); ok {
		before.cleanup.Stop()
	}
	id.clients.Add(key, client)
}

// newClient reads the identity out of a verified certificate. The reading is what the client's
// claims were made of.
func (id *identifier) newClient(leaf *x509.Certificate, pool *x509.CertPool, chains [][]*x509.Certificate, now time.Time) (*client, reading, error) {
	generation := id.generation.Load() // before the files are asked: a change meanwhile counts as one after
	if !forClients(leaf) {
		return nil, reading{}, refuseNotForClients()
	}
	recheck, end, err := id.revocation.check(leaf, chains, now)
	if err != nil {
		return nil, reading{}, err
	}
	cert, err := newCertificate(leaf)
	if err != nil {
		return nil, reading{}, refuse(invalidName, "the certificate's subject or issuer cannot be read: issue it anew").from(err)
	}
	who, err := id.read(cert)
	if err != nil {
		return nil, reading{}, err
	}
	client := &client{
		subject:     subject{lifetime: id.lifetime},
		pool:        pool,
		generation:  generation,
		decided:     now.Unix(),
		recheck:     recheck,
		chainEnd:    end,
		principal:   who.principal,
		serial:      serial(leaf),
		fingerprint: cert.fingerprint(),
	}
	if client.claims, err = encodeClaims(who.claims, id.jti); err != nil {
		return nil, reading{}, fmt.Errorf("encoding the claims: %w", err)
	}
	if client.headers, err = id.headersOf(cert); err != nil {
		return nil, reading{}, err
	}
	if size := client.headerSize(id.profile.headers); size > maxInjected {
		return nil, reading{}, refuse(tooLarge, "the headers for this certificate would have %d bytes, and Elasticsearch takes 16384 with all others: put fewer or shorter groups and claims into the token", size)
	}
	return client, who, nil
}

// forClients checks the extended key usage (RFC 5280 section 4.2.1.12). A certificate without
// the extension is for everything.
func forClients(leaf *x509.Certificate) bool {
	if len(leaf.ExtKeyUsage) == 0 && len(leaf.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) ||
		slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// headerSize is how many bytes the injected headers have at most: with the signature of the
// largest key.
func (c *client) headerSize(headers []headerTemplate) int {
	const overhead = 115 + 684 + len("..") // the JWS header with a kid, and an RSA-4096 signature, in base64url
	jwt := base64.RawURLEncoding.EncodedLen(c.claims.size()) + overhead
	size := 0
	for i, h := range headers {
		size += len(h.name) + len(": \r\n") + len(c.headers[i])
		for _, part := range h.parts {
			if part.jwt {
				size += jwt
			} else if h.hasJWT() {
				size += len(part.text)
			}
		}
	}
	return size
}
