package conformance

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// Realm is an [esrealm.Node] with the realms, users and roles of this package,
// and its own key server.
type Realm struct {
	World
	// Authority has issued the node's certificate.
	Authority *pki.CA

	node *esrealm.Node
	dir  string
}

// NewRealm starts a node that imitates a version.
func NewRealm(version string) (_ *Realm, err error) {
	r := &Realm{Authority: pki.NewCA("esrealm")}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if r.dir, err = os.MkdirTemp("", "esrealm-"); err != nil {
		return nil, err
	}
	if err := r.setKeySet(KeySet()); err != nil {
		return nil, err
	}
	if r.Keys, err = NewKeyServer(); err != nil {
		return nil, err
	}
	r.node, err = esrealm.NewHandler(esrealm.Config{
		Version:      version,
		ConfigDir:    r.dir,
		Realms:       Realms(r.Keys.URL, r.Keys.Authority.Pool()),
		Users:        Users(),
		Roles:        Roles(),
		RoleMappings: RoleMappings(),
	})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	certificate := r.Authority.Server("127.0.0.1").TLS
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if err := r.node.Serve(listener, config); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	r.Target = Target{Address: listener.Addr().String(), Authorities: r.Authority.Pool(), Version: version}
	r.SetSecret = r.node.SetSharedSecret
	r.SetKeySet = r.setKeySet
	return r, nil
}

func (r *Realm) setKeySet(document string) error {
	path := filepath.Join(r.dir, filepath.FromSlash(KeySetFile))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(document), 0o600)
}

// Close stops the node and its key server.
func (r *Realm) Close() error {
	var err error
	if r.node != nil {
		err = r.node.Close()
	}
	if r.Keys != nil {
		r.Keys.Close()
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}
