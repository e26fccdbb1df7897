package identity

import (
	"crypto/tls"
	"crypto/x509"
	"math"
	"slices"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/chain"
)

// This file says what a certificate is worth: whether chains lead from it to an authority, and until
// when. Instants are in Unix seconds here, as in the certificates, which have no parts of a second.

// maxSent is how many certificates a client may send. Few chains are longer than four.
const maxSent = 10

// verified has the chains that lead from a certificate to an authority, and until when one of them is valid.
type verified struct {
	chains   [][]*x509.Certificate
	notAfter int64 // Unix seconds
}

// verifiedByTLS checks that what the TLS layer verified is good now, and on this site. known is the client of the
// connection, or nil.
func verifiedByTLS(conn *tls.ConnectionState, host string, known *Client, now int64) (verified, error) {
	if len(conn.VerifiedChains) == 0 {
		return verified{}, refuseNobodyVerified()
	}
	notAfter := chainsEnd(conn.VerifiedChains, conn.PeerCertificates[0], now)
	if notAfter == 0 {
		return verified{}, refuseExpired()
	}
	// Another site of this server may trust other authorities. What was verified is the
	// certificate for the site that the client named in the handshake.
	at := hostPair{conn.ServerName, host}
	if known != nil && known.hosts.isSame(at) {
		return verified{conn.VerifiedChains, notAfter}, nil
	}
	if !sameHost(at.serverName, at.host) {
		return verified{}, refuseOtherSite()
	}
	return verified{conn.VerifiedChains, notAfter}, nil
}

// verifyOwn verifies the certificates against the handler's own trust_pool. Whether the TLS layer has verified them
// does not matter.
func verifyOwn(sent []*x509.Certificate, pool *x509.CertPool, now int64) (verified, error) {
	if len(sent) > maxSent {
		return verified{}, refuseTooManySent(len(sent))
	}
	return verifyChains(sent, pool, "the trust_pool of elasticsearch_jwt", now)
}

// verifyChains finds the chains from a certificate to the authorities of a pool, over the intermediates that were
// sent after it. A refusal says where the pool is from: of.
func verifyChains(sent []*x509.Certificate, pool *x509.CertPool, of string, now int64) (verified, error) {
	at := time.Unix(now, 0)
	chains, err := chain.Verify(sent, pool, at)
	if err != nil {
		return verified{}, refuseUnverified(err, of, diagnose(err, sent, pool, at), now)
	}
	notAfter := chainsEnd(chains, sent[0], now)
	if notAfter == 0 {
		return verified{}, refuseExpired()
	}
	return verified{chains, notAfter}, nil
}

// asIssued leaves out the chains in which somebody has encoded a certificate in another way than its authority did.
// Such a certificate has another fingerprint, so no deny list would match it. The last certificate of a chain comes
// from the operator, and is not checked.
func asIssued(chains [][]*x509.Certificate) ([][]*x509.Certificate, error) {
	kept := slices.DeleteFunc(slices.Clone(chains), func(certs []*x509.Certificate) bool {
		return slices.ContainsFunc(certs[:max(1, len(certs)-1)], chain.Reencoded)
	})
	if len(kept) == 0 {
		return nil, refuseReencoded()
	}
	return kept, nil
}

// chainsEnd returns until when at least one of the verified chains of a leaf is valid as a whole; 0 if none of them
// is valid now. A connection can outlive its certificate, so the handshake's verdict is not enough.
func chainsEnd(chains [][]*x509.Certificate, leaf *x509.Certificate, now int64) int64 {
	best := int64(0)
	for _, chain := range chains {
		best = max(best, chainEnd(chain, leaf, now))
	}
	return best
}

// chainEnd returns until when a chain of a leaf is valid as a whole; 0 if it is not valid now.
func chainEnd(chain []*x509.Certificate, leaf *x509.Certificate, now int64) int64 {
	if len(chain) == 0 || chain[0] != leaf {
		return 0
	}
	end := int64(math.MaxInt64)
	for _, c := range chain {
		if now < c.NotBefore.Unix() {
			return 0
		}
		end = min(end, c.NotAfter.Unix())
	}
	if end <= now {
		return 0
	}
	return end
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
