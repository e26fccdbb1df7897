// Package credentialpath recognizes the requests that make credentials in Elasticsearch and OpenSearch:
// API keys, tokens, passwords. Such a credential still works after the certificate of the client that
// made it is denied, revoked or expired.
//
// Nodes and the proxies before them differ in which spellings of a path they accept:
// /_security//api_key can mean /_security/api_key, or nothing. This package recognizes a path if any
// of them could take it for one that makes credentials, or if that cannot be ruled out.
package credentialpath

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// endpoint is an API below /_security, or below /_plugins/_security/api in OpenSearch.
type endpoint struct {
	name     string   // the first segment
	below    string   // another segment that the path must have; "" if none
	getMakes bool     // whether even a GET makes a credential
	postRead []string // with one of these as the last segment, a POST makes none
}

// endpoints has the APIs that make or change credentials, with any method that writes.
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
	{name: "profile", below: "_activate"},                 // tells whether a password or a token is right
	{name: "enroll", getMakes: true},                      // GET enroll/kibana makes a service's token
	// OpenSearch
	{name: "authtoken"},               //
	{name: "generateonbehalfoftoken"}, //
	{name: "obo"},                     // its older name
	{name: "apitokens"},               //
	{name: "internalusers"},           // and internalusers/<name>/authtoken
	{name: "account"},                 // a user's own password
}

// Makes reports whether a request with this method and URL makes or changes a credential, or may do so.
// The path can begin with segments that a proxy removes before the node.
func Makes(method string, u *url.URL) bool {
	// An opaque URL, as in `POST x:_security/api_key HTTP/1.1`, goes to the node as it is.
	return makes(method, u.EscapedPath()) || u.Opaque != "" && makes(method, u.Opaque)
}

func makes(method, path string) bool {
	if !mayMatch(path) {
		return false
	}
	decoded := decode(path)
	if method == http.MethodPost && !isExact(path) {
		method = "" // the last segment may be another one for the node, so postRead does not count
	}
	return matches(method, segments(decoded, false)) || matches(method, segments(decoded, true))
}

// isExact reports whether all servers read a path in the same way.
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

// mayMatch reports whether a path can match at all. It is quick, since most paths cannot.
func mayMatch(path string) bool {
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

// decode undoes percent-encoding (RFC 3986 section 2.1), even if it was done several times: %2575 is u.
func decode(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	decoded := make([]byte, 0, len(path))
	for i := range len(path) {
		decoded = append(decoded, path[i])
		// The decoded byte can be the end of another escape.
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

// segments returns the segments of a decoded path, in lower case. It leaves out what servers may ignore:
//
//   - empty segments, and those of one dot;
//   - in a segment, what follows a semicolon, a question mark or a number sign;
//   - blanks and control characters;
//   - two dots, with the segment before them if resolve is true.
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

// lower returns a letter of ASCII in lower case, and -1 for blanks and control characters.
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

// matches reports whether there is an endpoint anywhere in a path.
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
		if len(rest) > 0 && makesBelow(method, rest) {
			return true
		}
	}
	return false
}

// makesBelow reports whether a request to this path below _security makes a credential.
func makesBelow(method string, path []string) bool {
	reads := method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
	removes := method == http.MethodDelete
	if !isPlain(path[0]) {
		return !reads && !removes // nobody can tell which endpoint it is for the node
	}
	for _, e := range endpoints {
		switch {
		case e.name != path[0]:
		case e.below != "" && !slices.Contains(path[1:], e.below):
		case e.getMakes:
			return true
		case reads, removes:
		case method == http.MethodPost && len(path) > 1 && slices.Contains(e.postRead, path[len(path)-1]):
		default:
			return true
		}
	}
	return false
}

// isPlain reports whether a segment has only characters that the names of endpoints have.
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
