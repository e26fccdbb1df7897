package setting

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// Resolver returns what a text stands for that may have placeholders for variables of the environment and files in it.
type Resolver func(text string) (string, error)

// FileShorthand is the beginning of a placeholder that Caddy has misunderstood. In a site of a Caddyfile, Caddy
// takes {file.name} for its shorthand for a part of the request's path:
//
//	written       {file.secret}
//	understood    {http.request.uri.path.file.secret}
const FileShorthand = "http.request.uri.path.file."

// ErrFileShorthand returns an error that says how to write such a placeholder.
func ErrFileShorthand(placeholder string) error {
	return fmt.Errorf("a Caddyfile turns {file.%[1]s} into {%[2]s}, a part of the request: "+
		"write the file's path with a slash in it, as in {file./run/secrets/%[1]s}",
		strings.TrimPrefix(placeholder, FileShorthand), placeholder)
}

// filePlaceholder matches a placeholder for a file, and its name.
var filePlaceholder = regexp.MustCompile(`{file\.([^{}]*)}`)

// Resolve replaces the placeholders {env.*} and {file.*} in s by what they stand for. It returns an error if the
// variable or the file is missing. The result may be a secret, which must not get into an error or a log.
func Resolve(s string) (string, error) {
	for _, found := range filePlaceholder.FindAllStringSubmatch(s, -1) {
		if err := watch.CheckFile(found[1]); err != nil { // Caddy would wait for ever for the writer of a pipe
			return "", fmt.Errorf("%s: %w", found[0], err)
		}
	}
	value, err := caddy.NewReplacer().ReplaceOrErr(s, true, true)
	if err != nil {
		return "", fmt.Errorf("%w: set the variable, or make the file readable for Caddy", err)
	}
	return value, nil
}

// KeepPlaceholder is a [Resolver] that resolves nothing. It is for checking a configuration on a machine that does
// not have the variables and files.
func KeepPlaceholder(text string) (string, error) { return text, nil }

// FileName replaces the placeholders of a file's name. It refuses {file.*}, which some write there as they do in the
// settings of secrets: that is the content, and an error would show it as a file's name.
func FileName(file string) (string, error) {
	if strings.Contains(file, "{file.") || strings.Contains(file, "{"+FileShorthand) {
		return "", errors.New("write the file's path as it is, without {file.}")
	}
	return Resolve(file)
}
