package esjwt

import (
	"math"
	"net/http"
	"net/textproto"
	"strings"
	"unicode/utf8"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/headersize"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
)

// identityHeaders are the headers that tell Elasticsearch or OpenSearch who a client is, folded as by
// foldByte. A prefix ends with "*".
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

// rewriter removes what a client says about itself from a request, and adds what the proxy says.
type rewriter struct {
	protected [256][]headerPattern // the headers that a client must not set, by the first byte of their names
	shortest  [256]uint8           // the length of the shortest of them, or 255
	headers   []identity.Header
	sets      []string // the names of the headers of a credential that is no token

	// hidden is true if a header other than Authorization has a token in it, which log lines of Caddy's would print.
	hidden bool
}

// identityNames protects the headers that every handler protects, whatever its settings.
var identityNames = newRewriter(nil, nil)

// headerPattern matches header names which, folded, are equal to its text or, for a prefix, begin with it.
type headerPattern struct {
	text   string
	prefix bool
}

// newRewriter returns a rewriter that sets headers, with a token in them or beside a credential that sets others.
func newRewriter(headers []identity.Header, sets []string) *rewriter {
	rw := &rewriter{headers: headers, sets: sets}
	for first := range rw.shortest {
		rw.shortest[first] = math.MaxUint8
	}
	rw.protect(identityHeaders)
	// Caddy itself tells the client to go on (100 Continue, RFC 9110 section 10.1.1). A node that does not
	// know Expect would take the body for the next request.
	rw.protect([]string{"expect"})
	for _, h := range headers {
		rw.protect([]string{h.Name})
		rw.hidden = rw.hidden || h.HasToken() && h.Name != "Authorization"
	}
	rw.protect(sets)
	return rw
}

// protect has more headers removed from requests. It must not be called when there may be requests.
func (rw *rewriter) protect(names []string) {
	for _, name := range names {
		text, prefix := strings.CutSuffix(strings.Map(foldRune, name), "*")
		first := text[0]
		rw.protected[first] = append(rw.protected[first], headerPattern{text, prefix})
		rw.shortest[first] = uint8(min(int(rw.shortest[first]), len(text))) //nolint:gosec // at most 255
	}
	for first := range rw.protected { // the other spellings of the first byte
		folded := foldByte(byte(first))
		rw.protected[first], rw.shortest[first] = rw.protected[folded], rw.shortest[folded]
	}
}

// protects reports whether a header name, in any spelling, is one that the client must not set.
func (rw *rewriter) protects(name string) bool {
	return name != "" && len(name) >= int(rw.shortest[name[0]]) && rw.matches(name)
}

