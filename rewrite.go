package esjwt

import (
	"net/http"
	"net/textproto"
	"strings"
	"unicode/utf8"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/headersize"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
)

// identityHeaders are the headers by which Elasticsearch or OpenSearch take somebody for
// somebody, folded as by foldByte. A prefix ends with "*".
var identityHeaders = []string{
	"authorization",
	"es-client-authentication",
	"es-security-*",  // es-security-runas-user
	"es-secondary-*", // es-secondary-authorization, es-secondary-x-client-authentication
	"x-client-authentication",
	"x-elastic-product-origin",
	"-xpack-security-*",        // _xpack_security_authentication
	"opendistro-security-*",    // opendistro_security_impersonate_as
	"-opendistro-security-*",   // OpenSearch's own, between its nodes
	"plugins-security-*",       // the newer name of opendistro_security
	"-plugins-security-*",      //
	"x-proxy-user",             // OpenSearch's proxy authenticator, with its usual names
	"x-proxy-roles",            //
	"x-proxy-ext-*",            //
	"x-opensearch-security-*",  //
	"-opensearch-security-*",   //
	"opensearch-security-*",    //
	"x-forwarded-access-token", // what other authenticating proxies forward
}

// rewriter takes away what a client says about itself, and adds what we say.
type rewriter struct {
	protected [256][]headerPattern // by their first byte
	headers   []identity.Header
}

// headerPattern matches the header names that, folded, are its text, or begin with it.
type headerPattern struct {
	text   string
	prefix bool
}

func newRewriter(headers []identity.Header) *rewriter {
	rw := &rewriter{headers: headers}
	protect := func(pattern string) {
		text, prefix := strings.CutSuffix(pattern, "*")
		rw.protected[text[0]] = append(rw.protected[text[0]], headerPattern{text, prefix})
	}
	for _, pattern := range identityHeaders {
		protect(pattern)
	}
	// What the client expects (RFC 9110 section 10.1.1) has been met here: Caddy says itself that it may
	// go on. A node that does not meet it takes the body for the next request.
	protect("expect")
	for _, h := range headers {
		protect(strings.Map(foldRune, h.Name))
	}
	return rw
}

// protects reports whether a header name, in any spelling, is one that the client must not set.
func (rw *rewriter) protects(name string) bool {
	if name == "" {
		return false
	}
	patterns := rw.protected[foldByte(name[0])]
	for i := range patterns {
		if patterns[i].matches(name) {
			return true
		}
	}
	return false
}

func (p *headerPattern) matches(name string) bool {
	if p.prefix && len(name) > len(p.text) {
		name = name[:len(p.text)]
	}
	return equalFolded(name, p.text)
}

// equalFolded compares a name, folded, with folded text.
func equalFolded(name, folded string) bool {
	if len(name) != len(folded) {
		return false
	}
	for i := range len(name) {
		if foldByte(name[i]) != folded[i] {
			return false
		}
	}
	return true
}

// foldByte folds the spellings that servers along the way may take for one header name: case,
// and underscore or dot for a hyphen.
func foldByte(c byte) byte {
	switch {
	case c == '_' || c == '.':
		return '-'
	case 'A' <= c && c <= 'Z':
		return c + ('a' - 'A')
	default:
		return c
	}
}

func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		return rune(foldByte(byte(r))) //nolint:gosec // it is ASCII
	}
	return r
}

// strip takes every identity header, expectation, trailer and Connection option that could bring one or
// take one away out of the request, in place and for good. Nothing of what the client sent
// comes back, not even on an error. It returns the size of what is left.
func (rw *rewriter) strip(r *http.Request) (size int) {
	for name, values := range r.Header {
		if rw.protects(name) {
			delete(r.Header, name)
		} else {
			size += headersize.Lines(name, values)
		}
	}
	if r.Trailer != nil || r.Header["Trailer"] != nil {
		// reverse_proxy forwards trailers. Nothing that goes to Elasticsearch has any.
		r.Trailer = nil
		delete(r.Header, "Trailer")
	}
	if r.Header["Connection"] != nil || r.Header["Upgrade"] != nil {
		dropConnection(r.Header)
	}
	return size
}

