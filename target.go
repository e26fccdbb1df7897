package esjwt

import "net/http"

// hasPath reports whether a request is for a path, or is the OPTIONS of the whole server (RFC 9112
// section 3.2). `GET x:_search` is not: net/http takes the target for an opaque URL, so its path is empty
// wherever Caddy matches one, and sends `_search` on, which a node takes for /_search. `GET *` is the same
// for Elasticsearch's index pattern.
func hasPath(r *http.Request) bool {
	return r.URL.Opaque == "" && (r.URL.Path != "*" || r.Method == http.MethodOptions)
}

func refuseTarget() *Refusal {
	return refuse(noPath, "the request's target is not a path: send it with one that begins with a slash")
}
