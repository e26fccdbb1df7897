package rewrite

import (
	"net/http"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/headersize"
)

// ClientAuthentication is the header with the shared secret of a realm whose client_authentication.type is shared_secret.
const ClientAuthentication = "Es-Client-Authentication"

// SetSharedSecret sets the header by which Elasticsearch recognizes the proxy, and returns its size.
func SetSharedSecret(h http.Header, secret string) (size int) {
	value := sharedSecret(secret)
	h[ClientAuthentication] = []string{value}
	return headersize.Line(ClientAuthentication, value)
}

// SharedSecretSize returns the size of the header that SetSharedSecret sets.
func SharedSecretSize(secret string) int {
	return headersize.Line(ClientAuthentication, sharedSecret(secret))
}

func sharedSecret(secret string) string { return "SharedSecret " + secret }
