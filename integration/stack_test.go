package integration

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/caddy"
	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/issuer"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/freeport"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// stack is an Elasticsearch node with a Caddy in front, both real and shared by
// all tests of a run. Beside the realm of Teleport's guide the node has what
// tests compare it with: a PKI realm, and a JWT realm for tokens that the plugin
// would not make.
type stack struct {
	front
	es    *realnode.Elasticsearch
	plain *issuer.Issuer
}

// The other realms of a stack's node, in their order.
const (
	plainRealm  = "jwt2"
	pkiRealm    = "pki1"
	plainIssuer = "https://plain.example.com"
)

// certificates is a folder with every certificate that a Caddyfile names.
var certificates = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "certificates-")
	if err != nil {
		return "", err
	}
	closeAtEnd(func() error { return os.RemoveAll(dir) })
	site := proxyCA().Server(proxyName)
	// A proxy should never have this one: a PKI realm trusts it.
	asClient := clientCA().Client("the-proxy")
	for name, data := range map[string][]byte{
		"site.crt":         site.Cert,
		"site.key":         site.Key,
		"clients-ca.crt":   clientCA().PEM(),
		"people-ca.crt":    peopleCA().PEM(),
		"es-ca.crt":        nodeCA().PEM(),
		"proxy-client.crt": asClient.Cert,
		"proxy-client.key": asClient.Key,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
})

// site is a Caddyfile's one site. What a test does not set is as in the smallest
// useful Caddyfile of the README, but that the TLS layer verifies certificates.
type site struct {
	port     int
	upstream string
	jwks     string // default: elasticsearch_jwks
	issuer   string
	audience string
	handler  string // more of elasticsearch_jwt
	clients  string // the authority of the clients; default: clients-ca.crt
	// transport is more of reverse_proxy's transport, which is delivery; default: elasticsearch_jwt.
	transport, delivery string
	proxy               string // more of reverse_proxy
	before, after       string // directives around the handler, in a route block
}

// globalOptions begin a Caddyfile of the suite.
const globalOptions = `{
	auto_https disable_redirects
	skip_install_trust
}
`

func (s site) caddyfile() (string, error) {
	block, err := s.block()
	return globalOptions + block, err
}

// block is the site alone, for a Caddyfile with several.
func (s site) block() (string, error) {
	dir, err := certificates()
	if err != nil {
		return "", err
	}
	or := func(value, otherwise string) string {
		if value == "" {
			return otherwise
		}
		return value
	}
	return fmt.Sprintf(`%[1]s:%[2]d {
	bind 127.0.0.1
	tls %[3]s/site.crt %[3]s/site.key {
		client_auth {
			mode verify_if_given
			trust_pool file %[3]s/%[10]s
		}
	}
	%[4]s
	route {
		%[13]s
		elasticsearch_jwt {
			issuer   %[5]s
			audience %[6]s
			%[9]s
		}
		%[14]s
		reverse_proxy %[7]s {
			transport %[11]s {
				tls_trust_pool file %[3]s/es-ca.crt
				%[8]s
			}
			%[12]s
		}
	}
}
`, proxyName, s.port, dir,
		or(s.jwks, "elasticsearch_jwks"), or(s.issuer, proxyIssuer), or(s.audience, nodeAudience), s.upstream, s.transport,
		s.handler, or(s.clients, "clients-ca.crt"), or(s.delivery, "elasticsearch_jwt"),
		s.proxy, s.before, s.after), nil
}

func (s site) start(t testing.TB, env ...string) *caddy.Caddy {
	t.Helper()
	caddyfile, err := s.caddyfile()
	require.NoError(t, err)
	return StartCaddy(t, caddyfile, env...)
}

// url is an address on the site, as clients and nodes write it.
func (s site) url(path string) string {
	return "https://" + net.JoinHostPort(proxyName, strconv.Itoa(s.port)) + path
}

// client talks to the site, with a certificate or without one.
func (s site) client(certificates ...tls.Certificate) *http.Client {
	return &http.Client{Transport: s.transportFor(certificates...)}
}

func (s site) transportFor(certificates ...tls.Certificate) *http.Transport {
	return &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: proxyCA().Pool(), Certificates: certificates},
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			address := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
}

// authenticate asks the node behind the site who the client is.
func (s site) authenticate(t testing.TB, client *http.Client) answer {
	t.Helper()
	return send(t, client, http.MethodGet, s.url("/_security/_authenticate"), "", nil)
}

// stacks are the stacks of this run, by version.
var stacks sync.Map

// elasticsearch returns the stack of a version, which the first test to ask for
// it starts. A test that fails shows what was logged meanwhile.
func elasticsearch(t testing.TB, version string) *stack {
	t.Helper()
	s := startedOnce(t, &stacks, version, newStack)
	s.showLogsOfAFailure(t)
	return s
}

func newStack(ctx context.Context, version string) (*stack, error) {
	proxyPort, err := freeport.Take()
	if err != nil {
		return nil, err
	}
	plainPort, err := freeport.Take()
	if err != nil {
		return nil, err
	}
	plain, err := issuer.New(plainIssuer, nodeAudience, proxyName, plainPort, proxyCA().Server(proxyName))
	if err != nil {
		return nil, err
	}
	s := &stack{plain: plain, front: front{site: site{port: proxyPort}}}
	config := nodeConfig(version, teleportRealmSettings(s.site.url(issuer.Path))+s.plainRealmSettings()+
		pkiRealmSettings(3)+movedRealmSettings(s.site.url(issuer.Path))+secretRealmSettings(s.site.url(issuer.Path)))
	config.Keystore = map[string]string{secretRealmKeystore: secretOfRealm}
	config.Files["role_mapping.yml"] = []byte(roleMappingFile)
	config.SecurityIndex = true // for API keys
	config.Optimize = flag.Lookup("test.bench").Value.String() != ""
	config.Users = []realnode.User{{Name: "runas-target", Password: "unused-password", Roles: []string{"cluster_watcher"}}}
	maps.Copy(config.RoleMappings, roleMappings(plainRealm))
	maps.Copy(config.RoleMappings, roleMappings(pkiRealm))

	// The order in which an operator starts them: a node asks for the JWKS before
	// it serves, and will not start without it.
	if s.es, err = realnode.NewElasticsearch(ctx, config); err != nil {
		return nil, err
	}
	closeAtEnd(s.es.Close)
	if err := plain.Serve(); err != nil {
		return nil, err
	}
	closeAtEnd(plain.Close)
	s.node = s.es.Node
	if err := s.startCaddy(ctx); err != nil {
		return nil, err
	}
	if err := s.es.Start(ctx); err != nil {
		return nil, err
	}
	return s, s.addSales(ctx)
}

func (s *stack) plainRealmSettings() string {
	return jwtRealmSettings(plainRealm, 2, s.plain.URL(), plainIssuer, "")
}