// matches is the rest of protects, of which the compiler inlines the beginning: for most names that is all.
func (rw *rewriter) matches(name string) bool {
	patterns := rw.protected[name[0]]
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

// equalFolded reports whether a name, once folded, is equal to text that is folded already.
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

// foldByte makes one spelling of those that a server along the way may treat as the same header name. It
// turns upper case into lower case, and an underscore or a dot into a hyphen: ES_Security.RunAs-User becomes
// es-security-runas-user.
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

// stripped is what strip has found in a request.
type stripped struct {
	size          int  // of the headers that are left
	upgrade       bool // they ask for an upgrade of the connection
	authorization bool // there was an Authorization
}

// strip removes every identity header from the request, and what could add or remove one later: Expect,
// trailers, and the options of Connection. It changes the request in place, and what it removes never comes
// back, not even for an error page.
//
// It is a loop over the headers, with no look-ups, because it runs for each request.
func (rw *rewriter) strip(r *http.Request) (found stripped) {
	connection := false
	for name, values := range r.Header {
		switch {
		case rw.protects(name), name == "Trailer":
			found.authorization = found.authorization || name == "Authorization"
			delete(r.Header, name)
			continue
		case name == "Connection", name == "Upgrade":
			connection = true
		}
		found.size += headersize.Lines(name, values)
	}
	// reverse_proxy forwards trailers, which could be identity headers. No client of Elasticsearch needs them.
	r.Trailer = nil
	if connection {
		found.upgrade = dropConnection(r.Header)
	}
	return found
}

// dropConnection removes the headers that Connection names (RFC 9110 section 7.6.1). reverse_proxy does that
// too, but later, when it could remove ours: a client could send "Connection: Authorization". Of the
// upgrades only WebSocket stays, since "h2c" would tunnel requests past this handler. It reports whether one
// stays.
func dropConnection(h http.Header) (upgrade bool) {
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
	if !upgrade || len(protocols) != 1 || !strings.EqualFold(protocols[0], "websocket") {
		return false
	}
	h["Connection"] = []string{"Upgrade"}
	h["Upgrade"] = []string{"websocket"}
	return true
}

// dropUpgrade removes the headers of an upgrade, but for one to a WebSocket if the client has asked for that. Nobody
// watches over a tunnel that header_up asks for, and in one for h2c the client could send requests past the handler.
func dropUpgrade(h http.Header, asked bool) {
	protocols := h["Upgrade"]
	if protocols == nil || asked && len(protocols) == 1 && strings.EqualFold(protocols[0], "websocket") {
		return
	}
	delete(h, "Connection")
	delete(h, "Upgrade")
}

// set sets the headers that tell a node who the client is, and returns their size. Each has exactly one value, in a
// slice of its own, because other handlers edit values in place.
//
// The slice of the first header is a place in the admission, which spares an allocation. The admission is of this
// request alone, and nothing else uses that place. So what other handlers do to the slice does not reach another
// request: a change of its value stays in there, and append makes a new slice, because this one is full.
func (rw *rewriter) set(h http.Header, a *admission, first *[1]string) (size int) {
	if a.credential == nil {
		return a.own.set(h, first)
	}
	values := first[:]
	for i := range rw.count(a) {
		name, value := rw.header(i, a)
		if i > 0 {
			values = make([]string, 1)
		}
		if values[0] != value { // else net/http may be reading it, for an earlier attempt at another node
			values[0] = value
		}
		h[name] = values
		size += headersize.Line(name, value)
	}
	return size
}

// setsOne reports whether there is one header that is set.
func (rw *rewriter) setsOne() bool { return len(rw.headers)+len(rw.sets) == 1 }

// count returns how many headers an admission has: those that are configured, after those of a credential that is no
// token.
func (rw *rewriter) count(a *admission) int {
	if rw.sets == nil {
		return len(rw.headers)
	}
	n := len(a.credential.Headers) + len(rw.headers)
	if a.credential.Authorization != "" {
		n++
	}
	return n
}

// header returns one of the headers of an admission.
func (rw *rewriter) header(i int, a *admission) (name, value string) {
	if rw.sets != nil {
		if a.credential.Authorization != "" {
			if i == 0 {
				return "Authorization", a.credential.Authorization
			}
			i--
		}
		if i < len(a.credential.Headers) {
			return a.credential.Headers[i].Name, a.credential.Headers[i].Value
		}
		i -= len(a.credential.Headers)
	}
	if value := a.client.Headers[i]; value != "" {
		return rw.headers[i].Name, value
	}
	return rw.headers[i].Name, rw.headers[i].WithToken(a.credential.Authorization)
}

// size returns the size of the headers that set would set.
func (rw *rewriter) size(a *admission) (size int) {
	if a.credential == nil {
		return a.own.size()
	}
	for i := range rw.count(a) {
		name, value := rw.header(i, a)
		size += headersize.Line(name, value)
	}
	return size
}

// takeBack removes what set has set, so that neither handle_errors nor a log sees it.
func (rw *rewriter) takeBack(h http.Header) {
	for i := range rw.headers {
		delete(h, rw.headers[i].Name)
	}
	for _, name := range rw.sets {
		delete(h, name)
	}
}

// sweep removes every identity header that was put into a request behind the handler, by header_up for example. It
// returns the size of the headers that are left, and whether the admission's header is among them, since it was sent
// in an earlier attempt at another node: place is where its value is. Then there is nothing else to remove either.
func (rw *rewriter) sweep(h http.Header, place *[1]string) (size int, sent bool) {
	for name, values := range h {
		if rw.protects(name) {
			if len(values) != 1 || &values[0] != &place[0] {
				delete(h, name)
				continue
			}
			sent = true
		}
		size += headersize.Lines(name, values)
	}
	return size, sent
}
