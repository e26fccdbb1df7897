package identity

import (
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/chain"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/name"
)

// This file has the refusals of a certificate, by reason. The text of each says what to do. Clients can read it, and
// nothing that a client chose is in it, not even a number: each text has a line in the log. The caller adds what only
// the operator may see, with because or From.

// no_certificate

// refuseNoCertificate is true whether or not the site asks for a certificate, which is not known here.
func refuseNoCertificate() *Refusal {
	return Refuse(NoCertificate, "the client sent no certificate: connect with TLS and a client certificate; "+
		"if you did, see that the site asks for one, with client_auth { mode request }")
}

func refuseNeverAsked(sites string) *Refusal {
	return Refuse(NoCertificate, "no client can show it: %s asks for no certificate; "+
		"set client_auth { mode request }", sites)
}

// refuseNoneInHandshake says why client_auth ended a handshake, which no client can read.
func refuseNoneInHandshake() *Refusal {
	return Refuse(NoCertificate, "client_auth insists on a certificate, and the client sent none: "+
		"connect with one")
}

// unverified

// refuseUnusableInHandshake says why a handshake ended, which no client can read.
func refuseUnusableInHandshake() *Refusal {
	return Refuse(Unverified, "the client's certificate, or its proof of having the key, cannot be used in TLS: "+
		"the error says why; issue it anew")
}

func refuseResumed() *Refusal {
	return Refuse(Unverified, "the TLS session was resumed or is not complete, which proves nothing: connect anew")
}

func refuseNoAuthorities() *Refusal {
	return Refuse(Unverified, "the trust_pool of elasticsearch_jwt is empty: "+
		"name the authority of the client certificates").passes()
}

func refuseNobodyVerified() *Refusal {
	return Refuse(Unverified, "nobody verified the client's certificate: "+
		"give elasticsearch_jwt a trust_pool, as in `trust_pool file clients-ca.pem` "+
		"(the modes request and require of client_auth verify nothing)")
}

func refuseTooManySent(n int) *Refusal {
	return Refuse(Unverified, "the client sent too many certificates: "+
		"send its own and the intermediates, which are %d at most", maxSent-1).
		From(fmt.Errorf("it sent %d", n))
}

func refuseNotForClients() *Refusal {
	return Refuse(Unverified, "the client's certificate is not for client authentication: "+
		"its extended key usage must include clientAuth")
}

// refuseUnusableKey refuses a certificate with which no TLS handshake succeeds. Only explain meets one.
func refuseUnusableKey(why string) *Refusal {
	return Refuse(Unverified, "no client can use the certificate in TLS: "+
		"issue it with a key for RSA (of 2048 to 8192 bits), or on P-256, P-384 or P-521, or for Ed25519").
		From(errors.New(why))
}

func refuseReencoded() *Refusal {
	return Refuse(Unverified, "the client's certificate, or one that it sent along, "+
		"is not encoded as its authority issued it, which changes its fingerprint: "+
		"use the file that the authority gave you")
}

// refuseUnverified says why crypto/x509 did not accept a certificate. found has more about that, with names that the
// client chose, so only the operator sees it.
func refuseUnverified(err error, of, found string, now int64) *Refusal {
	if errors.Is(err, chain.ErrReencoded) {
		return refuseReencoded().From(textOf(err))
	}
	refusal := explainUnverified(err, of)
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		refusal = refusal.until(nextChange(now, invalid.Cert))
	}
	if found != "" {
		err = fmt.Errorf("%s (%w)", found, err)
	}
	return refusal.From(textOf(err))
}

func explainUnverified(err error, of string) *Refusal {
	if _, ok := errors.AsType[x509.UnhandledCriticalExtension](err); ok {
		return Refuse(Unverified, "the client's certificate, or one above it, "+
			"has a critical extension that cannot be enforced here, or not in full: "+
			"issue it without that one, if nobody depends on what it forbids; the log says which it is")
	}
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case !ok:
		return Refuse(Unverified, "the client's certificate does not lead to an authority in %s: "+
			"use one that its authorities issued, and send the intermediates along", of)
	case invalid.Reason == x509.Expired:
		return refuseExpired()
	case invalid.Reason == x509.IncompatibleUsage && forClients(invalid.Cert): // the client's, whichever is at fault
		return Refuse(Unverified, "an intermediate in the client's chain is not for client authentication: "+
			"its extended key usage must include clientAuth, or be left out")
	case invalid.Reason == x509.IncompatibleUsage:
		return refuseNotForClients()
	default:
		return Refuse(Unverified, "the chain of the client's certificate to %s "+
			"breaks a rule of an authority in it, such as a name constraint: the log says which", of)
	}
}

// expired

func refuseExpired() *Refusal {
	return Refuse(Expired, "the client's certificate, or one above it, has expired or is not valid yet: "+
		"renew it, or check the clocks, and connect again").passes()
}

// misdirected

