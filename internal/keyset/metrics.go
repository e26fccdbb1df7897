package keyset

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// keyCounts counts what has happened to the keys of a set since this process first used it.
type keyCounts struct {
	rotations atomic.Uint64
	failures  [keys.FailureKinds]atomic.Uint64
}

func (c *keyCounts) addFailure(kind keys.Failure) { c.failures[kind].Add(1) }

// Metrics collects the metrics of the key sets of one configuration. The other metrics of the plugin belong to
// the process. These belong to a configuration, so a set that the next configuration does not have disappears
// with it. The counters go on after a reload, because they are part of the [State] that the next configuration
// takes over. The label keys is the name of a set.
type Metrics struct {
	sets atomic.Pointer[[]*Set] // nil until the configuration runs
}

// The metrics of key sets. A point in time is a Unix time, as is usual: the age of a key is time() minus
// signing_key_created_timestamp_seconds.
var (
	keyCreatedDesc = keyDesc("signing_key_created_timestamp_seconds",
		"When the key that signs was made; absent if the source of the keys does not know.")
	nextRotationDesc = keyDesc("next_rotation_timestamp_seconds",
		"When another key begins to sign; absent if that is not planned.")
	publishedKeysDesc = keyDesc("published_keys",
		"Public keys that are published; not for a shared secret.")
	rotationsDesc = keyDesc("key_rotations_total",
		"How often another key began to sign, on schedule or not.")
	keyFailuresDesc = keyDesc("key_failures_total",
		"How often keys could not be read, made or changed, or did not sign, by reason.", "reason")
)

func keyDesc(name, help string, labels ...string) *prometheus.Desc {
	name = prometheus.BuildFQName("caddy", "elasticsearch_jwt", name)
	return prometheus.NewDesc(name, help, append([]string{"keys"}, labels...), nil)
}

// Expose begins to expose the metrics of these sets. It is called when their configuration starts.
func (m *Metrics) Expose(sets []*Set) { m.sets.Store(&sets) }

// Describe implements [prometheus.Collector].
func (*Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		keyCreatedDesc, nextRotationDesc, publishedKeysDesc, rotationsDesc, keyFailuresDesc,
	} {
		ch <- desc
	}
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	sets := m.sets.Load()
	if sets == nil {
		return
	}
	now := time.Now()
	for _, ks := range *sets {
		ks.collect(ch, now)
	}
}

func (ks *Set) collect(ch chan<- prometheus.Metric, now time.Time) {
	sample := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, kind, value, append([]string{ks.Name}, labels...)...)
	}
	current := ks.State.Current()
	if current != nil {
		if signing := current.Signing(now); signing != nil && !current.fixed {
			sample(keyCreatedDesc, prometheus.GaugeValue, float64(signing.Created.Unix()))
		}
		if _, at := current.nextSigning(now); !at.IsZero() {
			sample(nextRotationDesc, prometheus.GaugeValue, float64(at.Unix()))
		}
	}
	if ks.Source.Public() {
		published := 0
		if current != nil {
			published = len(current.Published(now))
		}
		sample(publishedKeysDesc, prometheus.GaugeValue, float64(published))
	}
	counts := &ks.State.counts
	sample(rotationsDesc, prometheus.CounterValue, float64(counts.rotations.Load()))
	for kind := range counts.failures {
		sample(keyFailuresDesc, prometheus.CounterValue, float64(counts.failures[kind].Load()),
			keys.Failure(kind).String())
	}
}

// Interface guard
var _ prometheus.Collector = (*Metrics)(nil)