// dropConnection does now what reverse_proxy would do later (RFC 9110 section 7.6.1): it
// removes the headers that Connection names, while ours are not there yet. Of the upgrades
// only WebSocket stays: "h2c" would tunnel requests past this handler.
func dropConnection(h http.Header) {
	upgrade := false
	for _, line := range h["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			option = textproto.TrimString(option)
			if strings.EqualFold(option, "upgrade") {
				upgrade = true
			} else if option != "" {
				h.Del(option)
			}
		}
	}
	protocols := h["Upgrade"]
	delete(h, "Connection")
	delete(h, "Upgrade")
	if upgrade && len(protocols) == 1 && strings.EqualFold(protocols[0], "websocket") {
		h["Connection"] = []string{"Upgrade"}
		h["Upgrade"] = []string{"websocket"}
	}
}

// inject sets the headers, each to exactly one value in a slice of its own: other handlers
// edit values in place. It returns their size.
func (rw *rewriter) inject(h http.Header, client *identity.Client, t *signedToken) (size int) {
	for i := range rw.headers {
		header, value := &rw.headers[i], client.Headers[i]
		if value == "" {
			value = header.WithToken(t.authorization)
		}
		h[header.Name] = []string{value}
		size += headersize.Line(header.Name, value)
	}
	return size
}

// takeBack removes what inject set, so that neither handle_errors nor a log sees it.
func (rw *rewriter) takeBack(h http.Header) {
	for i := range rw.headers {
		delete(h, rw.headers[i].Name)
	}
}

// credentials are those that a client without a certificate brings along.
type credentials struct {
	authorization string // the header's value
	token68       string // what follows its scheme
	clientAuth    string // ES-Client-Authentication, or ""
}

// ownCredentials returns the credentials that a client without a certificate may keep: one
// Authorization of a kind that Elasticsearch checks by itself, and at most one
// ES-Client-Authentication. Without the former there is nothing to let through.
func ownCredentials(h http.Header) (own credentials, ok bool) {
	values := h["Authorization"]
	if len(values) != 1 {
		return credentials{}, false
	}
	scheme, token68, found := strings.Cut(values[0], " ")
	if !found || !isOwnScheme(scheme) || !isToken68(token68) {
		return credentials{}, false
	}
	own = credentials{authorization: values[0], token68: token68}
	switch secrets := h[clientAuthHeader]; len(secrets) {
	case 0:
		return own, true
	case 1:
		own.clientAuth = secrets[0]
		return own, true
	default:
		return credentials{}, false
	}
}

// set puts the credentials back into a request from which everything was stripped, and returns their
// size.
func (c credentials) set(h http.Header) (size int) {
	h["Authorization"] = []string{c.authorization}
	size = headersize.Line("Authorization", c.authorization)
	if c.clientAuth != "" {
		h[clientAuthHeader] = []string{c.clientAuth}
		size += headersize.Line(clientAuthHeader, c.clientAuth)
	}
	return size
}

// takeBack removes what set put there.
func (c credentials) takeBack(h http.Header) {
	delete(h, "Authorization")
	delete(h, clientAuthHeader)
}

// isOwnScheme reports whether Elasticsearch takes a scheme for one of its own. It takes Bearer in
// this case alone; with another it would take the request for one without credentials.
func isOwnScheme(scheme string) bool {
	return scheme == "Bearer" || equalFolded(scheme, "basic") || equalFolded(scheme, "apikey")
}

// isToken68 reports whether s is the token68 of RFC 9110 section 11.2, which has no comma in
// it that could join two credentials.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		isLetterOrDigit := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !isLetterOrDigit && !strings.ContainsRune("-._~+/", r)
	})
}
