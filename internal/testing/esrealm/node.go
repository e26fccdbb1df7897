package esrealm

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Node is an Elasticsearch node as far as this package goes. It is an
// [http.Handler]; [New] also serves it over TLS.
type Node struct {
	// URL is where the node is served, such as https://127.0.0.1:41234. It is
	// empty for a node of [NewHandler].
	URL string

	config  Config
	version version
	realms  []*realm
	users   map[string]fileUser
	roles   map[string]*role
	routes  []route

	mappings atomic.Pointer[mappings]
	changing sync.Mutex // held by what changes the mappings one by one
	store    *store
	record   recorder

	certificate *x509.Certificate
	server      *http.Server
	stopped     sync.WaitGroup
}

// fileUser is a user of the file realm.
type fileUser struct {
	user     *user
	password string
}

// NewHandler makes a node that is not served. It fetches the JWK set of each
// realm, and fails where one cannot be had, as a node does not start then.
func NewHandler(config Config) (*Node, error) {
	setDefault(&config.Version, DefaultVersion)
	setDefault(&config.ClusterName, "esrealm")
	setDefault(&config.FileRealm, "default_file")
	setDefault(&config.RecordLimit, 1000)
	if config.Now == nil {
		config.Now = time.Now
	}
	n := &Node{config: config, users: map[string]fileUser{}, store: newStore(), record: recorder{limit: config.RecordLimit}}
	n.routes = n.allRoutes()
	var err error
	if n.version, err = parseVersion(config.Version); err != nil {
		return nil, err
	}
	if n.roles, err = compileRoles(config.Roles); err != nil {
		return nil, err
	}
	if err := n.SetRoleMappings(config.RoleMappings); err != nil {
		return nil, err
	}
	for _, u := range config.Users {
		n.addUser(u)
	}
	names := map[string]bool{config.FileRealm: true}
	for _, settings := range config.Realms {
		if names[settings.Name] {
			return nil, fmt.Errorf("there are two realms with the name %q", settings.Name)
		}
		names[settings.Name] = true
		r, err := newRealm(settings, n)
		if err != nil {
			return nil, err
		}
		n.realms = append(n.realms, r)
	}
	return n, nil
}

func (n *Node) addUser(u User) {
	fu := &user{name: u.Name, roles: u.Roles, metadata: u.Metadata, realm: realmRef{n.config.FileRealm, "file"}}
	if u.FullName != "" {
		fu.fullName = &u.FullName
	}
	if u.Email != "" {
		fu.email = &u.Email
	}
	n.users[u.Name] = fileUser{fu, u.Password}
}

// New makes a node and serves it over TLS on a free port of the loopback
// interface, with a certificate of its own for localhost and 127.0.0.1.
func New(config Config) (*Node, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n, err := NewHandler(config)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if err := n.Serve(listener, nil); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return n, nil
}

// Serve serves the node over TLS in the background until [Node.Close]. Without
// a configuration it makes a certificate for localhost and 127.0.0.1.
func (n *Node) Serve(listener net.Listener, config *tls.Config) error {
	if n.server != nil {
		return errors.New("the node is already being served")
	}
	if config == nil {
		cert, err := selfSigned()
		if err != nil {
			return err
		}
		config = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
		n.certificate = cert.Leaf
	}
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"} // a node speaks nothing newer
	n.URL = "https://" + listener.Addr().String()
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

// Certificate is the certificate that the node made for itself, or nil.
func (n *Node) Certificate() *x509.Certificate { return n.certificate }

// Client returns a client that trusts the node's own certificate.
func (n *Node) Client() *http.Client {
	roots := x509.NewCertPool()
	if n.certificate != nil {
		roots.AddCert(n.certificate)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

// realm finds a JWT realm by its name.
func (n *Node) realm(name string) (*realm, error) {
	for _, r := range n.realms {
		if r.Name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("there is no jwt realm %q", name)
}

// SetSharedSecret changes a realm's client_authentication.shared_secret, as a
// changed keystore and a reload of the secure settings do. The secret before it
// works until the grace period is over.
func (n *Node) SetSharedSecret(realm, secret string) error {
	r, err := n.realm(realm)
	if err != nil {
		return err
	}
	r.setSharedSecret(secret)
	return nil
}

// ReloadJWKSet makes a realm fetch its JWK set now, which otherwise only a
// signature that does not verify does.
func (n *Node) ReloadJWKSet(ctx context.Context, realm string) error {
	r, err := n.realm(realm)
	if err != nil {
		return err
	}
	if r.pkc == nil {
		return fmt.Errorf("the jwt realm %q has no pkc_jwkset_path", realm)
	}
	return r.pkc.reload(ctx)
}

// CacheHits is how often a realm's JWT cache had the answer.
func (n *Node) CacheHits(realm string) (uint64, error) {
	r, err := n.realm(realm)
	if err != nil {
		return 0, err
	}
	return r.cache.hitCount(), nil
}
