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

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/site"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
	_ "github.com/edgejwt/caddy-elasticsearch-jwt/keys/file" // the sources of keys are modules of their own
	_ "github.com/edgejwt/caddy-elasticsearch-jwt/keys/kms"
	_ "github.com/edgejwt/caddy-elasticsearch-jwt/keys/secret"
	_ "github.com/edgejwt/caddy-elasticsearch-jwt/keys/storage"
)

func init() {
	caddy.RegisterModule(new(App))
}

// defaultKeySet is the set that is used where no other is named.
const defaultKeySet = "default"

// App owns the key sets that the elasticsearch_jwt handlers sign with and that the
// elasticsearch_jwks handlers publish.
type App struct {
	// The key sets, by name. A name has lowercase letters, digits, hyphens and underscores.
	// The set "default" is used where no other is named; if it is not configured, it is of
	// the source `storage` with that source's defaults.
	KeysRaw map[string]json.RawMessage `json:"keys,omitempty" caddy:"namespace=elasticsearch_jwt.keys inline_key=source"`

	// How many different clients' tokens are remembered for each key set, and how many
	// certificates for each handler. What does not fit costs a signature again. Default: 100000.
	CacheSize int `json:"cache_size,omitempty"`

	ctx       caddy.Context
	logger    *zap.Logger
	sets      map[string]*signingSet
	stateKeys []string
	files     []*identity.Files
	events    *caddyevents.App
	metrics   keyset.Metrics
	cancel    context.CancelFunc

	servers site.Servers // that the modules of the configuration are in

	mu       sync.Mutex
	handlers []*Handler
	watchers []watch.Watched
	stopped  atomic.Bool // nothing is watched any more
	started  bool        // Caddy has: the events app takes no more subscriptions
	pending  []func()

	running sync.WaitGroup
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
	if !keySetName.MatchString(name) {
		return fmt.Errorf("key set %q: a name begins with a lowercase letter or a digit, and has hyphens and underscores beside those, 64 characters at most", name)
	}
	return nil
}

var keySetName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Provision loads the key sources. It makes no keys: that is for Start.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	a.logger = ctx.Logger()
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
		a.addSet(name, source)
	}
	return nil
}

func (a *App) addSet(name string, source keys.Source) {
	if named, ok := source.(keys.Named); ok {
		named.SetName(name)
	}
	key := stateKey(name, source, a.ctx.Storage())
	loaded, _ := setStates.LoadOrStore(key, newSetState(a.CacheSize))
	state := loaded.(*setState)
	a.stateKeys = append(a.stateKeys, key)
	a.sets[name] = &signingSet{signer: state.signer, Set: keyset.New(keyset.Config{
		Name:       name,
		Source:     source,
		SourceName: caddy.GetModuleName(source),
		Logger:     a.logger.With(zap.String("keys", name)),
		Emit:       a.emit,
		Now:        time.Now,
	}, state.State)}
}

// signingSet is a key set with what makes its tokens.
type signingSet struct {
	*keyset.Set
	signer *signer
}

// setState is what of a set outlives a configuration: its keys, and the tokens that they signed.
type setState struct {
	*keyset.State
	signer *signer
}

// setStates are those of all configurations that run, by what makes them the same.
var setStates = caddy.NewUsagePool()

func newSetState(cacheSize int) *setState {
	state := keyset.NewState()
	return &setState{state, newSigner(cacheSize, state.Wait, func(alg jose.SignatureAlgorithm, took time.Duration, err error) {
		if err != nil {
			state.SignatureFailed()
		}
		observeSignature(alg, took, err)
	})}
}

// emit tells the subscribers of Caddy's events. Its events are elasticsearch_jwt.key_created,
// .key_signing, .key_revoked, .key_retired and .key_failed, with the set's name and, but for the
// last, the kid.
func (a *App) emit(event string, data map[string]any) {
	send := func() {
		if a.events.ShouldEmit(event) {
			a.events.Emit(a.ctx, event, data)
		}
	}
	a.mu.Lock()
	if !a.started {
		// The apps start in no particular order, and the events app may not know its
		// subscribers yet.
		a.pending = append(a.pending, send)
		a.mu.Unlock()
		return
	}
	a.mu.Unlock()
	send()
}

