package esjwt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/certmagic"
	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"

	_ "github.com/edgejwt/caddy-elasticsearch-jwt/credentials/apikey" // each kind of credential is a Caddy module
	_ "github.com/edgejwt/caddy-elasticsearch-jwt/credentials/delegatepki"
	_ "github.com/edgejwt/caddy-elasticsearch-jwt/credentials/proxyheaders"
	_ "github.com/edgejwt/caddy-elasticsearch-jwt/credentials/runas"
	_ "github.com/edgejwt/caddy-elasticsearch-jwt/credentials/static"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/signer"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/site"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
	_ "github.com/edgejwt/caddy-elasticsearch-jwt/keys/file" // each key source is a Caddy module
	_ "github.com/edgejwt/caddy-elasticsearch-jwt/keys/kms"
	_ "github.com/edgejwt/caddy-elasticsearch-jwt/keys/secret"
	_ "github.com/edgejwt/caddy-elasticsearch-jwt/keys/storage"
)

func init() {
	caddy.RegisterModule(new(App))
}

// defaultKeySet is the name of the key set that handlers use if they name none.
const defaultKeySet = "default"

// App owns the key sets. The elasticsearch_jwt handlers sign with them, and the elasticsearch_jwks handlers publish
// them.
type App struct {
	// The key sets, by name. A name has at most 64 lowercase letters, digits, hyphens and
	// underscores, and begins with a letter or a digit. Each set has a source, such as `storage`.
	// A handler that names no set uses the set "default". If that is not configured, its source
	// is `storage` with the defaults of that source.
	KeysRaw map[string]json.RawMessage `json:"keys,omitempty" caddy:"namespace=elasticsearch_jwt.keys inline_key=source"`

	// How many tokens are remembered for each key set, and how many certificates for each handler.
	// There is one token for each client. A token that is not remembered must be signed again. It
	// must be positive. Default: 100000.
	CacheSize int `json:"cache_size,omitempty"`

	ctx           caddy.Context
	logger        *zap.Logger
	sets          map[string]*signingSet
	stateIDs      []string // in keySetStates
	credentialIDs []string // in credentialStates
	files         []*identity.Files
	events        *caddyevents.App
	metrics       keyset.Metrics
	cancel        context.CancelFunc // ends what Start has begun
	begun         chan struct{}      // closed by Start: all modules of the configuration are there

	servers site.Servers // that the handlers of the configuration are in
	stopped atomic.Bool  // the configuration has ended

	looking     sync.Once // lookOnce
	wrong       error     // with the routes of the configuration
	warnedOfUse bool      // whether the use of the key sets has been looked at

	mu       sync.Mutex
	handlers []*Handler
	watched  []watch.Watched
	started  bool     // Caddy has started all apps, so that the events app knows its subscribers
	pending  []func() // send the events that were emitted before that

	running sync.WaitGroup // the goroutines that Start has begun
}

// appOf returns the app of the configuration that is being loaded. Caddy loads it if it is not yet there.
func appOf(ctx caddy.Context) (*App, error) {
	app, err := ctx.App("elasticsearch_jwt")
	if err != nil {
		return nil, fmt.Errorf("loading the app elasticsearch_jwt: %w", err)
	}
	return app.(*App), nil
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt",
		New: func() caddy.Module { return new(App) },
	}
}

// checkKeySetName checks that a name can be a folder in every storage, and a part of a URL.
func checkKeySetName(name string) error {
	if !keySetNamePattern.MatchString(name) {
		return fmt.Errorf("key set %q: a name begins with a lowercase letter or a digit, "+
			"and has hyphens and underscores beside those, 64 characters at most", name)
	}
	return nil
}

var keySetNamePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Provision loads the key sources. It makes no keys; Start does.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	a.logger = ctx.Logger()
	a.begun = make(chan struct{})
	if timing.TimeScale != 1 {
		a.logger.Warn("this Caddy is built for tests: keys and tokens live a fraction of their time")
	}
	if a.CacheSize < 0 {
		return fmt.Errorf("cache_size %d: it must be positive", a.CacheSize)
	}
	if a.CacheSize == 0 {
		a.CacheSize = 100_000
	}
	if err := provisionMetrics(ctx, &a.metrics, watchMetrics{a}); err != nil {
		return err
	}
	events, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("loading the app events: %w", err)
	}
	a.events = events.(*caddyevents.App)
	if err := a.events.On("started", startedHandler{a}); err != nil {
		return fmt.Errorf("waiting for Caddy's start: %w", err)
	}
	modules, err := ctx.LoadModule(a, "KeysRaw")
	if err != nil {
		return fmt.Errorf("loading the key sources: %w", err)
	}
	a.sets = make(map[string]*signingSet)
	for name, module := range modules.(map[string]any) {
		if err := checkKeySetName(name); err != nil {
			return err
		}
		source, ok := module.(keys.Source)
		if !ok {
			return fmt.Errorf("key set %s: %T is no source of keys", name, module)
		}
		a.addKeySet(name, source)
	}
	return nil
}

func (a *App) addKeySet(name string, source keys.Source) {
	if named, ok := source.(keys.Named); ok {
		named.SetName(name)
	}
	id := keySetStateID(name, source, a.ctx.Storage())
	loaded, _ := keySetStates.LoadOrStore(id, newKeySetState(a.CacheSize))
	state := loaded.(*keySetState)
	a.stateIDs = append(a.stateIDs, id)
	a.sets[name] = &signingSet{signer: state.signer, Set: keyset.New(keyset.Config{
		Name:       name,
		Source:     source,
		SourceName: caddy.GetModuleName(source),
		Logger:     a.logger.With(zap.String("keys", name)),
		Emit:       a.emit,
		Now:        time.Now,
	}, state.State)}
}

// signingSet is a key set with the signer of its tokens.
type signingSet struct {
	*keyset.Set
	signer *signer.Signer
}

// keySetState is the part of a key set that outlives a configuration: its keys, and the tokens that they signed.
type keySetState struct {
	*keyset.State
	signer *signer.Signer
}

// keySetStates has the states of all configurations in this process, by keySetStateID. For a moment during a reload
// there are two configurations, and the new one takes over the states of the old one.
var keySetStates = caddy.NewUsagePool()

func newKeySetState(cacheSize int) *keySetState {
	state := keyset.NewState()
	observe := func(alg jose.SignatureAlgorithm, took time.Duration, err error) {
		if err != nil {
			state.SignatureFailed()
		}
		observeSignature(alg, took, err)
	}
	return &keySetState{state, signer.New(cacheSize, state, observe)}
}

// emit sends an event to the subscribers of Caddy's events app. The events are elasticsearch_jwt.key_created,
// elasticsearch_jwt.key_signing, elasticsearch_jwt.key_revoked, elasticsearch_jwt.key_retired and
// elasticsearch_jwt.key_failed. Each has the name of the key set. All but the last have the kid.
func (a *App) emit(event string, data map[string]any) {
	a.onceStarted(func() {
		if name := "elasticsearch_jwt." + event; a.events.ShouldEmit(name) {
			a.events.Emit(a.ctx, name, data)
		}
	})
}

// onceStarted sends an event now, or when Caddy has started: apps start in any order, so the events app may not know
// its subscribers yet.
func (a *App) onceStarted(send func()) {
	a.mu.Lock()
	if !a.started {
		a.pending = append(a.pending, send)
		a.mu.Unlock()
		return
	}
	a.mu.Unlock()
	send()
}

// startedHandler sends the pending events when Caddy has started.
type startedHandler struct{ app *App }

// Handle implements [caddyevents.Handler].
func (s startedHandler) Handle(context.Context, caddy.Event) error {
	for {
		pending := s.app.takePending()
		if pending == nil {
			return nil
		}
		for _, send := range pending {
			send()
		}
	}
}

// takePending returns the pending events. If there are none, events are sent at once from now on. So no event
// overtakes an earlier one.
func (a *App) takePending() []func() {
	a.mu.Lock()
	defer a.mu.Unlock()
	pending := a.pending
	a.started, a.pending = len(pending) == 0, nil
	return pending
}

// watch has something checked for changes as long as the configuration runs.
func (a *App) watch(w watch.Watched) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watched = append(a.watched, w)
}

