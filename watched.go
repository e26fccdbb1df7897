package esjwt

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// watched is what a setting names and was read from a file, a variable or a URL, which can change while
// Caddy runs. What cannot be read or parsed leaves what was there before; that shows in the log and in
// the metrics for as long as it lasts.
type watched[T any] struct {
	value   *watch.Value[T]
	trouble *watch.Trouble
	setting string
	name    string
	changed func() // called after a change
	due     bool   // the first look of all is yet to come
}

// watcher is a watched of any type.
type watcher interface {
	watch(ctx context.Context)

	// state is which setting it is of, and whether it can be read and used.
	state() (setting string, usable bool)
}

func newWatched[T any](setting string, source watch.Source, parse func([]byte) (T, error), changed func(), logger *zap.Logger) *watched[T] {
	logger = logger.With(zap.String("setting", setting))
	return &watched[T]{
		value:   watch.New(source, parse, logger),
		trouble: watch.NewTrouble(source.Name, logger),
		setting: setting,
		name:    source.Name,
		changed: changed,
	}
}

// watchFile reads the file of a setting for the first time.
func watchFile[T any](setting, name string, parse func([]byte) (T, error), changed func(), logger *zap.Logger) (*watched[T], error) {
	w := newWatched(setting, watch.File(name), parse, changed, logger)
	if err := w.value.Read(context.Background()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return w, nil
}

// watchURL reads a URL of a setting. If what it had is known, it is asked in the background. If not, it
// is asked at once, and a failure is logged: a server that is down for a moment must not keep Caddy
// from starting. What was read is for parse to keep.
func watchURL[T any](setting, address string, known bool, parse func([]byte) (T, error), logger *zap.Logger) *watched[T] {
	w := newWatched(setting, watch.URL(redacted(address), address, crl.MaxSize), parse, func() {}, logger)
	w.due = known
	if !known {
		w.trouble.Note(w.value.Read(context.Background()), false)
	}
	return w
}

func (w *watched[T]) get() T { return w.value.Get() }

// watch looks for changes until the context ends.
func (w *watched[T]) watch(ctx context.Context) {
	if w.due {
		w.looked(w.value.Look(ctx))
	}
	w.value.Run(ctx, w.looked)
}

func (w *watched[T]) looked(changed bool, err error) {
	if changed {
		w.changed()
	}
	w.trouble.Note(err, w.due || w.value.Has())
}

func (w *watched[T]) state() (setting string, usable bool) { return w.setting, !w.trouble.Has() }

// unusableSourcesDesc is the metric by which somebody is told that a list which was changed does not
// count. Its label is the name of a setting.
var unusableSourcesDesc = prometheus.NewDesc(
	prometheus.BuildFQName(metricsNamespace, metricsSubsystem, "unusable_sources"),
	"Files, variables and URLs that a setting names and that cannot be read or used now; what was read before goes on.",
	[]string{"setting"}, nil)

// watchMetrics collects the metrics of what one configuration watches.
type watchMetrics struct{ app *App }

// Describe implements [prometheus.Collector].
func (watchMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- unusableSourcesDesc }

// Collect implements [prometheus.Collector].
func (m watchMetrics) Collect(ch chan<- prometheus.Metric) {
	m.app.mu.Lock()
	defer m.app.mu.Unlock()
	unusable := map[string]float64{}
	for _, w := range m.app.watchers {
		setting, usable := w.state()
		if usable {
			unusable[setting] += 0 // it shows from the start
		} else {
			unusable[setting]++
		}
	}
	for setting, n := range unusable {
		ch <- prometheus.MustNewConstMetric(unusableSourcesDesc, prometheus.GaugeValue, n, setting)
	}
}

// Interface guard
var _ prometheus.Collector = watchMetrics{}
