package esjwt_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"
	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
)

// replica is one of several Caddys that share a storage, or what a restart makes of one. It has
// a handler and a JWKS, and no server around them.
type replica struct {
	t       testing.TB
	handler *esjwt.Handler
	jwks    *esjwt.JWKS
	logs    *logBuffer
	app     caddy.App
	alice   *http.Request

	registry *prometheus.Registry
}

// replicaConfig says what is special about a replica.
type replicaConfig struct {
	storage any               // JSON of a storage module
	keys    map[string]string // key sets by name; the default set signs with ES256 unless it is here
	jwks    string            // settings of the JWKS handler
	handler string            // settings of the handler, after the required ones
}

var replicas atomic.Int64

// newReplica makes a replica, which start and stop.
func newReplica(t testing.TB, c replicaConfig) *replica {
	t.Helper()
	r, err := tryReplica(t, c)
	require.NoError(t, err)
	return r
}

func tryReplica(t testing.TB, c replicaConfig) (*replica, error) {
	t.Helper()
	keys := map[string]json.RawMessage{"default": json.RawMessage(`{"source":"storage","algorithm":"ES256"}`)}
	for name, set := range c.keys {
		keys[name] = json.RawMessage(set)
	}
	marshal := func(v any) json.RawMessage {
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		return raw
	}
	if c.storage == nil {
		c.storage = newMemory().view(t).config()
	}
	r := &replica{t: t, logs: new(logBuffer)}
	name := fmt.Sprintf("replica %d", replicas.Add(1))
	logOutputs.Store(name, r.logs)

	ctx, err := caddy.ProvisionContext(&caddy.Config{
		Admin:      &caddy.AdminConfig{Disabled: true},
		StorageRaw: marshal(c.storage),
		AppsRaw:    caddy.ModuleMap{"elasticsearch_jwt": marshal(map[string]any{"keys": keys})},
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{
			WriterRaw: marshal(map[string]string{"output": "test", "name": name}),
			Level:     "DEBUG",
		}}}},
	})
	if err != nil {
		return nil, err
	}
	module, err := ctx.LoadModuleByID("http.handlers.elasticsearch_jwt", json.RawMessage(
		`{"issuer":"https://es.example.com","audience":["https://elasticsearch.example.com:9200"]`+c.handler+`}`))
	if err != nil {
		return nil, err
	}
	r.handler = module.(*esjwt.Handler)
	r.registry = ctx.GetMetricsRegistry()
	module, err = ctx.LoadModuleByID("http.handlers.elasticsearch_jwks", json.RawMessage(`{`+c.jwks+`}`))
	if err != nil {
		return nil, err
	}
	r.jwks = module.(*esjwt.JWKS)
	app, err := ctx.App("elasticsearch_jwt")
	if err != nil {
		return nil, err
	}
	r.app = app.(caddy.App)

	alice := newAuthority(t, "clients authority").issue(x509.Certificate{
		Subject:  pkix.Name{CommonName: "alice", Organization: []string{"analysts"}},
		NotAfter: time.Now().AddDate(20, 0, 0),
	}).Leaf
	r.alice = referenceRequest(alice, alice)
	return r, nil
}

// startReplica makes a replica that runs until the test ends.
func startReplica(t testing.TB, c replicaConfig) *replica {
	t.Helper()
	r := newReplica(t, c)
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *replica) start() { require.NoError(r.t, r.app.Start()) }
func (r *replica) stop()  { require.NoError(r.t, r.app.Stop()) }

// folder is a storage in a folder.
func folder(root string) map[string]string {
	return map[string]string{"module": "file_system", "root": root}
}

// authorization is what the upstream gets of a request of alice, or why she is refused.
func (r *replica) authorization() (string, error) {
	var authorization string
	err := r.handler.ServeHTTP(httptest.NewRecorder(), r.alice.Clone(context.Background()),
		caddyhttp.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) error {
			authorization = req.Header.Get("Authorization")
			return nil
		}))
	return authorization, err
}

