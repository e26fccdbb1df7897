package esjwt_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/freeport"
)

// site is the name of the site that the tests' Caddy serves, and sitePort is its port there.
const site = "es.example.com"

// upstream is what stands in for Elasticsearch: it remembers what it was sent.
type upstream struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

func newUpstream(t testing.TB) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // trailers come after it
		u.mu.Lock()
		defer u.mu.Unlock()
		u.requests = append(u.requests, r)
		_, _ = io.WriteString(w, "hello")
	}))
	t.Cleanup(u.Close)
	return u
}

// take returns all requests, and forgets them.
func (u *upstream) take() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	requests := u.requests
	u.requests = nil
	return requests
}

// last returns the last request, and forgets all of them.
func (u *upstream) last(t testing.TB) *http.Request {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	require.NotEmpty(t, u.requests, "no request reached the upstream")
	r := u.requests[len(u.requests)-1]
	u.requests = nil
	return r
}

func (u *upstream) requireNone(t testing.TB) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	require.Empty(t, u.requests, "a request reached the upstream")
}

// proxy is a real Caddy with the module, in this process.
type proxy struct {
	t       testing.TB
	address string
	server  *authority
	logs    *logBuffer
	dir     string
	clients sync.Map // the transports of its clients
}

// logBuffer is a log output of Caddy that a test can read.
type logBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func (*logBuffer) Close() error { return nil }

// logOutputs are the test's log outputs by name, for the module below.
var logOutputs sync.Map

// testLog is a Caddy log writer into a logBuffer.
type testLog struct {
	Name string `json:"name,omitempty"`
}

func init() { caddy.RegisterModule(testLog{}) }

func (testLog) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.writers.test", New: func() caddy.Module { return new(testLog) }}
}
func (l testLog) String() string    { return "test " + l.Name }
func (l testLog) WriterKey() string { return "test " + l.Name }
func (l testLog) OpenWriter() (io.WriteCloser, error) {
	b, _ := logOutputs.Load(l.Name)
	return b.(*logBuffer), nil
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	port, err := freeport.Take()
	require.NoError(t, err)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// startProxy runs Caddy with a Caddyfile, in which {{site}} is the site's address, {{tls}} its
// certificate for the tls directive and {{storage}} a folder.
func startProxy(t testing.TB, caddyfile string, replacements ...string) *proxy {
	t.Helper()
	p := &proxy{t: t, server: newAuthority(t, "server authority"), logs: &logBuffer{}, dir: folderOfCaddy(t)}
	t.Cleanup(func() { require.NoError(t, caddy.Stop()) })
	p.load(caddyfile, replacements...)
	return p
}

// folderOfCaddy is a folder for the time of a test, for a Caddy's storage. Caddy tidies that up when it
// starts, and does not wait for it when it stops: it can write there after the test.
func folderOfCaddy(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "caddy-") //nolint:usetesting // whose folder must be empty in the end, at once
	require.NoError(t, err)
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, 30*time.Second, 10*time.Millisecond)
	})
	return dir
}

// load runs another configuration in the place of the one that runs, on an address of its own:
// for a moment after caddy.Load returns, a listener that both share may still hand a connection
// to the one before, or drop it.
func (p *proxy) load(caddyfile string, replacements ...string) {
	p.t.Helper()
	p.address = freeAddress(p.t)
	p.reload(caddyfile, replacements...)
	p.clients.Range(func(transport, _ any) bool {
		transport.(*http.Transport).CloseIdleConnections()
		return true
	})
}

// reload is load on the address that is served already, as an operator does it.
func (p *proxy) reload(caddyfile string, replacements ...string) {
	p.t.Helper()
	require.NoError(p.t, p.tryReload(caddyfile, replacements...))
}

