package esrealm

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Node imitates an Elasticsearch node. It is an [http.Handler], and [Node.Serve]
// serves it over TLS.
type Node struct {
	config   Config
	realms   []*realm
	users    map[string]fileUser
	roles    map[string]*role
	mappings []mapping
	routes   []route
	store    store

	server  *http.Server
	stopped sync.WaitGroup
}

// fileUser is a user of the file realm.
type fileUser struct {
	user     *user
	password string
}

// NewHandler makes a node. It fetches the JWK set of each realm. Like a real
// node, it fails if one of them is not available.
func NewHandler(config Config) (*Node, error) {
	setDefault(&config.Version, DefaultVersion)
	n := &Node{config: config, users: map[string]fileUser{}, store: store{indices: map[string]*index{}}}
	n.routes = n.allRoutes()
	var err error
	if n.roles, err = compileRoles(config.Roles); err != nil {
		return nil, err
	}
	if n.mappings, err = compileMappings(config.RoleMappings); err != nil {
		return nil, err
	}
	for _, u := range config.Users {
		fu := &user{name: u.Name, roles: u.Roles, metadata: map[string]any{}, realm: realmRef{"default_file", "file"}}
		n.users[u.Name] = fileUser{fu, u.Password}
	}
	for _, settings := range config.Realms {
		r, err := newRealm(settings, n)
		if err != nil {
			return nil, err
		}
		n.realms = append(n.realms, r)
	}
	return n, nil
}

// lenient reports whether the release is 8.x, which reads JSON leniently and
// accepts fewer values of typ than 9.
func (n *Node) lenient() bool { return strings.HasPrefix(n.config.Version, "8.") }

// Serve serves the node in the background until [Node.Close].
func (n *Node) Serve(listener net.Listener, config *tls.Config) error {
	if n.server != nil {
		return errors.New("the node is already being served")
	}
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"} // nodes do not speak HTTP/2
	n.server = &http.Server{Handler: n, ReadHeaderTimeout: time.Minute}
	n.stopped.Go(func() { _ = n.server.Serve(tls.NewListener(listener, config)) })
	return nil
}

// Close stops serving.
func (n *Node) Close() error {
	if n.server == nil {
		return nil
	}
	err := n.server.Close()
	n.stopped.Wait()
	return err
}

// SetSharedSecret changes a realm's client_authentication.shared_secret. The old
// secret works until the end of the grace period. On a real node, one changes the
// keystore and reloads the secure settings.
func (n *Node) SetSharedSecret(realm, secret string) error {
	for _, r := range n.realms {
		if r.Name == realm {
			r.setSharedSecret(secret)
			return nil
		}
	}
	return fmt.Errorf("there is no jwt realm %q", realm)
}
