package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

const (
	// siteName has a dot, since Java does not send a server name without one, and Caddy needs it.
	siteName = "es.example.com"
	issuer   = "https://es.example.com"
	audience = "https://elasticsearch.example.com:9200"
)

// quiet is a configuration that is loaded before the real one. Without it, Caddy would print on standard
// error where its log is.
const quiet = `{
	"admin": {"disabled": true, "config": {"persist": false}},
	"logging": {"logs": {"default": {"level": "ERROR"}}}
}`

//go:embed Caddyfile
var caddyfile string

// proxy is Caddy with the plugin, in this process, and the folder with all certificates.
type proxy struct {
	dir  string
	port int
	ca   *pki.CA
}

// writeCertificates makes one authority, and certificates for the site, for alice and for bob; and one for mallory, by
// another authority.
func (p *proxy) writeCertificates() error {
	p.ca = pki.NewCA("Quickstart CA")
	if err := os.WriteFile(filepath.Join(p.dir, "ca.pem"), p.ca.PEM(), 0o600); err != nil {
		return err
	}
	for name, pair := range map[string]pki.Pair{
		"site":    p.ca.Server(siteName),
		"alice":   p.ca.Client("alice", "analysts"),
		"bob":     p.ca.Client("bob", "operators"),
		"mallory": pki.NewCA("Another CA").Client("bob", "operators"),
	} {
		if err := pair.Write(p.dir, name); err != nil {
			return err
		}
	}
	return nil
}

// start runs Caddy in front of a node, and waits until Caddy serves the JWKS. A node does not start
// without the JWKS.
func (p *proxy) start(ctx context.Context, upstream string) error {
	values := strings.NewReplacer("{$DIR}", p.dir, "{$PORT}", fmt.Sprint(p.port), "{$ELASTICSEARCH}", upstream)
	text := values.Replace(caddyfile)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	// Caddy writes the identifier of its instance into this folder.
	if err := os.Setenv("XDG_DATA_HOME", p.dir); err != nil {
		return err
	}
	for _, c := range []string{quiet, string(config)} {
		if err := caddy.Load([]byte(c), true); err != nil {
			return fmt.Errorf("caddy: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	anybody := newClient(p, nil)
	for {
		status, _, err := anybody.get(ctx, jwksPath, nil)
		if err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the JWKS cannot be had, see %s", p.logFile()), err, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

const jwksPath = "/.well-known/jwks.json"

func (*proxy) stop() error { return caddy.Stop() }

func (p *proxy) url(path string) string {
	return fmt.Sprintf("https://%s:%d%s", siteName, p.port, path)
}

func (p *proxy) logFile() string { return filepath.Join(p.dir, "caddy.log") }
