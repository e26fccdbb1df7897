package esrealm

import (
	"fmt"
	"strconv"
	"strings"
)

// version is a release of Elasticsearch.
type version struct {
	text         string
	major, minor int
	lenient      bool // reads JSON leniently
}

func parseVersion(s string) (version, error) {
	v := version{text: s}
	parts := strings.Split(s, ".")
	var err error
	if len(parts) != 3 {
		return v, fmt.Errorf("version %q: write all of it, for instance %s", s, DefaultVersion)
	}
	if v.major, err = strconv.Atoi(parts[0]); err != nil {
		return v, fmt.Errorf("version %q: %w", s, err)
	}
	if v.minor, err = strconv.Atoi(parts[1]); err != nil {
		return v, fmt.Errorf("version %q: %w", s, err)
	}
	if v.major < 8 || (v.major == 8 && v.minor < 8) {
		return v, fmt.Errorf("version %q is too old; 8.8.0 is the first whose behaviour is known", s)
	}
	v.lenient = v.major < 9
	return v, nil
}

// acceptsAccessTokenType reports whether access_token realms take the typ
// at+jwt.
func (v version) acceptsAccessTokenType() bool { return v.major > 8 || v.minor >= 19 }
