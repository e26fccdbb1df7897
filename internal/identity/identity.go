// Package identity decides who a client is: it turns the certificate of a TLS connection into a
// [Client], or into a [Refusal].
//
// The decision depends on the certificate, the [Settings] with the files that they name, and the clock. The Host of
// the request can only lead to a refusal.
package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/turns"
)

// Client is who a certificate stands for.
type Client struct {
	token.Holder

	Principal any // its user name: a string, boxed once for Caddy's replacer
	Serial    string
	Groups    []string // only with [Settings.NoToken]; a token has them in its claims
	Headers   []string // the values of the profile's headers, in their order; "" has the token in it
	Groupless bool     // the certificate has no group, though the settings say where to look for some

	connection connection
	hosts      hostPair     // for which the TLS layer verified the certificate, if that is who did
	used       atomic.Int64 // Unix seconds, see outcomes.client
	seen       seen         // see Sightings

	cleanup  runtime.Cleanup
	basis    basis
	decided  int64 // Unix seconds
	recheck  int64 // Unix seconds: until then, what it was checked against (chain, revocation lists) is good
	chainEnd int64 // Unix seconds: the end of the chain that speaks for it
}

// Name is the client's user name.
func (c *Client) Name() string { return c.Principal.(string) }

// Same reports whether a node gets the same claims and headers for two clients.
func (c *Client) Same(other *Client) bool {
	return c == other || c.Claims.Jti == other.Claims.Jti &&
		bytes.Equal(c.Claims.Members, other.Claims.Members) && slices.Equal(c.Headers, other.Headers)
}

// Authorities are the trust anchors of client certificates. They can change from one request to the next.
type Authorities interface{ CertPool() *x509.CertPool }

// Identifier turns the certificate of a TLS connection into a client.
type Identifier struct {
	profile    *Profile
	files      *Files
	revocation revocation
	pool       Authorities // the handler's own trust_pool; nil: what the TLS layer verified counts
	outcomes   *outcomes
	turns      *turns.Turns[connection]
	sightings  *Sightings // nil: nobody counts
}

// New returns an Identifier that remembers at most size clients. If pool is nil, it relies on the chains that the TLS
// layer has verified.
func New(p *Profile, files *Files, pool Authorities, size int) (*Identifier, error) {
	outcomes, err := newOutcomes(size)
	if err != nil {
		return nil, err
	}
	return &Identifier{
		profile:    p,
		files:      files,
		revocation: revocation{files, p.settings.CRLStale == crlStaleAllow},
		pool:       pool,
		outcomes:   outcomes,
		turns:      turns.New[connection](examining),
	}, nil
}

// NoteIn has the Identifier note whom it identifies. It must be called before Identify.
func (id *Identifier) NoteIn(s *Sightings) { id.sightings = s }

// VerifiesItself reports whether certificates are verified against authorities of the handler's own.
func (id *Identifier) VerifiesItself() bool { return id.pool != nil }

// Issuer returns the iss of the tokens.
func (id *Identifier) Issuer() string { return id.profile.issuer }

// Identify returns the client at the other end of a connection, and until when its certificate is
// good. Instants are in Unix seconds. A client is who it is said to be because
//
//  1. it holds the key of its certificate: TLS has proven that, in the handshake of this connection;
//  2. the certificate leads to an authority, now: to one of the handler's own, or to one that the TLS
//     layer asked for on this site;
//  3. it is for clients, encoded as it was issued, and neither denied nor revoked;
//  4. the profile reads one name out of it.
//
// Where the TLS layer vouches for the certificate, that is looked at for each request. All else is
// decided once, and counts until something changes.
func (id *Identifier) Identify(
	ctx context.Context, conn *tls.ConnectionState, host string, now int64,
) (client *Client, notAfter int64, err error) {
	if HasNoCertificate(conn) {
		return nil, 0, refuseNoCertificate()
	}
	// A resumed session was verified at another time, maybe under another configuration, and
	// early data (RFC 8446 section 8) can be replayed.
	if conn.DidResume || !conn.HandshakeComplete {
		return nil, 0, refuseResumed()
	}
	pool, err := id.trustPool()
	if err != nil {
		return nil, 0, err
	}
	client = id.outcomes.client(conn.PeerCertificates, id.basis(pool), now)
	byTLS := verified{notAfter: math.MaxInt64} // for decide to find out
	if pool == nil {
		if byTLS, err = verifiedByTLS(conn, host, client, now); err != nil {
			return nil, 0, err
		}
	}
	if client == nil {
		if client, err = id.decide(ctx, conn, host, pool, now); err != nil {
			return nil, 0, err
		}
	}
	notAfter = min(byTLS.notAfter, client.chainEnd)
	id.sightings.note(client, notAfter, now)
	return client, notAfter, nil
}

