package nodefault

import "strings"

// Token is a token as a node gets it, as far as the settings of the node's realm must agree with it.
type Token struct {
	Issuer     string
	Type       string // id_token or access_token
	Algorithm  string
	Keys       string // the key set
	WithSecret bool   // the shared secret was sent too
}

// Unauthorized says what to do about a node that refuses a token with 401: where it logs the reason, and which settings
// of its realm must agree with what was sent.
func Unauthorized(sent Token) string {
	slash := "it has no slash at its end here"
	if strings.HasSuffix(sent.Issuer, "/") {
		slash = "it has a slash at its end here"
	}
	algorithms := "allowed_signature_algorithms has " + sent.Algorithm
	if sent.Algorithm != "RS256" {
		algorithms += " (it is [RS256] unless it is set)"
	}
	if strings.HasPrefix(sent.Algorithm, "ES") {
		algorithms += " (OpenSearch takes none of ES* from a JWKS)"
	}
	secret := "client_authentication.type is shared_secret, with the same secret as here"
	if !sent.WithSecret {
		secret = "client_authentication.type is none, since no shared secret was sent " +
			"(or write `shared_secret {file./run/secrets/es_client_auth}` into transport elasticsearch_jwt)"
	}
	keys := "pkc_jwkset_path is the URL of an elasticsearch_jwks with the keys " + sent.Keys +
		", and the node can fetch it"
	if strings.HasPrefix(sent.Algorithm, "HS") {
		keys = "hmac_key is the secret of the keys " + sent.Keys
	}
	return "the node's own log has the reason (Elasticsearch: at WARN, of RealmsAuthenticator; " +
		"OpenSearch: at DEBUG, of org.opensearch.security.auth). Compare the realm's settings " +
		"with what was sent: allowed_issuer is this issuer, to the byte (" + slash + "); " +
		"allowed_audiences has one of these audiences; token_type is " + sent.Type + "; " +
		algorithms + "; " + secret + "; " + keys +
		". Without a Platinum licence or a trial there is no JWT realm: set another credential"
}
