// Package credentialpath knows the requests by which Elasticsearch and OpenSearch make credentials:
// API keys, tokens, passwords. What they make goes on to work when the certificate of whoever asked
// for it is denied, revoked or expired.
//
// Which spellings of a path a node takes for the same differs between versions, and with what stands
// before the node: /_security//api_key can mean /_security/api_key, or nothing. Here every
// spelling that anything on the way could take for such a path counts as one, and so does a path of
// which that cannot be told.
package credentialpath

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// endpoint is what comes after /_security, or after /_plugins/_security/api in OpenSearch.
type endpoint struct {
	name     string
	below    string   // only with this segment after the name, if it is not empty
	anyRead  bool     // making is what even a GET does
	postRead []string // last segments with which POST only reads
}

// endpoints make or change credentials when the method is one that writes.
var endpoints = []endpoint{
	// Elasticsearch
	{name: "api_key", postRead: []string{"_query"}}, // create, grant, clone, update, _bulk_update
	{name: "cross_cluster"},                         // cross_cluster/api_key
	{name: "oauth2"},                                // oauth2/token
	{name: "service"},                               // service/<namespace>/<service>/credential/token
	{name: "delegate_pki"},                          //
	{name: "saml"},                                  // saml/authenticate
	{name: "oidc"},                                  // oidc/authenticate
	{name: "user", postRead: []string{"_has_privileges"}}, // users and their passwords, in OpenSearch too
	{name: "profile", below: "_activate"},                 // takes a password or a token, and says whether it is right
	{name: "enroll", anyRead: true},                       // GET enroll/kibana makes a token of a service
	// OpenSearch
	{name: "authtoken"},               //
	{name: "generateonbehalfoftoken"}, //
	{name: "obo"},                     // its older name
	{name: "apitokens"},               //
	{name: "internalusers"},           // and internalusers/<name>/authtoken
	{name: "account"},                 // the own password
}

// Makes reports whether a request with this method and URL makes or changes a credential, or may do
// so. The path can begin with segments that are taken away on the way to the node.
func Makes(method string, u *url.URL) bool {
	// An opaque URL, as in `POST x:_security/api_key HTTP/1.1`, goes to the node as it is.
	return makes(method, u.EscapedPath()) || u.Opaque != "" && makes(method, u.Opaque)
}

func makes(method, path string) bool {
	if !suspicious(path) {
		return false
	}
	decoded := decode(path)
	if method == http.MethodPost && !isExact(path) {
		method = "" // whatever the end of the path says, it may be for something else than to read
	}
	return matches(method, segments(decoded, false)) || matches(method, segments(decoded, true))
}

// isExact reports whether there is one way to read a path.
func isExact(path string) bool {
	for i := range len(path) {
		c := path[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != '/' && c != '.' && !isPlainByte(c) {
			return false
		}
	}
	return !strings.Contains(path, "//") && !strings.Contains(path, "/.")
}

// suspicious reports whether a path has to be looked at closely. It is quick, since most paths do not.
func suspicious(path string) bool {
	const word = "security"
	for i := range len(path) {
		switch c := path[i]; {
		case c == '%', c <= ' ', c >= 0x7f:
			return true
		case c|0x20 == word[0] && len(path)-i >= len(word) && strings.EqualFold(path[i:i+len(word)], word):
			return true
		}
	}
	return false
}

// decode undoes percent-encoding (RFC 3986 section 2.1), however often it was done.
func decode(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	decoded := make([]byte, 0, len(path))
	for i := range len(path) {
		decoded = append(decoded, path[i])
		// What has just been decoded can be the end of another escape.
		for n := len(decoded); n >= 3 && decoded[n-3] == '%'; n = len(decoded) {
			high, low := hexDigit(decoded[n-2]), hexDigit(decoded[n-1])
			if high < 0 || low < 0 {
				break
			}
			decoded = append(decoded[:n-3], byte(high<<4|low)) //nolint:gosec // two hexadecimal digits
		}
	}
	return string(decoded)
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	default:
		return -1
	}
}

// segments are those of a decoded path, in lower case, without what servers leave out: empty ones and
// those of one dot, what follows a semicolon, a question mark or a number sign, blanks and control
// characters. Two dots take the segment before them away if they are resolved, and themselves if not.
func segments(path string, resolve bool) []string {
	var out []string
	for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if end := strings.IndexAny(segment, ";?#"); end >= 0 {
			segment = segment[:end]
		}
		segment = strings.Map(lower, segment)
		switch segment {
		case "", ".":
		case "..":
			if resolve && len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, segment)
		}
	}
	return out
}

// lower folds a letter, and drops what cannot be seen.
func lower(r rune) rune {
	switch {
	case r <= ' ' || r == 0x7f:
		return -1
	case 'A' <= r && r <= 'Z':
		return r + ('a' - 'A')
	default:
		return r
	}
}

// matches looks for an endpoint anywhere in a path.
func matches(method string, path []string) bool {
	for i, segment := range path {
		legacy := segment == "security" && i > 0 && path[i-1] == "_xpack"
		if segment != "_security" && !legacy {
			continue
		}
		rest := path[i+1:]
		if len(rest) > 0 && rest[0] == "api" {
			rest = rest[1:]
		}
		if len(rest) > 0 && isMade(method, rest) {
			return true
		}
	}
	return false
}

// isMade reports whether a request to this path below _security makes a credential.
func isMade(method string, path []string) bool {
	reads := method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
	removes := method == http.MethodDelete
	if !isPlain(path[0]) {
		return !reads && !removes // whatever the node makes of it
	}
	for _, e := range endpoints {
		switch {
		case e.name != path[0]:
		case e.below != "" && !slices.Contains(path[1:], e.below):
		case e.anyRead:
			return true
		case reads, removes:
		case method == http.MethodPost && len(path) > 1 && slices.Contains(e.postRead, path[len(path)-1]):
		default:
			return true
		}
	}
	return false
}

// isPlain reports whether a segment is spelled as those of the interfaces are.
func isPlain(segment string) bool {
	for i := range len(segment) {
		if !isPlainByte(segment[i]) {
			return false
		}
	}
	return true
}

func isPlainByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}
