package setting

import (
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// WatchSecret resolves a secret that a header will carry. Its setting is a placeholder, so that
// the configuration, which the admin API shows, does not have the secret in it. An error never
// has it in it.
func WatchSecret(source string, logger *zap.Logger) (*watch.Setting[string], error) {
	if err := CheckSecret(source); err != nil {
		return nil, err
	}
	parse := func(content []byte) (string, error) {
		secret, err := parseSecret(content)
		if err == nil {
			WarnOfMode(SecretFile(source), logger)
		}
		return secret, err
	}
	w := watch.NewSetting("shared_secret", SecretSource(source), parse, logger)
	if err := w.Read(); err != nil {
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
		return "", ErrSeveralLines
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] > '~' {
			return "", errors.New("it has something else in it than printable ASCII without spaces, which no header can carry: " +
				"make another, for instance with " + RandomLine)
		}
	}
	return value, nil
}
