package rewrite

import (
	"net/http"
	"strings"
)

// HasPath reports whether a request is for a path, or is the OPTIONS of the whole server (RFC 9112 section
// 3.2). net/http accepts two other forms. Caddy's matchers see no path in them, but a node does:
//
//	GET x:_search    the path is empty, and "_search" is sent on, which a node takes for /_search
//	GET *            Elasticsearch takes this for its pattern of all indices
//
// A CONNECT asks for a tunnel, unless it opens a WebSocket. One that came over HTTP/3 can have a path and a body, which
// net/http would send to the node as it is: a node takes it for the next requests.
//
// A query can come with a blank in it over HTTP/2 and HTTP/3, and goes to the node so. A blank ends the target in the line
// of a request (RFC 9112 section 3), which a node cannot read then: it closes a connection that others want to use.
func HasPath(r *http.Request) bool {
	if r.Method == http.MethodConnect && !OpensWebSocket(r) || strings.Contains(r.URL.RawQuery, " ") {
		return false
	}
	switch r.URL.Path {
	case "": // as in https://es.example.com
		return r.URL.Opaque == ""
	case "*":
		return r.Method == http.MethodOptions
	default:
		return true
	}
}

// OpensWebSocket reports whether a CONNECT opens a WebSocket over HTTP/2 (RFC 8441) or HTTP/3 (RFC 9220). It must be one
// for reverse_proxy too, which makes a GET of it.
func OpensWebSocket(r *http.Request) bool {
	switch r.ProtoMajor {
	case 2:
		return r.Header.Get(":protocol") == "websocket"
	case 3:
		return r.Proto == "websocket"
	default:
		return false
	}
}
