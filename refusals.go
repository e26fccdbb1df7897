package esjwt

import "github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"

// Refusal is the error of a request that was not let through: its reason, and what to do.
type Refusal = identity.Refusal

// This file has the refusals of a request, whoever it is from. Those of a certificate are in
// internal/identity.

func refuseNoPath() *Refusal {
	return identity.Refuse(identity.NoPath, "the request's target is not a path: send it with one that begins with a slash")
}

func refuseNoCredentials() *Refusal {
	return identity.Refuse(identity.NoCertificate, "the client sent neither a certificate "+
		"nor exactly one Authorization of the kind Basic, ApiKey or Bearer (and at most one ES-Client-Authentication): send one of them")
}

func refuseReplayedToken() *Refusal {
	return identity.Refuse(identity.ReplayedToken, "the token is one of this proxy's, which are good only together with their certificate: "+
		"connect with that, and send no token")
}

func refuseCredentialAPI() *Refusal {
	return identity.Refuse(identity.CredentialAPI, "this request could make a credential that outlives the client's certificate, "+
		"and such requests do not go on from here: use the certificate itself, or ask the operator for a credential")
}

func refuseTooLarge(limit int) *Refusal {
	return identity.Refuse(identity.TooLarge, "the headers of the request, with those that the proxy adds, "+
		"would have more than the %d bytes that the cluster reads: "+
		"send fewer or shorter ones, such as cookies; if http.max_header_size is larger, say so with max_header_size", limit)
}

// refuseNoKey hides from the client why there is no token; the log has it.
func refuseNoKey(err error) *Refusal {
	return identity.Refuse(identity.NoKey, "there is no key to sign with right now: try again, or see the log of elasticsearch_jwt").From(err)
}

// The refusals of a client whose connection was upgraded while it was let in.

func refuseEndedConfiguration() *Refusal {
	return identity.Refuse(identity.Unverified, "the configuration that let the client in has ended: connect anew")
}

func refuseOtherClient() *Refusal {
	return identity.Refuse(identity.Unverified, "the certificate stands for something else than when the connection was opened: connect anew")
}
