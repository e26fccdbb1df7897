// Package example_test keeps the examples true: each Caddyfile is adapted, validated and run, with
// throwaway certificates and other ports but otherwise as it is.
package example_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/stretchr/testify/require"

	_ "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/freeport"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

const (
	siteName = "es.example.com"
	issuer   = "https://es.example.com"
	audience = "https://elasticsearch.example.com:9200"
	secret   = "a-shared-secret-of-the-test"
)

// adapt turns a Caddyfile into JSON, and takes no warning for an answer.
func adapt(t *testing.T, name, caddyfile string) []byte {
	t.Helper()
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": name})
	require.NoError(t, err, name)
	require.Empty(t, warnings, name)
	return config
}

// scene is a folder with every file that the examples name, and an Elasticsearch.
type scene struct {
	dir       string
	storage   string
	servers   *pki.CA
	clients   *pki.CA
	upstream  net.Listener
	node      *esrealm.Node
	sitePort  int
	jwksPort  int
	statsPort int
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{dir: t.TempDir(), sitePort: freePort(t), jwksPort: freePort(t), statsPort: freePort(t)}
	for _, name := range []string{"HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, filepath.Join(s.dir, "home"))
	}
	s.storage = filepath.Join(s.dir, "storage")
	s.servers, s.clients = pki.NewCA("servers"), pki.NewCA("clients")
	s.write(t, "clients-ca.pem", s.clients.PEM())
	s.write(t, "es-ca.pem", s.servers.PEM())
	s.write(t, "es_client_auth", []byte(secret+"\n"))
	for name, host := range map[string]string{"site": siteName, "jwks": "127.0.0.1"} {
		require.NoError(t, s.servers.Server(host).Write(s.dir, name))
	}
	var err error
	s.upstream, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.upstream.Close() })
	return s
}

func (s *scene) write(t *testing.T, name string, content []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, name), content, 0o600))
}

// config is an example's configuration for this machine: its files are in the scene's folder, its
// nodes are the scene's Elasticsearch.
func (s *scene) config(t *testing.T, name string) map[string]any {
	t.Helper()
	caddyfile, err := os.ReadFile(name)
	require.NoError(t, err)
	text := strings.NewReplacer(
		"/etc/caddy/certs", s.dir,
		"/run/secrets", s.dir,
		"es1.internal:9200", s.upstream.Addr().String(),
		"es2.internal:9200", s.upstream.Addr().String(),
	).Replace(string(caddyfile))
	var config map[string]any
	require.NoError(t, json.Unmarshal(adapt(t, name, text), &config))
	return config
}

// run runs an example on other ports, with its log in a file.
func (s *scene) run(t *testing.T, name string) {
	t.Helper()
	config := s.config(t, name)
	ports := map[string]int{":443": s.sitePort, ":8444": s.jwksPort, ":9180": s.statsPort}
	app := config["apps"].(map[string]any)["http"].(map[string]any)
	for _, server := range app["servers"].(map[string]any) {
		listen := server.(map[string]any)["listen"].([]any)
		for i, address := range listen {
			require.Contains(t, ports, address)
			listen[i] = fmt.Sprintf("127.0.0.1:%d", ports[address.(string)])
		}
	}
	app["http_port"] = freePort(t) // for redirects
	config["admin"] = map[string]any{"disabled": true, "config": map[string]any{"persist": false}}
	config["storage"] = map[string]any{"module": "file_system", "root": s.storage}
	config["logging"] = map[string]any{"logs": map[string]any{"default": map[string]any{
		"level":  "DEBUG",
		"writer": map[string]any{"output": "file", "filename": s.logFile()},
	}}}
	encoded, err := json.Marshal(config)
	require.NoError(t, err)
	require.NoError(t, caddy.Load(encoded, true))
	t.Cleanup(func() { require.NoError(t, caddy.Stop()) })
}