// tryReload is reload with a configuration that may be wrong.
func (p *proxy) tryReload(caddyfile string, replacements ...string) error {
	p.t.Helper()
	logOutputs.Store(p.dir, p.logs) // the folder is another one in each run of a test
	_, port, err := net.SplitHostPort(p.address)
	require.NoError(p.t, err)
	certFile, keyFile := p.server.server(site, "other.example.com", "127.0.0.1", "localhost")
	replacements = append(replacements,
		"{{site}}", "https://"+site+":"+port,
		"{{port}}", port,
		"{{tls}}", certFile+" "+keyFile,
		"{{storage}}", filepath.Join(p.dir, "storage"),
	)
	config, err := tryAdapt(strings.NewReplacer(replacements...).Replace(caddyfile))
	if err != nil {
		return err
	}

	var parsed map[string]any
	require.NoError(p.t, json.Unmarshal(config, &parsed))
	parsed["logging"] = map[string]any{"logs": map[string]any{"default": map[string]any{
		"writer": map[string]any{"output": "test", "name": p.dir}, "level": "DEBUG",
		"encoder": map[string]any{"format": "json"},
		// At DEBUG each handshake is an event, which copies the TLS app as its Start left it. Over UDP the
		// race detector sees no order between the two: it knows of none between who sends and who receives.
		"exclude": []string{"events"},
	}}}
	admin, _ := parsed["admin"].(map[string]any)
	if admin == nil {
		admin = map[string]any{}
	}
	admin["config"] = map[string]any{"persist": false}
	parsed["admin"] = admin
	config, err = json.Marshal(parsed)
	require.NoError(p.t, err)
	return caddy.Load(config, true)
}

// adapt turns a Caddyfile into JSON.
func adapt(t testing.TB, caddyfile string) []byte {
	t.Helper()
	config, err := tryAdapt(caddyfile)
	require.NoError(t, err)
	return config
}

func tryAdapt(caddyfile string) ([]byte, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	return config, err
}

// httpClient returns an HTTP client that reaches the proxy as a site, with a certificate if
// one is given.
func (p *proxy) httpClient(certs ...tls.Certificate) *http.Client {
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{
			RootCAs:              p.server.pool(),
			GetClientCertificate: present(certs),
		},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.address)
		},
	}
	p.t.Cleanup(transport.CloseIdleConnections)
	p.clients.Store(transport, true)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// present presents a certificate whatever authorities the server names.
func present(certs []tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if len(certs) == 0 {
			return new(tls.Certificate), nil
		}
		return &certs[0], nil
	}
}

// answer is a response as far as tests look at it.
type answer struct {
	*http.Response
	body string
}

// get asks for a path of the site, with header fields given as name, value, …
func (p *proxy) get(client *http.Client, path string, header ...string) answer {
	p.t.Helper()
	a, err := p.try(client, path, header...)
	require.NoError(p.t, err)
	return a
}

func (p *proxy) try(client *http.Client, path string, header ...string) (answer, error) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "https://"+site+path, nil)
	require.NoError(p.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header[header[i]] = append(req.Header[header[i]], header[i+1])
	}
	return p.do(client, req)
}

func (*proxy) do(client *http.Client, req *http.Request) (answer, error) {
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res, string(body)}, err
}

// jwks reads the site's JWKS.
func (p *proxy) jwks() jose.JSONWebKeySet {
	p.t.Helper()
	a := p.get(p.httpClient(), "/.well-known/jwks.json")
	require.Equal(p.t, http.StatusOK, a.StatusCode, a.body)
	var set jose.JSONWebKeySet
	require.NoError(p.t, json.Unmarshal([]byte(a.body), &set))
	return set
}

// verified is a token that the site's own JWKS verifies.
type verified struct {
	header jose.Header
	claims map[string]any
	raw    string
}

// token reads the token of a request that the upstream got: exactly one, and verified.
func (p *proxy) token(r *http.Request) verified {
	p.t.Helper()
	values := r.Header.Values("Authorization")
	require.Len(p.t, values, 1)
	raw, ok := strings.CutPrefix(values[0], "Bearer ")
	require.True(p.t, ok, values[0])
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
	})
	require.NoError(p.t, err)
	set := p.jwks()
	payload, err := jws.Verify(&set)
	require.NoError(p.t, err)
	v := verified{header: jws.Signatures[0].Header, raw: raw}
	require.NoError(p.t, json.Unmarshal(payload, &v.claims))
	return v
}

// who is what the upstream was told of a client: its sub and roles.
func (v verified) who() string { return fmt.Sprintf("%v %v", v.claims["sub"], v.claims["roles"]) }

