// Package rewrite removes from a request what a client says about itself, and adds what the proxy says. It decides nothing
// about who the client is.
package rewrite

import (
	"math"
	"net/http"
	"net/textproto"
	"strings"
	"unicode/utf8"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
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

// Rewriter removes what a client says about itself from a request, and adds what the proxy says.
type Rewriter struct {
	protected [256][]headerPattern // the headers that a client must not set, by the first byte of their names
	shortest  [256]uint8           // the length of the shortest of them, or 255
	headers   []identity.Header
	sets      []string // the names of the headers of a credential that is no token

	hidden bool // see Hidden
}

// Always protects the headers that every handler protects, whatever its settings.
var Always = New(nil, nil)

// headerPattern matches header names which, folded, are equal to its text or, for a prefix, begin with it.
type headerPattern struct {
	text   string
	prefix bool
}

// New returns a Rewriter that sets headers, with a token in them or beside a credential that sets others.
func New(headers []identity.Header, sets []string) *Rewriter {
	rw := &Rewriter{headers: headers, sets: sets}
	for first := range rw.shortest {
		rw.shortest[first] = math.MaxUint8
	}
	rw.Protect(identityHeaders)
	// Caddy itself tells the client to go on (100 Continue, RFC 9110 section 10.1.1). A node that does not
	// know Expect would take the body for the next request.
	rw.Protect([]string{"expect"})
	for _, h := range headers {
		rw.Protect([]string{h.Name})
		rw.hidden = rw.hidden || h.HasToken() && h.Name != "Authorization"
	}
	rw.Protect(sets)
	return rw
}

// Protect has more headers removed from requests. It must not be called when there may be requests.
func (rw *Rewriter) Protect(names []string) {
	for _, name := range names {
		text, prefix := strings.CutSuffix(Fold(name), "*")
		first := text[0]
		rw.protected[first] = append(rw.protected[first], headerPattern{text, prefix})
		rw.shortest[first] = uint8(min(int(rw.shortest[first]), len(text))) //nolint:gosec // at most 255
	}
	for first := range rw.protected { // the other spellings of the first byte
		folded := foldByte(byte(first))
		rw.protected[first], rw.shortest[first] = rw.protected[folded], rw.shortest[folded]
	}
}

// Protects reports whether a header name, in any spelling, is one that the client must not set.
func (rw *Rewriter) Protects(name string) bool {
	return name != "" && len(name) >= int(rw.shortest[name[0]]) && rw.matches(name)
}

// matches is the rest of Protects, of which the compiler inlines the beginning: for most names that is all.
func (rw *Rewriter) matches(name string) bool {
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

// Fold returns one spelling of a header name for all that a server along the way may treat as the same.
func Fold(name string) string { return strings.Map(foldRune, name) }

func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		return rune(foldByte(byte(r))) //nolint:gosec // it is ASCII
	}
	return r
}

// Stripped is what Strip has found in a request.
type Stripped struct {
	Size          int  // of the headers that are left
	Upgrade       bool // they ask for an upgrade of the connection
	Authorization bool // there was an Authorization
}

// Strip removes every identity header from the request, and what could add or remove one later: Expect,
// trailers, and the options of Connection. It changes the request in place, and what it removes never comes
// back, not even for an error page.
//
// It is a loop over the headers, with no look-ups, because it runs for each request.
func (rw *Rewriter) Strip(r *http.Request) (found Stripped) {
	connection := false
	for name, values := range r.Header {
		switch {
		case rw.Protects(name), name == "Trailer":
			found.Authorization = found.Authorization || name == "Authorization"
			delete(r.Header, name)
			continue
		case name == "Connection", name == "Upgrade":
			connection = true
		}
		found.Size += headersize.Lines(name, values)
	}
	// reverse_proxy forwards trailers, which could be identity headers. No client of Elasticsearch needs them.
	r.Trailer = nil
	if connection {
		found.Upgrade = dropConnection(r.Header)
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

// DropUpgrade removes the headers of an upgrade, but for one to a WebSocket if the client has asked for that. Nobody
// watches over a tunnel that header_up asks for, and in one for h2c the client could send requests past the handler.
func DropUpgrade(h http.Header, asked bool) {
	protocols := h["Upgrade"]
	if protocols == nil || asked && len(protocols) == 1 && strings.EqualFold(protocols[0], "websocket") {
		return
	}
	delete(h, "Connection")
	delete(h, "Upgrade")
}

// Set sets the headers that tell a node who the client is, and returns their size: those of its credential, and the
// configured ones with the client's values. Each has exactly one value, in a slice of its own, because other handlers edit
// values in place.
//
// The slice of the first header is a place of the caller's, which spares an allocation. It must be of this request alone,
// and nothing else may use it. So what other handlers do to the slice does not reach another request: a change of its
// value stays in there, and append makes a new slice, because this one is full.
func (rw *Rewriter) Set(h http.Header, with *credential.Credential, values []string, first *[1]string) (size int) {
	place := first[:]
	for i := range rw.Count(with) {
		name, value := rw.Header(i, with, values)
		if i > 0 {
			place = make([]string, 1)
		}
		if place[0] != value { // else net/http may be reading it, for an earlier attempt at another node
			place[0] = value
		}
		h[name] = place
		size += headersize.Line(name, value)
	}
	return size
}

// SetsOne reports whether there is one header that is set.
func (rw *Rewriter) SetsOne() bool { return len(rw.headers)+len(rw.sets) == 1 }

// Hidden reports whether a header other than Authorization has a token in it, which log lines of Caddy's would print.
func (rw *Rewriter) Hidden() bool { return rw.hidden }

// Headers returns the configured headers.
func (rw *Rewriter) Headers() []identity.Header { return rw.headers }

// Count returns how many headers Set sets: those that are configured, after those of a credential that is no token.
func (rw *Rewriter) Count(with *credential.Credential) int {
	if rw.sets == nil {
		return len(rw.headers)
	}
	n := len(with.Headers) + len(rw.headers)
	if with.Authorization != "" {
		n++
	}
	return n
}

// Header returns one of the headers that Set sets.
func (rw *Rewriter) Header(i int, with *credential.Credential, values []string) (name, value string) {
	if rw.sets != nil {
		if with.Authorization != "" {
			if i == 0 {
				return "Authorization", with.Authorization
			}
			i--
		}
		if i < len(with.Headers) {
			return with.Headers[i].Name, with.Headers[i].Value
		}
		i -= len(with.Headers)
	}
	if value := values[i]; value != "" {
		return rw.headers[i].Name, value
	}
	return rw.headers[i].Name, rw.headers[i].WithToken(with.Authorization)
}

// Size returns the size of the headers that Set would set.
func (rw *Rewriter) Size(with *credential.Credential, values []string) (size int) {
	for i := range rw.Count(with) {
		name, value := rw.Header(i, with, values)
		size += headersize.Line(name, value)
	}
	return size
}

// TakeBack removes what Set has set, so that neither handle_errors nor a log sees it.
func (rw *Rewriter) TakeBack(h http.Header) {
	for i := range rw.headers {
		delete(h, rw.headers[i].Name)
	}
	for _, name := range rw.sets {
		delete(h, name)
	}
}

// Sweep removes every identity header that was put into a request behind the handler, by header_up for example. It
// returns the size of the headers that are left, and whether the first header of Set is among them, since it was sent in
// an earlier attempt at another node: place is where its value is. Then there is nothing else to remove either.
func (rw *Rewriter) Sweep(h http.Header, place *[1]string) (size int, sent bool) {
	for name, values := range h {
		if rw.Protects(name) {
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