func (s *scene) logFile() string { return filepath.Join(s.dir, "caddy.log") }

// elasticsearch starts the node that the example's elasticsearch.yml describes.
func (s *scene) elasticsearch(t *testing.T, jwks string) {
	t.Helper()
	var err error
	s.node, err = esrealm.NewHandler(esrealm.Config{
		ConfigDir: s.dir,
		Logf:      t.Logf,
		Realms: []esrealm.Realm{{
			Name:                 "jwt1",
			AllowedIssuer:        issuer,
			AllowedAudiences:     []string{audience},
			PKCJWKSetPath:        jwks,
			SSL:                  esrealm.SSL{CertificateAuthorities: s.servers.Pool()},
			Claims:               esrealm.Claims{Principal: "sub", Groups: "roles"},
			ClientAuthentication: esrealm.ClientAuthentication{SharedSecret: secret},
		}},
	})
	require.NoError(t, err)
	certificates := []tls.Certificate{s.servers.Server("127.0.0.1").TLS}
	require.NoError(t, s.node.Serve(s.upstream, &tls.Config{Certificates: certificates, MinVersion: tls.VersionTLS12}))
	t.Cleanup(func() { _ = s.node.Close() })
}

// client reaches the site by its name, with a certificate for a user if one is given.
func (s *scene) client(t *testing.T, user ...string) *http.Client {
	t.Helper()
	config := &tls.Config{RootCAs: s.servers.Pool(), MinVersion: tls.VersionTLS12}
	if len(user) > 0 {
		config.Certificates = []tls.Certificate{s.clients.Client(user[0], user[1:]...).TLS}
	}
	transport := &http.Transport{
		TLSClientConfig: config,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, siteName+":") {
				address = fmt.Sprintf("127.0.0.1:%d", s.sitePort)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// get returns the status and the body of an answer.
func get(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(body)
}

// jwks waits for the keys, which are made when Caddy starts.
func jwks(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	var body string
	require.Eventually(t, func() bool {
		var res *http.Response
		res, body = get(t, client, url)
		return res.StatusCode == http.StatusOK
	}, time.Minute, 20*time.Millisecond)
	return body
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := freeport.Take()
	require.NoError(t, err)
	return port
}

func caddyfiles(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("Caddyfile*")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	return names
}

func TestCaddyfilesAreValid(t *testing.T) {
	for _, name := range caddyfiles(t) {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			encoded, err := json.Marshal(s.config(t, name))
			require.NoError(t, err)
			require.NotContains(t, string(encoded), secret)
			var config caddy.Config
			require.NoError(t, json.Unmarshal(encoded, &config))
			require.NoError(t, caddy.Validate(&config))
			require.NoDirExists(t, filepath.Join(s.dir, "home"), "validating writes nothing")
		})
	}
}

// esError is an error as Elasticsearch's clients read it.
type esError struct {
	Error struct {
		RootCause    []struct{ Type, Reason string } `json:"root_cause"`
		Type, Reason string
	}
	Status int
}

func requireError(t *testing.T, res *http.Response, body string) esError {
	t.Helper()
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	var e esError
	require.NoError(t, json.Unmarshal([]byte(body), &e), body)
	require.Equal(t, res.StatusCode, e.Status)
	require.Len(t, e.Error.RootCause, 1)
	require.Equal(t, e.Error.Reason, e.Error.RootCause[0].Reason)
	return e
}

