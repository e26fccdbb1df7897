package rewrite

import (
	"net/http"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/headersize"
)

// Own are the credentials of a client without a certificate.
type Own struct {
	authorization string // the value of the header Authorization
	token68       string // the part of it after the scheme
	clientAuth    string // ES-Client-Authentication, or ""
}

// Token68 returns what follows the scheme of the Authorization.
func (o *Own) Token68() string { return o.token68 }

// HasSecret reports whether there is an ES-Client-Authentication among them. It is false for nil.
func (o *Own) HasSecret() bool { return o != nil && o.clientAuth != "" }

// OwnOf returns the credentials of a request that a client may keep: one Authorization of a kind that
// Elasticsearch checks itself, and at most one ES-Client-Authentication. ok is false if the request has other
// credentials, or none.
func OwnOf(h http.Header) (own Own, ok bool) {
	values := h["Authorization"]
	if len(values) != 1 {
		return Own{}, false
	}
	scheme, token68, found := strings.Cut(values[0], " ")
	if !found || !isOwnScheme(scheme) || !isToken68(token68) {
		return Own{}, false
	}
	own = Own{authorization: values[0], token68: token68}
	switch secrets := h[ClientAuthentication]; len(secrets) {
	case 0:
		return own, true
	case 1:
		own.clientAuth = secrets[0]
		return own, true
	default:
		return Own{}, false
	}
}

// Set puts the credentials back into the headers of a request that was stripped, and returns their size. See
// [Rewriter.Set] for first.
func (o *Own) Set(h http.Header, first *[1]string) (size int) {
	if first[0] != o.authorization {
		first[0] = o.authorization
	}
	h["Authorization"] = first[:]
	if o.clientAuth != "" {
		h[ClientAuthentication] = []string{o.clientAuth}
	}
	return o.Size()
}

// Size returns the size of the headers that Set sets.
func (o *Own) Size() int {
	size := headersize.Line("Authorization", o.authorization)
	if o.clientAuth != "" {
		size += headersize.Line(ClientAuthentication, o.clientAuth)
	}
	return size
}

// TakeBack removes what Set has put there.
func (o *Own) TakeBack(h http.Header) {
	delete(h, "Authorization")
	delete(h, ClientAuthentication)
}

// isOwnScheme reports whether Elasticsearch checks credentials of a scheme. It knows Bearer in this spelling
// only: it treats a request with "bearer" as one without credentials.
func isOwnScheme(scheme string) bool {
	return scheme == "Bearer" || equalFolded(scheme, "basic") || equalFolded(scheme, "apikey")
}

// isToken68 reports whether s is a token68 (RFC 9110 section 11.2). It has no comma, which could join two
// credentials.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		isLetterOrDigit := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !isLetterOrDigit && !strings.ContainsRune("-._~+/", r)
	})
}