// minimal is a site as small as it can be, with its upstream and the clients' authority to fill
// in.
const minimal = `{
	admin off
	storage file_system {{storage}}
	auto_https disable_redirects
}
{{site}} {
	tls {{tls}} {
		client_auth {
			mode verify_if_given
			trust_pool file {{clients}}
		}
	}
	elasticsearch_jwks
	elasticsearch_jwt {
		issuer   https://es.example.com
		audience https://elasticsearch.example.com:9200
		{{settings}}
	}
	reverse_proxy {{upstream}}
}
`

// ecSite is the minimal site with keys that are quick to make.
var ecSite = withKeys("default storage {\n\t\t\talgorithm ES256\n\t\t}")

// withKeys is the minimal site with key sets, as the Caddyfile's option has them.
func withKeys(sets ...string) string {
	return strings.NewReplacer(
		"	auto_https disable_redirects\n", "	auto_https disable_redirects\n	elasticsearch_jwt {\n		keys "+
			strings.Join(sets, "\n		keys ")+"\n	}\n",
		"		{{settings}}\n", "",
	).Replace(minimal)
}

// scene is the usual setting of a test: clients' authority, upstream, proxy.
type scene struct {
	*proxy
	clients  *authority
	upstream *upstream
}

// newScene starts a proxy with the minimal Caddyfile and the settings given for the handler.
func newScene(t testing.TB, settings string) *scene {
	t.Helper()
	return newSceneOf(t, minimal, "{{settings}}", settings)
}

func newSceneOf(t testing.TB, caddyfile string, replacements ...string) *scene {
	t.Helper()
	s := &scene{clients: newAuthority(t, "clients authority"), upstream: newUpstream(t)}
	s.proxy = startProxy(t, caddyfile, s.replacements(replacements...)...)
	return s
}

func (s *scene) replacements(more ...string) []string {
	u, _ := url.Parse(s.upstream.URL)
	return append(more, "{{clients}}", s.clients.file(), "{{upstream}}", u.Host) // the first one counts
}

// unverifiedClaims reads the claims of an Authorization header.
func unverifiedClaims(authorization string) map[string]any {
	parts := strings.Split(strings.TrimPrefix(authorization, "Bearer "), ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var claims map[string]any
	if json.Unmarshal(payload, &claims) != nil {
		return nil
	}
	return claims
}

func asRefusal(err error) (*esjwt.Refusal, bool) { return errors.AsType[*esjwt.Refusal](err) }

// newHandler provisions a handler, and starts its app, without a server around it.
func newHandler(t testing.TB, config, keys string) *esjwt.Handler {
	t.Helper()
	h, _ := newHandlerIn(t, newMemory().view(t).config(), config, keys)
	return h
}

// newHandlerOn is newHandler on a storage that others may share. It also returns the
// configuration's registry of metrics.
func newHandlerOn(t testing.TB, root, config, keys string) (*esjwt.Handler, *prometheus.Registry) {
	t.Helper()
	return newHandlerIn(t, folder(root), config, keys)
}

func newHandlerIn(t testing.TB, in any, config, keys string) (*esjwt.Handler, *prometheus.Registry) {
	t.Helper()
	storage, err := json.Marshal(in)
	require.NoError(t, err)
	apps := caddy.ModuleMap{}
	if keys != "" {
		apps["elasticsearch_jwt"] = json.RawMessage(`{"keys":{"default":` + keys + `}}`)
	}
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		Admin:      &caddy.AdminConfig{Disabled: true},
		StorageRaw: storage,
		AppsRaw:    apps,
		Logging:    &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "ERROR"}}}},
	})
	require.NoError(t, err)
	module, err := ctx.LoadModuleByID("http.handlers.elasticsearch_jwt", json.RawMessage(config))
	require.NoError(t, err)
	app, err := ctx.App("elasticsearch_jwt")
	require.NoError(t, err)
	require.NoError(t, app.(caddy.App).Start())
	t.Cleanup(func() { require.NoError(t, app.(caddy.App).Stop()) })
	return module.(*esjwt.Handler), ctx.GetMetricsRegistry()
}

const benchConfig = `{"issuer":"https://es.example.com","audience":["https://elasticsearch.example.com:9200"]}`

