package conformance

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm"
)

// Realm is an [esrealm.Node] with the realms, users and roles of this package,
// and its own key server.
type Realm struct {
	World
	Node *esrealm.Node

	dir string
}

// NewRealm starts one that behaves like a version.
func NewRealm(version string, more ...esrealm.User) (_ *Realm, err error) {
	r := &Realm{}
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
	authorities := x509.NewCertPool()
	authorities.AddCert(r.Keys.Authority)
	r.Node, err = esrealm.New(esrealm.Config{
		Version:      version,
		ConfigDir:    r.dir,
		Realms:       Realms(r.Keys.URL, authorities),
		Users:        append(Users(), more...),
		Roles:        Roles(),
		RoleMappings: RoleMappings(),
	})
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(r.Node.Certificate())
	r.Target = Target{Address: r.Node.URL[len("https://"):], Authorities: trusted, Version: version}
	r.SetSecret = r.Node.SetSharedSecret
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
	if r.Node != nil {
		err = r.Node.Close()
	}
	if r.Keys != nil {
		r.Keys.Close()
	}
	if r.dir != "" {
		err = errors.Join(err, os.RemoveAll(r.dir))
	}
	return err
}