// signs is the kid of the key that signs for alice now. Her token must be one that the keys of
// every replica given verify.
func (r *replica) signs(published ...*replica) string {
	r.t.Helper()
	authorization, err := r.authorization()
	require.NoError(r.t, err)
	jws, err := jose.ParseSignedCompact(strings.TrimPrefix(authorization, "Bearer "), []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
	})
	require.NoError(r.t, err)
	for _, p := range append(published, r) {
		set := p.published()
		_, err := jws.Verify(&set)
		require.NoError(r.t, err)
	}
	return jws.Signatures[0].Header.KeyID
}

// refusal is why a request of alice is refused: its status and reason.
func (r *replica) refusal() string {
	r.t.Helper()
	_, err := r.authorization()
	require.Error(r.t, err)
	handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err)
	require.True(r.t, ok, err)
	refusal, ok := errors.AsType[*esjwt.Refusal](err)
	require.True(r.t, ok, err)
	return fmt.Sprintf("%d %s", handlerErr.StatusCode, refusal.Reason)
}

// ask asks the JWKS handler for its path with header fields given as name, value, …
func (r *replica) ask(method, path string, header ...string) (*httptest.ResponseRecorder, error) {
	r.t.Helper()
	req := httptest.NewRequest(method, "https://"+site+path, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	err := r.jwks.ServeHTTP(rec, req, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusTeapot)
		return nil
	}))
	return rec, err
}

const jwksPath = "/.well-known/jwks.json"

// document is the JWKS as it is served now.
func (r *replica) document() string {
	r.t.Helper()
	rec, err := r.ask(http.MethodGet, jwksPath)
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusOK, rec.Code)
	return rec.Body.String()
}

func (r *replica) published() jose.JSONWebKeySet {
	r.t.Helper()
	var set jose.JSONWebKeySet
	require.NoError(r.t, json.Unmarshal([]byte(r.document()), &set))
	return set
}

// kids are the kids of the JWKS, in its order.
func (r *replica) kids() []string {
	r.t.Helper()
	var kids []string
	for _, k := range r.published().Keys {
		kids = append(kids, k.KeyID)
	}
	return kids
}

// unavailable checks that there is no JWKS, and returns the answer's header.
func (r *replica) unavailable() http.Header {
	r.t.Helper()
	rec, err := r.ask(http.MethodGet, jwksPath)
	handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err)
	require.True(r.t, ok, "%v", err)
	require.Equal(r.t, http.StatusServiceUnavailable, handlerErr.StatusCode)
	require.Empty(r.t, rec.Body.String())
	return rec.Header()
}

// eventually waits until something holds that happens in the background.
func eventually(t testing.TB, holds func() bool, what string) {
	t.Helper()
	require.Eventually(t, holds, 20*time.Second, 5*time.Millisecond, what)
}

// memory is what replicas share: a storage in memory.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	locks   map[string]bool
	stored  int // how many objects were stored
}

func newMemory() *memory {
	return &memory{objects: make(map[string][]byte), locks: make(map[string]bool)}
}

// keys are the names of the stored keys.
func (m *memory) keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.objects))
}

func (m *memory) read(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.objects[name])
}

func (m *memory) write(name string, object []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[name] = object
}

func (m *memory) remove(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
}

// view is how one replica sees the memory, and how that goes wrong.
type view struct {
	Name string // tells it from the others

	memory *memory

	mu         sync.Mutex
	failure    error         // of everything
	readOnly   error         // of what writes
	full       error         // of what is stored
	unreadable string        // an object that cannot be loaded
	stale      []string      // what List says instead
	brokenLock bool          // Lock always grants, at once
	hang       chan struct{} // everything waits for it, whatever its context says
}

// views are the views, or what else stands in for one, by name, for the storage module below.
var views sync.Map

