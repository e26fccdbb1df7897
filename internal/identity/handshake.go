package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"time"
)

// HandshakeReasons are the reasons that [OfHandshake] can give.
var HandshakeReasons = []Reason{NoCertificate, Unverified, Expired}

// OfHandshake returns why a TLS handshake failed, if that was for the client's certificate or for the lack of one, or
// nil. pool has the authorities that the certificate was checked against; nil stands for those of the system. avoidable
// says that the handshake would have succeeded with `mode request`.
func OfHandshake(err error, pool *x509.CertPool, now time.Time) (refusal *Refusal, avoidable bool) {
	if unverified, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		sent := unverified.UnverifiedCertificates
		found := diagnose(unverified.Err, sent, pool, now)
		return refuseUnverified(unverified.Err, ofClientAuth(pool), found, now.Unix()), true
	}
	// The other errors have no types of their own.
	switch text := err.Error(); {
	case !strings.Contains(text, "client") || !strings.Contains(text, "certificate"):
		return nil, false // a port scanner, or a client that does not trust this server
	case strings.Contains(text, "didn't provide a certificate"):
		return refuseNoneInHandshake(), true
	default:
		return refuseUnusableInHandshake().From(textOf(err)), false
	}
}

// ofClientAuth names the authorities that client_auth trusts, for the text of a refusal.
func ofClientAuth(pool *x509.CertPool) string {
	if pool == nil {
		return "the trust store of Caddy's machine (client_auth has no trust_pool)"
	}
	return "the trust_pool of client_auth"
}
