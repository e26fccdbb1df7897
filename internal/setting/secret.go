package setting

import (
	"errors"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// ErrSecretInConfig says why a secret must be a placeholder.
var ErrSecretInConfig = errors.New("a secret in the configuration shows in the admin API and in the adapted JSON: write it as {file./path/to/the/secret} or {env.NAME} (not {$NAME}, which is replaced before)")

// RandomLine is a command for a secret that everything takes: one line, of letters and digits, long
// enough for every algorithm. (In base64, 64 bytes are two lines, of which Elasticsearch's keystore
// keeps the first.)
const RandomLine = "`openssl rand -hex 64`"

// ErrSeveralLines says why a secret must be one line.
var ErrSeveralLines = errors.New("it has several lines, and Elasticsearch's keystore keeps the first alone: " +
	"make another, for instance with " + RandomLine)

// CheckSecret checks that a secret's setting is one placeholder for a file or a variable. Its
// error does not have the setting in it, which may be the secret itself.
func CheckSecret(s string) error {
	switch {
	case s == "":
		return errors.New("it is missing: write it as {file./path/to/the/secret} or {env.NAME}")
	case (strings.HasPrefix(s, "{env.") || strings.HasPrefix(s, "{file.")) && strings.IndexByte(s, '}') == len(s)-1:
		return nil
	case strings.HasPrefix(s, "{"+ShortFile):
		return ErrShortFile(strings.Trim(s, "{}"))
	default:
		return ErrSecretInConfig
	}
}

// SecretSource is what a secret's setting, which checkSecret has checked, is read from. Its name in logs
// is the setting. Caddy's own placeholder for a file would log each failure.
func SecretSource(setting string) watch.Source {
	file := SecretFile(setting)
	if file == "" {
		return watch.Variable(setting, func() (string, error) { return Resolve(setting) })
	}
	source := watch.File(file)
	source.Name = setting
	return source
}

// SecretFile is the file that a secret's setting names; "" if it names a variable.
func SecretFile(setting string) string {
	name, ok := strings.CutPrefix(setting, "{file.")
	if !ok {
		return ""
	}
	return strings.TrimSuffix(name, "}")
}

// CheckSecretPlaceholder keeps secrets out of the adapted JSON.
func CheckSecretPlaceholder(d *caddyfile.Dispenser, value string) error {
	if err := CheckSecret(value); err != nil {
		return d.WrapErr(In("shared_secret", err))
	}
	return nil
}
