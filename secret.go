package esjwt

import (
	"context"
	"errors"
	"strings"

	"go.uber.org/zap"
)

// errSecretInConfig says why a secret must be a placeholder.
var errSecretInConfig = errors.New("a secret in the configuration shows in the admin API and in the adapted JSON: write it as {file./path/to/the/secret} or {env.NAME} (not {$NAME}, which is replaced before)")

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

// watchSecret resolves a secret that a header will carry. Its setting is a placeholder, so that
// the configuration, which the admin API shows, does not have the secret in it. An error never
// has it in it.
func watchSecret(source string, logger *zap.Logger) (*watched[string], error) {
	if err := checkSecret(source); err != nil {
		return nil, err
	}
	w := &watched[string]{
		name:     source,
		interval: fileInterval,
		settles:  true,
		load: func(context.Context) ([]byte, error) {
			value, err := resolveGlobal(source)
			return []byte(value), err
		},
		parse:   parseSecret,
		changed: func() {},
		logger:  logger,
	}
	return w, w.first()
}

// parseSecret checks that a header can carry a secret. White space around it, such as the
// newline that an editor adds, is not part of it.
func parseSecret(content []byte) (string, error) {
	value := strings.TrimSpace(string(content))
	if value == "" {
		return "", errors.New("it is empty")
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] > '~' {
			return "", errors.New("it has something else in it than printable ASCII without spaces, which no header can carry")
		}
	}
	return value, nil
}
