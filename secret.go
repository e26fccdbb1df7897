package esjwt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// errSecretInConfig says why a secret must be a placeholder.
var errSecretInConfig = errors.New("a secret in the configuration shows in the admin API and in the adapted JSON: write it as {file./path/to/the/secret} or {env.NAME} (not {$NAME}, which is replaced before)")

// randomLine is a command for a secret that everything takes: one line, of letters and digits, long
// enough for every algorithm. (In base64, 64 bytes are two lines, of which Elasticsearch's keystore
// keeps the first.)
const randomLine = "`openssl rand -hex 64`"

var errSeveralLines = errors.New("it has several lines, and Elasticsearch's keystore keeps the first alone: " +
	"make another, for instance with " + randomLine)

// checkSecret checks that a secret's setting is one placeholder for a file or a variable. Its
// error does not have the setting in it, which may be the secret itself.
func checkSecret(s string) error {
	switch {
	case s == "":
		return errors.New("it is missing: write it as {file./path/to/the/secret} or {env.NAME}")
	case (strings.HasPrefix(s, "{env.") || strings.HasPrefix(s, "{file.")) && strings.IndexByte(s, '}') == len(s)-1:
		return nil
	case strings.HasPrefix(s, "{"+shortFile):
		return errShortFile(strings.Trim(s, "{}"))
	default:
		return errSecretInConfig
	}
}

// secretSource is what a secret's setting, which checkSecret has checked, is read from. Its name in logs
// is the setting. Caddy's own placeholder for a file would log each failure.
func secretSource(setting string) watch.Source {
	file := secretFile(setting)
	if file == "" {
		return watch.Variable(setting, func() (string, error) { return resolveGlobal(setting) })
	}
	source := watch.File(file)
	source.Name = setting
	return source
}

// secretFile is the file that a secret's setting names; "" if it names a variable.
func secretFile(setting string) string {
	name, ok := strings.CutPrefix(setting, "{file.")
	if !ok {
		return ""
	}
	return strings.TrimSuffix(name, "}")
}

// watchSecret resolves a secret that a header will carry. Its setting is a placeholder, so that
// the configuration, which the admin API shows, does not have the secret in it. An error never
// has it in it.
func watchSecret(source string, logger *zap.Logger) (*watched[string], error) {
	if err := checkSecret(source); err != nil {
		return nil, err
	}
	parse := func(content []byte) (string, error) {
		secret, err := parseSecret(content)
		if err == nil {
			warnOfMode(secretFile(source), logger)
		}
		return secret, err
	}
	w := newWatched("shared_secret", secretSource(source), parse, func() {}, logger)
	if err := w.value.Read(context.Background()); err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	return w, nil
}

// parseSecret checks that a header can carry a secret. White space around it, such as the
// newline that an editor adds, is not part of it.
func parseSecret(content []byte) (string, error) {
	value := strings.TrimSpace(string(content))
	if value == "" {
		return "", errors.New("it is empty")
	}
	if strings.ContainsAny(value, "\r\n") {
		return "", errSeveralLines
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] > '~' {
			return "", errors.New("it has something else in it than printable ASCII without spaces, which no header can carry: " +
				"make another, for instance with " + randomLine)
		}
	}
	return value, nil
}
