package esjwt

import (
	"context"
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
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/chain"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/turns"
)

// This file decides who a client is. That follows from its certificate, the configuration with the
// files that it names, and the clock; the request's Host can only refuse. There are three ways out
// of identify that are no refusal: a client that is known and that the handler's own authorities
// vouch for, one that is known and was verified again, and a new one.

// client is who a certificate stands for.
type client struct {
	subject

	cleanup  runtime.Cleanup
	basis    basis
	decided  int64 // Unix seconds
	recheck  int64 // Unix seconds: what it was checked against, chain and revocation lists, is good until then
	chainEnd int64 // Unix seconds: the end of the chain that speaks for it

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
	files      []versioned // that decide
	outcomes   *outcomes
	turns      *turns.Turns[connection]
}

// versioned is what can change, and counts its changes.
type versioned interface{ Version() uint64 }

// looks are the certificates that are being looked at, by all handlers. However many clients come
// with new ones, there is a processor left for those that are known.
var looks = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// maxSent is how many certificates a client may send: a chain is hardly longer than four.
const maxSent = 10

func newIdentifier(p profile, pool caddytls.CA, size int) (*identifier, error) {
	outcomes, err := newOutcomes(size)
	if err != nil {
		return nil, err
	}
	return &identifier{profile: p, pool: pool, outcomes: outcomes, turns: turns.New[connection](looks)}, nil
}

// identify returns the client at the other end of a connection, and until when its
// certificate is good (Unix seconds).
func (id *identifier) identify(ctx context.Context, conn *tls.ConnectionState, host string, now time.Time) (*client, int64, error) {
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
	key := connectionOf(conn.PeerCertificates)
	known := id.outcomes.client(key, id.basis(pool), now)
	if known != nil && pool != nil {
		// TLS has proven that the client holds this certificate's key, and a chain was found.
		return known, known.chainEnd, nil
	}
	var byTLS verified
	if pool == nil {
		if byTLS, err = verifiedByTLS(conn, host, now); err != nil {
			return nil, 0, err
		}
		if known != nil {
			return known, min(byTLS.notAfter, known.chainEnd), nil
		}
	}
	client, err := id.decide(ctx, key, conn.PeerCertificates, pool, byTLS.chains, now)
	if err != nil {
		return nil, 0, err
	}
	return client, client.chainEnd, nil
}

// decide says who is at the other end of a connection where no client is known, or why nobody is. The
// certificates are looked at once, however many requests come with them, until something changes: to
// look at them costs much more than to send them.
func (id *identifier) decide(
	ctx context.Context, key connection, sent []*x509.Certificate,
	pool *x509.CertPool, chains [][]*x509.Certificate, now time.Time,
) (*client, error) {
	if refusal := id.outcomes.refusal(key, id.basis(pool), now); refusal != nil {
		return nil, refusal
	}
	done, err := id.turns.Take(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("waiting to be looked at: %w", err)
	}
	defer done()
	now = time.Now()        // it may have waited, and another request have been before it
	basis := id.basis(pool) // before the files are asked: a change meanwhile counts as one after
	if known := id.outcomes.client(key, basis, now); known != nil {
		return known, nil
	}
	if refusal := id.outcomes.refusal(key, basis, now); refusal != nil {
		return nil, refusal
	}
	client, chains, err := id.look(sent, pool, chains, now)
	if err != nil {
		return nil, id.outcomes.refused(key, basis, now, err, append([][]*x509.Certificate{sent}, chains...))
	}
	client.basis, client.decided = basis, now.Unix()
	id.outcomes.admitted(sent, key, client)
	return client, nil
}

// look looks at the certificates that a client sent. The chains are those that the TLS layer
// found, or if there is a pool, the ones to that.
func (id *identifier) look(
	sent []*x509.Certificate, pool *x509.CertPool, chains [][]*x509.Certificate, now time.Time,
) (*client, [][]*x509.Certificate, error) {
	if pool != nil {
		own, err := verifyOwn(sent, pool, now)
		if err != nil {
			return nil, nil, err
		}
		chains = own.chains
	}
	client, _, err := id.newClient(sent[0], chains, now)
	return client, chains, err
}