// watchFiles watches the files that a handler reads, and closes them when the configuration ends.
func (a *App) watchFiles(files *identity.Files) {
	for _, w := range files.Watched() {
		a.watch(w)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files = append(a.files, files)
}

// registerHandler adds a handler to those of the configuration. [App.explain] asks them all, and [App.issues] takes a
// token in the name of one of their issuers for a token of this proxy.
func (a *App) registerHandler(h *Handler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h.protectWith(a.handlers)
	a.handlers = append(a.handlers, h)
}

// addDefaultKeySet adds the set that handlers use if they name none.
func (a *App) addDefaultKeySet() error {
	module, err := a.ctx.LoadModuleByID(keySources+".storage", nil)
	if err != nil {
		return err
	}
	source, ok := module.(keys.Source)
	if !ok {
		return fmt.Errorf("%T is no source of keys", module)
	}
	a.addKeySet(defaultKeySet, source)
	return nil
}

// keySetStateID returns what identifies the state of a key set. Sets of two configurations share one state if they
// have the same name, the same storage, and a source with the same origin. All of that can have a password in it, so
// the ID is a hash.
func keySetStateID(name string, source keys.Source, storage certmagic.Storage) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %s %q %q",
		name, caddy.GetModuleID(source), source.Origin(), setting.Identity(storage)))
	return hex.EncodeToString(sum[:])
}

// keySet returns the set of a name. If the default set is not configured, keySet adds it. It must not be called
// after Start.
func (a *App) keySet(name string) (*signingSet, error) {
	if ks, ok := a.sets[name]; ok {
		return ks, nil
	}
	if name == defaultKeySet {
		if err := a.addDefaultKeySet(); err != nil {
			return nil, fmt.Errorf("key set %s: %w", name, err)
		}
		return a.sets[name], nil
	}
	return nil, setting.In("keys", errUnknownKeySet(name, maps.Keys(a.sets)))
}

// keySets returns the key sets without their signers.
func (a *App) keySets() iter.Seq[*keyset.Set] {
	return func(yield func(*keyset.Set) bool) {
		for _, set := range a.sets {
			if !yield(set.Set) {
				return
			}
		}
	}
}

func errUnknownKeySet(name string, known iter.Seq[string]) error {
	names := slices.Sorted(known)
	if name != defaultKeySet && !slices.Contains(names, defaultKeySet) {
		names = append(names, defaultKeySet)
	}
	return fmt.Errorf("there is no key set %q: configure it in the global option elasticsearch_jwt "+
		"with `keys %s storage`, or use one of %s", name, name, strings.Join(names, ", "))
}

// Start begins to load and make keys. It does not wait for them, so that Caddy serves its other sites even if the
// storage is out of reach.
func (a *App) Start() error {
	ctx, cancel := context.WithCancel(a.ctx)
	a.cancel = cancel
	for _, w := range a.watched {
		a.running.Go(func() { w.Watch(ctx) })
	}
	a.lookAgain(ctx)
	a.beginOthers(ctx)
	a.metrics.Expose(slices.Collect(a.keySets()))
	for _, ks := range a.sets {
		ks.signer.Resize(a.CacheSize)
		if !a.warnedOfUse {
			ks.WarnOfUse(ks.Signs(), ks.Published())
		}
		a.running.Go(func() { ks.Run(ctx) })
	}
	close(a.begun)
	return nil
}

// Stop ends what Start has begun, and waits for it for a few seconds.
func (a *App) Stop() error {
	if a.cancel == nil {
		return nil
	}
	a.stopped.Store(true)
	a.cancel()
	if !hanging.Within(timing.StopTimeout, a.running.Wait) {
		a.logger.Warn("a source of keys or a kind of credential is still busy; it is left behind")
	}
	return nil
}

// Cleanup gives up the states of the key sets, which another configuration may still use, and closes the files.
func (a *App) Cleanup() error {
	var errs []error
	for _, id := range a.stateIDs {
		_, err := keySetStates.Delete(id)
		errs = append(errs, err)
	}
	for _, files := range a.files {
		errs = append(errs, files.Close())
	}
	for _, id := range a.credentialIDs {
		_, err := credentialStates.Delete(id)
		errs = append(errs, err)
	}
	a.stateIDs, a.credentialIDs, a.files = nil, nil, nil
	return errors.Join(errs...)
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
