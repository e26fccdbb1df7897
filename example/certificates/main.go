// Command certificates makes throwaway certificates and a shared secret for compose.yaml:
//
//	go run ./certificates [folder]
package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

const validFor = 30 * 24 * time.Hour

func main() {
	dir := "certs"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := write(dir); err != nil {
		fmt.Fprintln(os.Stderr, "certificates:", err)
		os.Exit(1)
	}
	fmt.Printf("wrote %s; the certificates are good for 30 days\n", dir)
}

// write makes the folder with the files for each container and for the clients.
func write(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return fmt.Errorf("%s is there already: remove it first", dir)
	}
	servers := pki.NewCAFor("Example servers CA", validFor)
	clients := pki.NewCAFor("Example clients CA", validFor)
	w := &writer{dir: dir}
	w.file("caddy/clients-ca.pem", clients.PEM())
	w.file("caddy/es-ca.pem", servers.PEM())
	w.pair("caddy/site", servers.Server("es.example.com"))
	w.pair("caddy/jwks", servers.Server("caddy"))
	w.file("elasticsearch/ca.pem", servers.PEM())
	w.pair("elasticsearch/http", servers.Server("elasticsearch", "es1.internal", "es2.internal", "localhost"))
	w.file("clients/ca.pem", servers.PEM())
	w.pair("clients/alice", clients.Client("alice", "analysts"))
	w.pair("clients/bob", clients.Client("bob", "operators"))
	w.file("es_client_auth", []byte(rand.Text()+"\n"))
	return errors.Join(w.errs...)
}

// writer writes files that everybody may read: containers run as other users, and the keys protect
// nothing.
type writer struct {
	dir  string
	errs []error
}

func (w *writer) file(name string, content []byte) {
	name = filepath.Join(w.dir, filepath.FromSlash(name))
	w.errs = append(w.errs, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, content, 0o644))
}

func (w *writer) pair(name string, p pki.Pair) {
	w.file(name+".pem", p.Cert)
	w.file(name+".key", p.Key)
}
