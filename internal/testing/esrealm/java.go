package esrealm

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/pattern"
)

// compileJava compiles a regular expression of java.util.regex, whose first
// group is the value. As in Java, $ also matches before a line end that ends the
// text: "^es-(.*)$" finds "a" in "es-a\n".
func compileJava(expr string) (*regexp.Regexp, error) {
	expr = dollar.ReplaceAllStringFunc(expr, func(part string) string {
		if part == "$" {
			return `(?:\r\n|[\n\r\x{85}\x{2028}\x{2029}])?$`
		}
		return part
	})
	return pattern.Compile("(?-i)" + expr) // without this flag, it would ignore case
}

// dollar matches a dollar sign. It also matches escapes and character classes, in
// which a dollar sign is an ordinary character.
var dollar = regexp.MustCompile(`(?s)\\.|\[(?:\\.|[^\]])*\]|\$`)

// The parts of a URI (RFC 2396). Java also allows most characters beyond ASCII.
const (
	uriMore   = `@&=+$,;]|%[[:xdigit:]]{2}|[^\x00-\x{9f}\pZ])`
	uriWord   = `(?:[\w\-.!~'()*` + uriMore
	uriChar   = `(?:[\w\-.!~'()*:` + uriMore
	uriPath   = `(?:[\w\-.!~'()*:/` + uriMore + `*`
	uriOpaque = `(?:[\w\-.!~'()*:?\[\]` + uriMore
	uriAny    = `(?:[\w\-.!~'()*:?\[\]/` + uriMore + `*`
	uriScheme = `[a-zA-Z][a-zA-Z0-9+.\-]*:`
	uriHost   = `(?:` + uriChar + `+|(?:[^\[/?#]*@)?\[[[:xdigit:]:.]+\][:0-9]*)`
)

// uri matches what java.net.URI accepts, as the values of jku and x5u.
var uri = regexp.MustCompile(`^(?:` +
	uriScheme + uriOpaque + uriAny + // mailto:a@b
	`|(?:` + uriScheme + `)?//` + uriHost + `(?:/` + uriPath + `)?(?:\?` + uriAny + `)?` + // https://h:1/a?b
	`|(?:` + uriScheme + `)?(?:///` + uriPath + `|/(?:` + uriChar + uriPath + `)?)(?:\?` + uriAny + `)?` + // file:/a
	`|(?:` + uriWord + `+(?:/` + uriPath + `)?)?(?:\?` + uriAny + `)?` + // a/b:c
	`)(?:#` + uriAny + `)?$`)

// isBlank reports whether Java's Strings.hasText finds nothing in s.
func isBlank(s string) bool {
	return strings.TrimFunc(s, func(r rune) bool {
		return isJavaWhitespace(r) || (unicode.IsSpace(r) && r > 0xff && r != '\u2007' && r != '\u202f')
	}) == ""
}

// isJavaWhitespace is Java's Character.isWhitespace for ASCII.
func isJavaWhitespace(r rune) bool {
	return strings.ContainsRune("\t\n\v\f\r\x1c\x1d\x1e\x1f ", r)
}

// isJavaSpace reports whether Java's String.trim removes a character.
func isJavaSpace(r rune) bool { return r <= ' ' }