// HasNoCertificate reports whether the client of a connection sent no certificate.
func HasNoCertificate(conn *tls.ConnectionState) bool {
	return conn == nil || len(conn.PeerCertificates) == 0
}

// trustPool returns the current authorities of the handler's own trust_pool, or nil if it has none.
func (id *Identifier) trustPool() (*x509.CertPool, error) {
	if id.pool == nil {
		return nil, nil
	}
	pool := id.pool.CertPool()
	if pool == nil {
		return nil, refuseNoAuthorities() // for crypto/x509, no pool means the system's roots
	}
	return pool, nil
}

// basis returns what an outcome depends on now.
func (id *Identifier) basis(pool *x509.CertPool) basis { return basis{pool, id.files.version()} }

// examining has one element for each certificate that any handler is examining. Its size leaves a processor for known
// clients, however many clients come with new certificates.
var examining = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// decide examines the certificates of a connection whose client is not known yet. It does so once until something
// changes, however many requests the connection has, because to examine certificates costs much more than to send
// them.
func (id *Identifier) decide(
	ctx context.Context, conn *tls.ConnectionState, host string, pool *x509.CertPool, now int64,
) (*Client, error) {
	sent := conn.PeerCertificates
	key := connectionOf(sent)
	if refusal := id.outcomes.refusal(key, id.basis(pool), now); refusal != nil {
		return nil, refusal
	}
	done, err := id.turns.Take(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("waiting for the certificate to be examined: %w", err)
	}
	defer done()
	now = time.Now().Unix() // this request may have waited, and another one may have been first
	basis := id.basis(pool) // taken before the files are read, so that a change meanwhile makes the outcome invalid
	if known := id.outcomes.client(sent, basis, now); known != nil {
		return known, nil
	}
	if refusal := id.outcomes.refusal(key, basis, now); refusal != nil {
		return nil, refusal
	}
	client, chains, err := id.examine(sent, pool, conn.VerifiedChains, now)
	if err != nil {
		return nil, id.outcomes.refused(key, basis, now, err, append([][]*x509.Certificate{sent}, chains...))
	}
	client.basis, client.decided = basis, now
	if pool == nil {
		client.hosts = hostPair{conn.ServerName, host} // the TLS layer verified the certificate for them
	}
	id.outcomes.admitted(sent, key, client)
	return client, nil
}

// examine returns the client that the certificates stand for. The chains are those that the TLS layer verified. If
// there is a pool, examine verifies the certificates against that instead.
func (id *Identifier) examine(
	sent []*x509.Certificate, pool *x509.CertPool, chains [][]*x509.Certificate, now int64,
) (*Client, [][]*x509.Certificate, error) {
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

// newClient reads the identity from a verified certificate. It also returns the reading, from which Explain tells
// where each claim comes from.
func (id *Identifier) newClient(
	leaf *x509.Certificate, chains [][]*x509.Certificate, now int64,
) (*Client, reading, error) {
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
		return nil, reading{}, refuseUnreadableNames().From(err)
	}
	who, err := id.profile.read(cert, id.files.roleMapping)
	if err != nil {
		return nil, reading{}, err
	}
	client := &Client{
		Holder:    token.Holder{Lifetime: id.profile.settings.Lifetime},
		Principal: who.principal,
		Serial:    Serial(leaf),
		seen:      seen{hash: hashOf(leaf)},
		Groupless: len(who.groups) == 0 && id.profile.wantsGroups(),
		recheck:   recheck,
		chainEnd:  end,
	}
	if id.profile.settings.NoToken {
		client.Groups = slices.Clone(who.groups)
	}
	if client.Claims, err = token.Encode(who.claims, id.profile.settings.TokenID); err != nil {
		return nil, reading{}, fmt.Errorf("encoding the claims: %w", err)
	}
	if client.Headers, err = id.profile.headersOf(cert); err != nil {
		return nil, reading{}, err
	}
	if size := client.headerSize(id.profile.headers); size > id.profile.maxInjected() {
		return nil, reading{}, refuseLargeHeaders(size, id.profile.settings.MaxHeaderSize)
	}
	return client, who, nil
}