// basis is what an outcome is decided by, now.
func (id *identifier) basis(pool *x509.CertPool) basis {
	sum := uint64(0)
	for _, file := range id.files {
		sum += file.Version() // which is only ever raised, so that no change is lost in the sum
	}
	return basis{pool, sum}
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

// verified is what speaks for a certificate: the chains that lead to an authority, and until
// when one of them is good.
type verified struct {
	chains   [][]*x509.Certificate
	notAfter int64 // Unix seconds
}

// verifiedByTLS checks that what the TLS layer verified is good now, and on this site.
func verifiedByTLS(conn *tls.ConnectionState, host string, now time.Time) (verified, error) {
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

// verifyOwn verifies the certificates against the handler's own trust_pool, whatever the TLS layer
// thought of them.
func verifyOwn(sent []*x509.Certificate, pool *x509.CertPool, now time.Time) (verified, error) {
	if len(sent) > maxSent {
		return verified{}, refuse(unverified, "the client sent %d certificates: send its own and the intermediates, which are %d at most", len(sent), maxSent-1)
	}
	return verifyChains(sent, pool, "elasticsearch_jwt", now)
}

// verifyChains finds the chains of a certificate to authorities, over the intermediates that were
// sent after it. What the trust_pool belongs to is for the refusal.
func verifyChains(sent []*x509.Certificate, pool *x509.CertPool, of string, now time.Time) (verified, error) {
	chains, err := chain.Verify(sent, pool, now)
	if err != nil {
		return verified{}, refuseUnverified(err, of, diagnose(err, sent, pool, now), now)
	}
	notAfter := chainsEnd(chains, sent[0], now)
	if notAfter == 0 {
		return verified{}, refuseExpired()
	}
	return verified{chains, notAfter}, nil
}

// asIssued leaves out the chains with a certificate that somebody has encoded in another way than
// its authority: it has a fingerprint that nobody knows. The last one of a chain is the operator's.
func asIssued(chains [][]*x509.Certificate) ([][]*x509.Certificate, error) {
	kept := slices.DeleteFunc(slices.Clone(chains), func(certs []*x509.Certificate) bool {
		return slices.ContainsFunc(certs[:max(1, len(certs)-1)], chain.Reencoded)
	})
	if len(kept) == 0 {
		return nil, refuseReencoded()
	}
	return kept, nil
}

func refuseReencoded() *Refusal {
	return refuse(unverified, "the client's certificate, or one that it sent along, "+
		"is not encoded as its authority issued it, which changes its fingerprint: use the file that the authority gave you")
}

func refuseNobodyVerified() error {
	return refuse(unverified, "nobody verified the client's certificate: set client_auth { mode verify_if_given } with a trust_pool, or give elasticsearch_jwt a trust_pool of its own")
}

func refuseExpired() *Refusal {
	return refuse(expired, "the client's certificate, or one above it, has expired or is not valid yet: renew it and connect again")
}

func refuseNotForClients() *Refusal {
	return refuse(unverified, "the client's certificate is not for client authentication: its extended key usage must include clientAuth")
}

// refuseUnverified says why crypto/x509 did not accept a certificate. What was found to be the matter
// with it can have names in it, and is for the operator alone.
func refuseUnverified(err error, of, found string, now time.Time) error {
	if errors.Is(err, chain.ErrReencoded) {
		return refuseReencoded().from(textOf(err))
	}
	refusal := explainUnverified(err, of)
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		refusal = refusal.until(nextChange(now, invalid.Cert))
	}
	if found != "" {
		err = fmt.Errorf("%s (%w)", found, err)
	}
	return refusal.from(textOf(err))
}

func explainUnverified(err error, of string) *Refusal {
	if _, ok := errors.AsType[x509.UnhandledCriticalExtension](err); ok {
		return refuse(unverified, "the client's certificate, or one above it, has a critical extension that is not known here: "+
			"issue it without, or not critical")
	}
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case !ok:
		return refuse(unverified, "the client's certificate does not lead to an authority in the trust_pool of %s: "+
			"use one that its authorities issued, and send the intermediates along", of)
	case invalid.Reason == x509.Expired:
		return refuseExpired()
	case invalid.Reason == x509.IncompatibleUsage && forClients(invalid.Cert): // which is always the client's
		return refuse(unverified, "an intermediate in the client's chain is not for client authentication: "+
			"its extended key usage must include clientAuth, or be left out")
	case invalid.Reason == x509.IncompatibleUsage:
		return refuseNotForClients()
	default:
		return refuse(unverified, "the chain of the client's certificate to the trust_pool of %s breaks a rule of an authority in it, "+
			"such as a name constraint: the log says which", of)
	}
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

// newClient reads the identity out of a verified certificate. The reading is what the client's
// claims were made of.
func (id *identifier) newClient(leaf *x509.Certificate, chains [][]*x509.Certificate, now time.Time) (*client, reading, error) {
	if !forClients(leaf) {
		return nil, reading{}, refuseNotForClients()
	}
	chains, err := asIssued(chains)
	if err != nil {
		return nil, reading{}, err
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
		recheck:     recheck,
		chainEnd:    end,
		principal:   who.principal,
		serial:      serial(leaf),
		fingerprint: cert.fingerprint(),
	}
	if client.claims, err = token.Encode(who.claims, id.jti); err != nil {
		return nil, reading{}, fmt.Errorf("encoding the claims: %w", err)
	}
	if client.headers, err = id.headersOf(cert); err != nil {
		return nil, reading{}, err
	}
	if size := client.headerSize(id.profile.headers); size > id.maxInjected() {
		return nil, reading{}, refuse(tooLarge, "the headers for this certificate would have %d bytes, "+
			"and the cluster reads %d with all others: put fewer or shorter groups and claims into the token", size, id.maxHeaderSize)
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
	jwt := base64.RawURLEncoding.EncodedLen(c.claims.Size()) + overhead
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
