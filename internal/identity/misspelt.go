package identity

import (
	"strings"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// readHeaders are headers that Elasticsearch or OpenSearch read, to learn who a client is.
var readHeaders = []string{
	"Authorization", "ES-Client-Authentication", "X-Client-Authentication",
	"es-security-runas-user", "es-secondary-authorization", "es-secondary-x-client-authentication",
	"opendistro_security_impersonate_as", "x-proxy-user", "x-proxy-roles",
}

// warnOfMisspelt warns of headers whose name is probably a mistyped one. Every name is allowed, since other programs
// than the nodes may read it.
func (p *Profile) warnOfMisspelt(logger *zap.Logger) {
	for _, h := range p.headers {
		if meant := misspelt(h.Name); meant != "" {
			logger.Warn("no node reads a header of this name: did you mean "+meant+"? "+
				"If another program reads it, leave it as it is", zap.String("setting", "header "+h.Name))
		}
	}
}

// misspelt returns the header that was probably meant by a mistyped name, or "":
//
//	Authorisation     Authorization
//	X-Proxy-Role      x-proxy-roles
//	X-Authorization   "", which is a name of its own
func misspelt(header string) string {
	const changes = 2
	meant := setting.Within(changes, header, readHeaders)
	words := func(name string) int { return strings.Count(strings.ReplaceAll(name, "_", "-"), "-") }
	if strings.EqualFold(strings.ReplaceAll(meant, "_", "-"), strings.ReplaceAll(header, "_", "-")) ||
		words(meant) != words(header) {
		return ""
	}
	return meant
}
