package setting

import (
	"errors"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// ErrSecretInConfig says why a secret must be a placeholder.
var ErrSecretInConfig = errors.New("a secret in the configuration shows in the admin API and in the adapted JSON: " +
	"write it as {file./path/to/the/secret} or {env.NAME} (not {$NAME}, which is replaced before)")

// RandomHexCommand is a command that makes a secret which works everywhere: it is one line of letters and digits,
// and long enough for every algorithm. (In base64, 64 bytes are two lines, and Elasticsearch's keystore keeps only
// the first.)
const RandomHexCommand = "`openssl rand -hex 64`"

// ErrSeveralLines says why a secret must be one line.
var ErrSeveralLines = errors.New("it has several lines, and Elasticsearch's keystore keeps the first alone: " +
	"make another, for instance with " + RandomHexCommand)

// CheckSecret checks that the value of a secret's setting is one placeholder for a file or a variable. Its error
// does not have the value in it, because that may be the secret itself.
func CheckSecret(s string) error {
	switch {
	case s == "":
		return errors.New("it is missing: write it as {file./path/to/the/secret} or {env.NAME}")
	case (strings.HasPrefix(s, "{env.") || strings.HasPrefix(s, "{file.")) && strings.IndexByte(s, '}') == len(s)-1:
		return nil
	case strings.HasPrefix(s, "{"+FileShorthand):
		return ErrFileShorthand(strings.Trim(s, "{}"))
	default:
		return ErrSecretInConfig
	}
}

// SecretSource returns the source that a secret is read from. The placeholder must have passed [CheckSecret]. It is
// also the source's name in logs. A file is read without Caddy's replacer, which would log each failure.
func SecretSource(placeholder string) watch.Source {
	file := SecretFile(placeholder)
	if file == "" {
		return watch.Variable(placeholder, func() (string, error) { return Resolve(placeholder) })
	}
	source := watch.File(file)
	source.Name = placeholder
	return source
}

// SecretFile returns the file that a placeholder for a secret names; "" if it names a variable.
func SecretFile(placeholder string) string {
	name, ok := strings.CutPrefix(placeholder, "{file.")
	if !ok {
		return ""
	}
	return strings.TrimSuffix(name, "}")
}

// ParseSecret parses the setting shared_secret, whose value must pass [CheckSecret]. So no secret gets into the
// adapted JSON.
func ParseSecret(d *caddyfile.Dispenser, field *string) error {
	if err := ParseString(d, field); err != nil {
		return err
	}
	if err := CheckSecret(*field); err != nil {
		return d.WrapErr(In("shared_secret", err))
	}
	return nil
}
