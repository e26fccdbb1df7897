package runas

import (
	"errors"
	"slices"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
)

// parseKey parses the content of a file or a variable. Only an API key is safe. Its errors have nothing of it in them.
func parseKey(content []byte) (cluster.User, error) {
	errNotKey := func(why string) error {
		return errors.New(why + ": make an API key that has run_as and nothing else, and write `ApiKey <encoded>`")
	}
	switch scheme, _, _ := strings.Cut(strings.TrimSpace(string(content)), " "); {
	case strings.EqualFold(scheme, "Bearer"):
		return cluster.User{}, errNotKey("it is a token: Elasticsearch lets a service account run as nobody, " +
			"and serves everybody as that account without a word")
	case strings.EqualFold(scheme, string(cluster.Basic)):
		return cluster.User{}, errPassword(errNotKey)
	}
	key, err := cluster.ParseUser(content)
	switch {
	case errors.Is(err, cluster.ErrNoColon):
		return cluster.User{}, errNotKey("it has one word, and no `ApiKey ` before it")
	case err != nil:
		return cluster.User{}, err
	case key.Scheme() != cluster.APIKey:
		return cluster.User{}, errPassword(errNotKey)
	}
	return key, nil
}

func errPassword(errNotKey func(string) error) error {
	return errNotKey("it is a user and a password: with it, each client could set a password for the user it runs as, " +
		"and go on without its certificate")
}

// longestName is how many characters the name of a user of Elasticsearch has at most.
const longestName = 507

// reserved are the users that Elasticsearch always has. Each has rights over the cluster, and elastic has all of them.
var reserved = []string{
	"elastic", "kibana", "kibana_system", "logstash_system", "beats_system", "apm_system", "remote_monitoring_user",
}

// checkName checks that clients can run as a user. A comma is a character like others: Elasticsearch takes the whole
// value for one name.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("it has no name")
	case len(name) > longestName:
		return errors.New("the name has more than 507 characters, which no user of Elasticsearch has")
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }):
		return errors.New("the name has something else in it than printable ASCII, which no user of Elasticsearch has")
	case strings.Trim(name, " ") != name:
		return errors.New("the name begins or ends with a blank, which a header loses: it would be another user")
	case name[0] == '_':
		return errors.New("the name begins with _, as those of Elasticsearch's internal users do")
	case slices.Contains(reserved, name):
		return errors.New("it is a reserved user, which has rights over the cluster")
	}
	return nil
}
