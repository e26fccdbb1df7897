package setting

import (
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// WatchHeaderSecret reads a secret that is sent in a header, and notices when it changes. The placeholder is the
// setting's value. Errors do not have the secret in them.
func WatchHeaderSecret(placeholder string, logger *zap.Logger) (*watch.Setting[string], error) {
	if err := CheckSecret(placeholder); err != nil {
		return nil, err
	}
	parse := func(content []byte) (string, error) {
		secret, err := parseHeaderSecret(content)
		if err == nil {
			WarnOfFileMode(SecretFile(placeholder), logger)
		}
		return secret, err
	}
	w := watch.NewSetting("shared_secret", SecretSource(placeholder), parse, logger)
	if err := w.Read(); err != nil {
		return nil, fmt.Errorf("%s: %w", placeholder, err)
	}
	return w, nil
}

// parseHeaderSecret checks that a secret can be sent in a header. It drops the line end that an editor adds, as
// Elasticsearch's keystore does. A blank at either end is an error:
//
//	the keystore takes it as a part of the secret
//	no header can carry it: a server drops blanks around a header's value (RFC 9110 section 5.5)
func parseHeaderSecret(content []byte) (string, error) {
	value := strings.TrimRight(string(content), "\r\n")
	switch {
	case strings.TrimSpace(value) == "":
		return "", errors.New("it is empty")
	case strings.ContainsAny(value, "\r\n"):
		return "", ErrSeveralLines
	case strings.Trim(value, " \t") != value:
		return "", errors.New("it begins or ends with a blank, which no header can carry: take the blank out, " +
			"also out of the node's keystore if it has one there")
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] > '~' {
			return "", errors.New("it has something else in it than printable ASCII without spaces, " +
				"which no header can carry: make another, for instance with " + RandomHexCommand)
		}
	}
	return value, nil
}