// referenceRequest is a request with eight headers, none of them protected, over a connection
// that the TLS layer has verified.
func referenceRequest(leaf *x509.Certificate, ca *x509.Certificate) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://"+site+"/logs/_search", nil)
	r.Host = site
	r.Header = http.Header{
		"Accept":          {"application/vnd.elasticsearch+json;compatible-with=8"},
		"Accept-Encoding": {"gzip"},
		"Content-Length":  {"311"},
		"Content-Type":    {"application/vnd.elasticsearch+json;compatible-with=8"},
		"User-Agent":      {"elastic-transport-go/8.8"},
		"X-Elastic-Client-Meta": {
			"es=8.19,go=1.26,t=8.8,hc=1.26",
		},
		"X-Opaque-Id": {"8e1c1a7e"},
		"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	}
	r.TLS = &tls.ConnectionState{
		HandshakeComplete: true,
		ServerName:        site,
		PeerCertificates:  []*x509.Certificate{leaf},
		VerifiedChains:    [][]*x509.Certificate{{leaf, ca}},
	}
	return r
}

// inCaddy adds to a request's context what Caddy's server does: with it, the handler sets the
// user id and log fields.
func inCaddy(r *http.Request) (*http.Request, *caddyhttp.ExtraLogFields) {
	fields := new(caddyhttp.ExtraLogFields)
	ctx := context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer())
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{})
	ctx = context.WithValue(ctx, caddyhttp.ExtraLogFieldsCtxKey, fields)
	return r.WithContext(ctx), fields
}

var nothing = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })

// configured makes a handler with the required settings and more, given as JSON members.
func configured(t testing.TB, settings string) *esjwt.Handler {
	t.Helper()
	return newHandler(t, `{"issuer":"i","audience":["a"]`+settings+`}`, es256)
}

const es256 = `{"source":"storage","algorithm":"ES256"}`

// tokenOf is the Authorization header that a handler gives a request.
func tokenOf(t testing.TB, h *esjwt.Handler, r *http.Request) string {
	t.Helper()
	var authorization string
	err := h.ServeHTTP(httptest.NewRecorder(), r,
		caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			authorization = r.Header.Get("Authorization")
			return nil
		}))
	require.NoError(t, err)
	return authorization
}

// identityOf is who a handler makes of a request: what its token says, or the reason of a
// refusal.
func identityOf(h *esjwt.Handler, r *http.Request) string {
	var who string
	err := h.ServeHTTP(httptest.NewRecorder(), r,
		caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			claims := unverifiedClaims(r.Header.Get("Authorization"))
			who = fmt.Sprintf("%v %v", claims["sub"], claims["roles"])
			return nil
		}))
	if refusal, ok := asRefusal(err); ok {
		return "refused: " + refusal.Reason
	}
	if err != nil {
		return err.Error()
	}
	return who
}

// ownPool is a site whose TLS layer asks for a certificate and verifies none, so that every
// client gets an HTTP answer; the handler verifies by itself. The answer to a refusal shows
// its reason.
const ownPool = `{
	admin off
	storage file_system {{storage}}
	auto_https disable_redirects
}
{{site}} {
	tls {{tls}} {
		client_auth {
			mode request
		}
	}
	elasticsearch_jwks
	elasticsearch_jwt {
		issuer   https://es.example.com
		audience https://elasticsearch.example.com:9200
		trust_pool file {{clients}}
		{{settings}}
	}
	reverse_proxy {{upstream}}
	handle_errors {
		respond "{http.elasticsearch_jwt.reason}"
	}
}
`

// seen is who a client is for the upstream, or the reason for which it is nobody.
func (s *scene) seen(client *http.Client, path string) string {
	s.t.Helper()
	a, err := s.try(client, path)
	for range 2 { // Caddy drops connections whose handshake is under way when it reloads
		if err != nil {
			a, err = s.try(client, path)
		}
	}
	switch {
	case err != nil:
		s.upstream.requireNone(s.t)
		return "no handshake"
	case a.StatusCode != http.StatusOK:
		s.upstream.requireNone(s.t)
		return a.body
	}
	claims := unverifiedClaims(s.upstream.last(s.t).Header.Get("Authorization"))
	return fmt.Sprintf("%v %v", claims["sub"], claims["roles"])
}

// sends is seen for a certificate on a connection of its own.
func (s *scene) sends(cert tls.Certificate) string {
	s.t.Helper()
	return s.seen(s.httpClient(cert), "/")
}

func readBody(t testing.TB, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(body)
}