func refuseOtherSite() *Refusal {
	return Refuse(Misdirected, "the Host is not the server name of the TLS handshake: "+
		"connect with the name that the request is for, or give elasticsearch_jwt a trust_pool of its own")
}

// revoked

func refuseDenied(kind string) *Refusal {
	return Refuse(Revoked, "the certificate, or one above it, is denied by its %s: ask the operator why", kind)
}

func refuseRevoked() *Refusal {
	return Refuse(Revoked, "the certificate, or one above it, is on its issuer's revocation list: get a new one")
}

// The next ones are about revocation lists that do not say whether the certificate is revoked. Only the operator can
// change that.

func refuseMissingList() *Refusal { return refuseList("has not been fetched yet") }

func refuseBadlySignedList() *Refusal {
	return refuseList("is not signed by its key: fetch it anew, and if the authority has had several keys, " +
		"add the list of each")
}

func refuseListOfOthers() *Refusal {
	return refuseList("is for other certificates: add the list that its CRL distribution point names, " +
		"or set crl_stale allow")
}

func refuseListFromTheFuture() *Refusal {
	return refuseList("is from the future: check the clocks of Caddy and of the authority, or set crl_stale allow")
}

func refuseOutdatedList() *Refusal {
	return refuseList("is out of date: renew it, or set crl_stale allow")
}

func refuseList(why string) *Refusal {
	return Refuse(Revoked, "it cannot be told whether the certificate is revoked: "+
		"the revocation list of its issuer %s", why).passes()
}

// no_principal

func refuseSeveralPrincipals() *Refusal {
	return Refuse(NoPrincipal, "the certificate has several values for the principal, "+
		"and which one is the user cannot be guessed: "+
		"choose a principal that is single")
}

func refuseNoPrincipal() *Refusal {
	return Refuse(NoPrincipal, "the certificate lacks what the principal is made of: "+
		"issue it with such a name, or choose another principal")
}

// invalid_name and invalid_group

func refuseUnreadableNames() *Refusal {
	return Refuse(InvalidName, "the certificate's subject or issuer cannot be read: issue it anew")
}

// How refuseName names the name that is at fault.
const (
	principalName      = "the name that would be the principal"
	groupName          = "a group in the certificate"
	roleMappingSubject = "the certificate's subject, which role_mapping is about,"
)

func claimName(claim string) string { return "the value of the claim " + claim + " in the certificate" }

func headerName(header string) string {
	return "the value of the header " + header + " in the certificate"
}

// refuseName refuses a certificate because of a name in it. what says which name. The cause, which only the operator
// sees, has the setting, and names a character by its number:
//
//	the client:   the name that would be the principal has a character that cannot be seen: issue …
//	the operator: principal {cert.cn}: the name has a character that cannot be seen: U+202E
func refuseName(r Reason, what, setting string, err error) *Refusal {
	const (
		reissue = "issue the certificate with a name in UTF-8 and without control characters"
		orAllow = "issue the certificate without, or allow such names with name_characters"
	)
	switch problem := name.ProblemOf(err); problem {
	case "":
		return Refuse(r, "%s is ambiguous or cannot be read: "+
			"issue the certificate with a single name in UTF-8 and without control characters", what).
			because(setting, err)
	case name.Empty, name.NotUTF8, name.Control:
		return Refuse(r, "%s %s: %s", what, problem, reissue).because(setting, err)
	default:
		return Refuse(r, "%s %s: %s", what, problem, orAllow).because(setting, err)
	}
}

func refuseHeaderValue(header string) *Refusal {
	return Refuse(InvalidName, "the certificate has no single clean value for the header %s: "+
		"issue it with one, without blanks around it, or take the header out", header)
}

func refuseGroupLikeDN() *Refusal {
	return Refuse(InvalidGroup, "a group in the certificate looks like a distinguished name, "+
		"which could match a role mapping for another group: "+
		"issue it without the equals sign, or take whole names with {cert.dn}")
}

func refuseUnmappableSubject() *Refusal {
	return Refuse(InvalidGroup, "the certificate's subject has a control character in it, "+
		"so that no role mapping can be trusted to tell it from another: issue it without")
}

// no_claim

func refuseNoClaim(claim string) *Refusal {
	return Refuse(NoClaim, "the certificate lacks what the claim %s is made of: "+
		"issue it with such a value, or do not require the claim", claim)
}

// too_large

func refuseTooManyGroups(limit int) *Refusal {
	return Refuse(TooLarge, "the groups of this certificate would not fit into the headers that the cluster reads, "+
		"%d bytes in all: put fewer or shorter groups into the token", limit)
}

func refuseLargeHeaders(size, limit int) *Refusal {
	return Refuse(TooLarge, "the headers for this certificate would not fit into those that the cluster reads, "+
		"%d bytes in all: put fewer or shorter groups and claims into the token", limit).
		From(fmt.Errorf("they would have %d bytes", size))
}
