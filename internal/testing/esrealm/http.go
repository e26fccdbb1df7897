package esrealm

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const (
	maxHeaderBytes = 16 * 1024 // http.max_header_size
	maxLineBytes   = 4 * 1024  // http.max_initial_line_length
)

// singleValued are the headers that must not have two different values, in the
// spelling of the error message.
var singleValued = []string{
	"Authorization", "ES-Client-Authentication", "es-security-runas-user", "es-secondary-authorization",
	"es-secondary-x-client-authentication", "X-Opaque-Id", "X-elastic-product-origin", "traceparent",
}

// ServeHTTP answers a request. The checks have the order of a real node: the size
// of the headers, repeated headers, authentication, the route, its parameters,
// and the right to run as another user. Then the handler checks the right to the
// action.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()[productHeaderName] = []string{"Elasticsearch"}
	if len(r.Method)+len(r.RequestURI)+len(r.Proto)+2 > maxLineBytes {
		reason := fmt.Sprintf("An HTTP line is larger than %d bytes.", maxLineBytes)
		badRequest("too_long_http_line_exception", reason).write(w)
		return
	}
	if headerBytes(r) > maxHeaderBytes {
		reason := fmt.Sprintf("HTTP header is larger than %d bytes.", maxHeaderBytes)
		badRequest("too_long_http_header_exception", reason).write(w)
		return
	}
	if err := checkSingleValues(r.Header); err != nil {
		err.write(w)
		return
	}
	auth, refused := n.authenticate(r)
	if refused != nil {
		refused.write(w)
		return
	}
	route, params, unknown := n.match(r)
	if unknown != nil {
		unknown(w)
		return
	}
	a := access{n, auth}
	err := checkParameters(r)
	if err == nil {
		err = a.runAs(route.action)
	}
	if err == nil {
		err = route.handle(w, &call{Request: r, access: a, params: params})
	}
	if err != nil {
		err.write(w)
	}
}

// headerBytes is the size of the header lines without line ends, which is what
// Netty counts. Go has Host in another place, and has removed the spaces around
// values.
func headerBytes(r *http.Request) int {
	size := len("Host: ") + len(r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(": ") + len(v)
		}
	}
	for _, v := range r.TransferEncoding {
		size += len("Transfer-Encoding: ") + len(v)
	}
	return size
}

func checkSingleValues(h http.Header) *apiError {
	for _, name := range singleValued {
		values := h.Values(name)
		if slices.ContainsFunc(values, func(v string) bool { return v != values[0] }) {
			return badRequest("illegal_argument_exception",
				fmt.Sprintf("multiple values for single-valued header [%s].", name))
		}
	}
	return nil
}

// route is one method and path of the REST API.
type route struct {
	method string
	path   []string // segments; those in braces are parameters
	action string
	handle handler
}

type handler func(w http.ResponseWriter, c *call) *apiError

// call is a request with what its route needs.
type call struct {
	*http.Request
	access access
	params map[string]string
}

// checkParameters refuses unknown parameters of _security/_authenticate. Other
// routes accept any parameter.
func checkParameters(r *http.Request) *apiError {
	if !strings.HasPrefix(r.URL.Path, "/_security/_authenticate") {
		return nil
	}
	booleans := []string{"pretty", "human", "error_trace"}
	for name, values := range r.URL.Query() {
		if !slices.Contains(append(booleans, "filter_path", "format"), name) {
			return badRequest("illegal_argument_exception",
				fmt.Sprintf("request [%s] contains unrecognized parameter: [%s]", r.URL.Path, name))
		}
		if v := values[0]; slices.Contains(booleans, name) && v != "" && v != "true" && v != "false" {
			return badRequest("illegal_argument_exception",
				fmt.Sprintf("Failed to parse value [%s] as only [true] or [false] are allowed.", v))
		}
	}
	return nil
}

func segments(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" })
}

// match finds the route of a request. If there is none, it returns a function
// that answers the request.
func (n *Node) match(r *http.Request) (*route, map[string]string, func(http.ResponseWriter)) {
	var allowed []string
	path := segments(r.URL.Path)
	for i := range n.routes {
		route := &n.routes[i]
		params, ok := route.matchPath(path)
		if !ok {
			continue
		}
		if route.method == r.Method {
			return route, params, nil
		}
		allowed = append(allowed, route.method)
	}
	return nil, nil, func(w http.ResponseWriter) {
		if len(allowed) == 0 {
			writeJSON(w, http.StatusBadRequest, map[string]any{
				"error": fmt.Sprintf("no handler found for uri [%s] and method [%s]", r.RequestURI, r.Method),
			})
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ","))
		writeJSON(w, http.StatusMethodNotAllowed, map[string]any{
			"error": fmt.Sprintf("Incorrect HTTP method for uri [%s] and method [%s], allowed: [%s]",
				r.RequestURI, r.Method, strings.Join(allowed, ", ")),
			"status": http.StatusMethodNotAllowed,
		})
	}
}

// matchPath compares a path with the route's, segment by segment. An index must
// not start with an underscore, with two exceptions: _all, and a path of one
// segment, which is an index with an invalid name.
func (rt *route) matchPath(path []string) (map[string]string, bool) {
	if len(path) != len(rt.path) {
		return nil, false
	}
	params := map[string]string{}
	for i, s := range rt.path {
		if !strings.HasPrefix(s, "{") {
			if s != path[i] {
				return nil, false
			}
			continue
		}
		if s == "{index}" && strings.HasPrefix(path[i], "_") && path[i] != "_all" && len(path) > 1 {
			return nil, false
		}
		params[strings.Trim(s, "{}")] = path[i]
	}
	return params, true
}
