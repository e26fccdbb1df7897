package esjwt

import "net/http"

// hasPath reports whether a request is for a path, or is the OPTIONS of the whole server (RFC 9112
// section 3.2). `GET x:_search` is not: net/http takes the target for an opaque URL, so its path is empty
// wherever Caddy matches one, and sends `_search` on, which a node takes for /_search. `GET *` is the same
// for Elasticsearch's index pattern, and a CONNECT without a path asks for a tunnel.
func hasPath(r *http.Request) bool {
	switch r.URL.Path {
	case "": // as in https://es.example.com
		return r.URL.Opaque == "" && r.Method != http.MethodConnect
	case "*":
		return r.Method == http.MethodOptions
	default:
		return true
	}
}

func refuseTarget() *Refusal {
	return refuse(noPath, "the request's target is not a path: send it with one that begins with a slash")
}
