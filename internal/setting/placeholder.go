package setting

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// Resolver replaces a placeholder for an environment variable or a file.
type Resolver func(placeholder string) (string, error)

// ShortFile begins what a site's Caddyfile makes of {file.name}: it takes it for a shorthand.
const ShortFile = "http.request.uri.path.file."

// ErrShortFile says how to write a placeholder that a Caddyfile has taken for a shorthand.
func ErrShortFile(placeholder string) error {
	return fmt.Errorf("a Caddyfile turns {file.%[1]s} into {%[2]s}, a part of the request: write the file's path with a slash in it, as in {file./run/secrets/%[1]s}",
		strings.TrimPrefix(placeholder, ShortFile), placeholder)
}

// Resolve replaces {env.*} and {file.*} in s. A missing variable or file is an error.
// The result may be a secret: it must not get into an error or a log.
func Resolve(s string) (string, error) {
	value, err := caddy.NewReplacer().ReplaceOrErr(s, true, true)
	if err != nil {
		return "", fmt.Errorf("%w: set the variable, or make the file readable for Caddy", err)
	}
	return value, nil
}

// KeepPlaceholder resolves nothing. It serves to check a configuration on a machine that does
// not have its variables and files.
func KeepPlaceholder(placeholder string) (string, error) { return placeholder, nil }