// startedHandler sends the events that happened before Caddy had started.
type startedHandler struct{ app *App }

// Handle implements [caddyevents.Handler].
func (s startedHandler) Handle(context.Context, caddy.Event) error {
	s.app.mu.Lock()
	pending := s.app.pending
	s.app.started, s.app.pending = true, nil
	s.app.mu.Unlock()
	for _, send := range pending {
		send()
	}
	return nil
}

// watch looks at something for changes while the configuration runs.
func (a *App) watch(w watch.Watched) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watchers = append(a.watchers, w)
}

// keepFiles watches what handlers read, and closes it with the configuration.
func (a *App) keepFiles(files *identity.Files) {
	for _, w := range files.Watched() {
		a.watch(w)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files = append(a.files, files)
}

// addDefaultSet adds the set that is used where no other is named.
func (a *App) addDefaultSet() error {
	module, err := a.ctx.LoadModuleByID(keySources+".storage", nil)
	if err != nil {
		return err
	}
	source, ok := module.(keys.Source)
	if !ok {
		return fmt.Errorf("%T is no source of keys", module)
	}
	a.addSet(defaultKeySet, source)
	return nil
}

// stateKey tells whether a set of another configuration in this process is the same one: it has the same
// name, on the same storage, and keys from the same place. What these are called can have a password in it:
// only the hash is kept.
func stateKey(name string, source keys.Source, storage certmagic.Storage) string {
	where, err := json.Marshal(storage)
	if err != nil || string(where) == "{}" {
		where = fmt.Appendf(nil, "%p", storage) // cannot be compared: each configuration has its own
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %s %q %T %q", name, caddy.GetModuleID(source), source.Origin(), storage, where))
	return hex.EncodeToString(sum[:])
}

// keySet returns the set of a name. The default set is there whenever it is asked for, which
// is before Start.
func (a *App) keySet(name string) (*signingSet, error) {
	if ks, ok := a.sets[name]; ok {
		return ks, nil
	}
	if name == defaultKeySet {
		if err := a.addDefaultSet(); err != nil {
			return nil, fmt.Errorf("key set %s: %w", name, err)
		}
		return a.sets[name], nil
	}
	return nil, setting.In("keys", errUnknownKeySet(name, maps.Keys(a.sets)))
}

// keySets are the sets without what makes their tokens.
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
	return fmt.Errorf("there is no key set %q: configure it in the global option elasticsearch_jwt with `keys %s storage`, or use one of %s", name, name, strings.Join(names, ", "))
}

// Start begins to load and make keys. It does not wait for them: a storage that is out of
// reach must not keep the other sites of this server from being served.
func (a *App) Start() error {
	ctx, cancel := context.WithCancel(a.ctx)
	a.cancel = cancel
	for _, w := range a.watchers {
		a.running.Go(func() { w.Watch(ctx) })
	}
	a.metrics.Expose(slices.Collect(a.keySets()))
	for _, ks := range a.sets {
		ks.signer.slots.Resize(a.CacheSize)
		if ks.Signs() && !ks.Published() && ks.Source.Public() {
			ks.Logger.Warn("no elasticsearch_jwks of this configuration publishes these keys: unless another server does, no cluster can verify the tokens")
		}
		if !ks.Signs() && !ks.Published() {
			ks.Logger.Warn("nothing uses these keys: name the set in elasticsearch_jwt with `keys " + ks.Name + "`, or leave it out")
		}
		a.running.Go(func() { ks.Run(ctx) })
	}
	return nil
}

// Stop ends what Start began.
func (a *App) Stop() error {
	if a.cancel == nil {
		return nil
	}
	a.stopped.Store(true)
	a.cancel()
	done := make(chan struct{})
	go func() {
		a.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(timing.StopTimeout):
		a.logger.Warn("a key source is still busy; it is left behind")
	}
	return nil
}

// Cleanup lets go of the state that the next configuration may still use.
func (a *App) Cleanup() error {
	var errs []error
	for _, key := range a.stateKeys {
		_, err := setStates.Delete(key)
		errs = append(errs, err)
	}
	for _, files := range a.files {
		errs = append(errs, files.Close())
	}
	a.stateKeys, a.files = nil, nil
	return errors.Join(errs...)
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
