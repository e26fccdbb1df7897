package esjwt

import (
	"github.com/prometheus/client_golang/prometheus"
)

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
		setting, usable := w.State()
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
