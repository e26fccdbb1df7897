// Package namedroute keeps the handler elasticsearch_jwt in a named route of a Caddyfile, where Caddy can lose it.
package namedroute

import (
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// NewRoute returns a route for the handler that Caddy does not merge with its neighbours in a named route.
// If Caddy can merge all routes of a named route into one, it keeps only the first handler of it: in
//
//	&(auth) {
//		header X-Frame-Options DENY
//		elasticsearch_jwt { … }
//	}
//
// that is the header, and requests would go on as the client sent them. Caddy merges routes whose matchers are
// equal. No matchers at all and an empty list of them are not equal to it, but mean the same, and are the same in
// JSON. docs/troubleshooting.md describes the defect.
func NewRoute(
	h httpcaddyfile.Helper, handler caddyhttp.MiddlewareHandler,
) ([]httpcaddyfile.ConfigValue, error) {
	values := h.NewRoute(nil, handler)
	if !h.IsNamedRoute() {
		return values, nil // one route is faster than two
	}
	if err := check(h); err != nil {
		return nil, err
	}
	for i := range values {
		if route, ok := values[i].Value.(caddyhttp.Route); ok {
			route.MatcherSetsRaw = caddyhttp.RawMatcherSets{}
			values[i].Value = route
		}
	}
	// Two of them would be merged, since they are equal.
	const inThisBlock = "elasticsearch_jwt.in_this_block"
	block := reflect.ValueOf(h.BlockState).Pointer() // an inner block has a copy of the outer one's state
	if h.BlockState[inThisBlock] == block {
		return nil, h.Err("elasticsearch_jwt is there twice in one block, where only the last one counts: keep one, " +
			"or give each a handle block of its own, together with its reverse_proxy")
	}
	h.BlockState[inThisBlock] = block
	return values, nil
}

// check returns an error if the handler is in a block, such as handle, that is in a named route, and Caddy
// could lose that block. The route of the block is not the handler's to change.
func check(h httpcaddyfile.Helper) error {
	h.Reset()
	h.Next() // the directive
	directives := directivesOf(h)
	if len(directives) < 2 || slices.ContainsFunc(directives, func(d directiveLine) bool {
		return d.hasMatcher || d.name == "elasticsearch_jwt" && d.file == h.File() && d.line == h.Line()
	}) {
		return nil
	}
	return h.Err("Caddy keeps only the first directive of a named route if none of them has a matcher, and would drop " +
		"this elasticsearch_jwt: write it directly into the named route, or put everything in the named route " +
		"into one handle block")
}

// directiveLine is the first line of a directive.
type directiveLine struct {
	name       string
	hasMatcher bool
	file       string
	line       int
}

// directivesOf returns the directives of the named route that is being parsed, without those that are in
// blocks of others. It reads a field of Caddy's that is not exported, because nothing else tells a directive what
// stands beside it. If there is no such field any more, it returns none.
func directivesOf(h httpcaddyfile.Helper) []directiveLine {
	block := reflect.ValueOf(h).FieldByName("parentBlock")
	if !block.IsValid() || block.Kind() != reflect.Struct {
		return nil
	}
	segments := block.FieldByName("Segments") // one, with the name and the braces
	if !segments.IsValid() || segments.Len() != 1 {
		return nil
	}
	var directives []directiveLine
	var last directiveLine
	depth := 0
	for i := range segments.Index(0).Len() {
		token := segments.Index(0).Index(i)
		text := token.FieldByName("Text").String()
		now := directiveLine{name: text, file: token.FieldByName("File").String(), line: int(token.FieldByName("Line").Int())}
		newLine := now.file != last.file || now.line != last.line
		switch {
		case text == "{":
			depth++
		case text == "}":
			depth--
		case depth != 1:
		case newLine && !strings.HasPrefix(text, "@"):
			directives = append(directives, now)
		case !newLine && last.name != "" && i > 0 && isMatcher(text):
			if n := len(directives); n > 0 && directives[n-1] == last {
				directives[n-1].hasMatcher = true
			}
		}
		last = now
	}
	return directives
}

// isMatcher reports whether the first argument of a directive is a matcher for some requests.
func isMatcher(text string) bool { return strings.HasPrefix(text, "/") || strings.HasPrefix(text, "@") }