func TestProductionCaddyfile(t *testing.T) {
	s := newScene(t)
	s.run(t, "Caddyfile")
	site := "https://" + siteName
	alice, nobody := s.client(t, "alice", "analysts"), s.client(t)

	s.write(t, "jwks.json", []byte(jwks(t, nobody, site+"/.well-known/jwks.json")))
	s.elasticsearch(t, "jwks.json")

	res, body := get(t, alice, site+"/_security/_authenticate")
	require.Equal(t, http.StatusOK, res.StatusCode, body)
	require.Contains(t, body, `"username":"alice"`)

	res, body = get(t, nobody, site+"/_security/_authenticate")
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	refused := requireError(t, res, body)
	require.Equal(t, "security_exception", refused.Error.Type)
	require.Contains(t, refused.Error.Reason, "no_certificate: ")

	mallory := s.client(t)
	mallory.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{
		pki.NewCA("strangers").Client("alice", "analysts").TLS,
	}
	res, body = get(t, mallory, site+"/_security/_authenticate")
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	require.Contains(t, requireError(t, res, body).Error.Reason, "unverified: ")

	require.NoError(t, s.node.Close())
	res, body = get(t, alice, site+"/_security/_authenticate")
	require.Equal(t, http.StatusBadGateway, res.StatusCode, body)
	broken := requireError(t, res, body)
	require.Equal(t, "proxy_exception", broken.Error.Type)
	require.NotContains(t, body, s.upstream.Addr().String(), "nobody outside needs to know the nodes")

	_, metrics := get(t, nobody, fmt.Sprintf("http://127.0.0.1:%d/metrics", s.statsPort))
	require.Regexp(t, `caddy_elasticsearch_jwt_requests_total\{reason="no_certificate",result="refused"\} [1-9]`, metrics)
	require.Regexp(t, `caddy_elasticsearch_jwt_requests_total\{reason="",result="authenticated"\} [1-9]`, metrics)

	log, err := os.ReadFile(s.logFile())
	require.NoError(t, err)
	require.Regexp(t, `"logger":"http.log.access".*"user_id":"alice".*"elasticsearch_jwt":\{"kid":"[^"]+",`+
		`"certificate_serial":"[0-9a-f]+","certificate_not_after":"[^"]+Z"\}`, string(log))
	require.Regexp(t, `"logger":"http.log.access".*"elasticsearch_jwt":\{"reason":"no_certificate"\}`, string(log))
	require.Regexp(t, `"msg":"token signed","user":"alice"`, string(log))
	require.NotContains(t, string(log), secret)
	require.NotRegexp(t, `eyJ[A-Za-z0-9_-]+\.`, string(log), "nor is a token in the log")
}

func TestProductionCaddyfileKeepsItsTroubleWithTheStorageToItself(t *testing.T) {
	s := newScene(t)
	s.storage = filepath.Join(s.dir, "es-ca.pem") // which is no folder
	s.run(t, "Caddyfile")
	for _, path := range []string{"/_security/_authenticate", "/.well-known/jwks.json"} {
		res, body := get(t, s.client(t, "alice", "analysts"), "https://"+siteName+path)
		require.Equal(t, http.StatusServiceUnavailable, res.StatusCode, body)
		requireError(t, res, body)
		require.NotContains(t, body, s.dir)
	}
}

func TestCaddyfileWithTheJWKSOnASiteOfItsOwn(t *testing.T) {
	s := newScene(t)
	s.run(t, "Caddyfile.jwks-site")
	site, keys := "https://"+siteName, fmt.Sprintf("https://127.0.0.1:%d", s.jwksPort)
	nobody := s.client(t)

	jwks(t, nobody, keys+"/.well-known/jwks.json")
	s.elasticsearch(t, keys+"/.well-known/jwks.json") // by an address, so without a server name

	res, body := get(t, s.client(t, "alice", "analysts"), site+"/_security/_authenticate")
	require.Equal(t, http.StatusOK, res.StatusCode, body)
	require.Contains(t, body, `"username":"alice"`)

	res, _ = get(t, nobody, site+"/.well-known/jwks.json")
	require.Equal(t, http.StatusUnauthorized, res.StatusCode, "this site has no keys, and wants a certificate")

	res, _ = get(t, nobody, keys+"/_security/_authenticate")
	require.Equal(t, http.StatusNotFound, res.StatusCode, "the other site has the keys and nothing else")
}