// view returns a new view of the memory.
func (m *memory) view(t testing.TB) *view {
	v := &view{Name: fmt.Sprintf("%s, view %d", t.Name(), replicas.Add(1)), memory: m}
	views.Store(v.Name, v)
	return v
}

// config is the configuration of the view as a storage.
func (v *view) config() map[string]string {
	return map[string]string{"module": "test", "name": v.Name}
}

func (v *view) String() string { return "test " + v.Name }

// set changes how things go wrong.
func (v *view) set(change func(*view)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(v)
}

// trouble is what an operation meets.
func (v *view) trouble(ctx context.Context, writes bool) error {
	v.mu.Lock()
	failure, readOnly, hang := v.failure, v.readOnly, v.hang
	v.mu.Unlock()
	switch {
	case hang != nil:
		<-hang
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case failure != nil:
		return failure
	case writes:
		return readOnly
	default:
		return nil
	}
}

func (v *view) Lock(ctx context.Context, name string) error {
	for {
		if err := v.trouble(ctx, true); err != nil {
			return err
		}
		v.mu.Lock()
		broken := v.brokenLock
		v.mu.Unlock()
		v.memory.mu.Lock()
		taken := v.memory.locks[name]
		if !taken && !broken {
			v.memory.locks[name] = true
		}
		v.memory.mu.Unlock()
		if !taken || broken {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (v *view) Unlock(_ context.Context, name string) error {
	v.memory.mu.Lock()
	defer v.memory.mu.Unlock()
	delete(v.memory.locks, name)
	return nil
}

func (v *view) Store(ctx context.Context, key string, value []byte) error {
	if err := v.trouble(ctx, true); err != nil {
		return err
	}
	v.mu.Lock()
	full := v.full
	v.mu.Unlock()
	if full != nil {
		return full
	}
	v.memory.mu.Lock()
	defer v.memory.mu.Unlock()
	v.memory.objects[key] = slices.Clone(value)
	v.memory.stored++
	return nil
}

func (v *view) Load(ctx context.Context, key string) ([]byte, error) {
	if err := v.trouble(ctx, false); err != nil {
		return nil, err
	}
	v.mu.Lock()
	unreadable := v.unreadable
	v.mu.Unlock()
	if key == unreadable {
		return nil, fs.ErrPermission
	}
	v.memory.mu.Lock()
	defer v.memory.mu.Unlock()
	object, ok := v.memory.objects[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(object), nil
}

func (v *view) Delete(ctx context.Context, key string) error {
	if err := v.trouble(ctx, true); err != nil {
		return err
	}
	v.memory.mu.Lock()
	defer v.memory.mu.Unlock()
	delete(v.memory.objects, key)
	return nil
}

func (v *view) Exists(ctx context.Context, key string) bool {
	_, err := v.Load(ctx, key)
	return err == nil
}

func (v *view) List(ctx context.Context, prefix string, _ bool) ([]string, error) {
	if err := v.trouble(ctx, false); err != nil {
		return nil, err
	}
	v.mu.Lock()
	stale := v.stale
	v.mu.Unlock()
	names := stale
	if stale == nil {
		names = v.memory.keys()
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return path.Dir(name) != prefix })
	if len(names) == 0 {
		return nil, fs.ErrNotExist
	}
	return names, nil
}

func (v *view) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	object, err := v.Load(ctx, key)
	return certmagic.KeyInfo{Key: key, Size: int64(len(object)), IsTerminal: true}, err
}

// testStorage is a storage module for a view.
type testStorage struct {
	Name string `json:"name,omitempty"`
}

func init() { caddy.RegisterModule(testStorage{}) }

func (testStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.test", New: func() caddy.Module { return new(testStorage) }}
}

func (s testStorage) CertMagicStorage() (certmagic.Storage, error) {
	v, ok := views.Load(s.Name)
	if !ok {
		return nil, fmt.Errorf("no view %q", s.Name)
	}
	return v.(certmagic.Storage), nil
}
