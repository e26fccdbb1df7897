package keyset

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// Metrics collects the metrics of the key sets of one configuration. Unlike the others they
// are not kept for the whole process: a set that the next configuration does not have is gone
// from its registry. What is counted goes on, since it is part of the state that the next
// configuration takes over. The label keys is the name of a set.
type Metrics struct {
	sets atomic.Pointer[[]*Set] // nil until the configuration runs
}

// The metrics of key sets. Times are Unix times, as is the custom: an age is time() minus one.
var (
	keyCreatedDesc = keyDesc("signing_key_created_timestamp_seconds",
		"When the key that signs was made; not for keys whose source does not know.")
	nextRotationDesc = keyDesc("next_rotation_timestamp_seconds",
		"When another key begins to sign; not if that is for a person to say.")
	publishedKeysDesc = keyDesc("published_keys",
		"Public keys that are published; not for a shared secret.")
	rotationsDesc = keyDesc("key_rotations_total",
		"How often another key began to sign, on schedule or not.")
	keyFailuresDesc = keyDesc("key_failures_total",
		"How often keys could not be read, made or changed, or did not sign, by reason.", "reason")
)

func keyDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("caddy", "elasticsearch_jwt", name), help, append([]string{"keys"}, labels...), nil)
}

// Show begins to show the metrics of the sets of a configuration that runs.
func (m *Metrics) Show(sets []*Set) { m.sets.Store(&sets) }

// Describe implements [prometheus.Collector].
func (*Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{keyCreatedDesc, nextRotationDesc, publishedKeysDesc, rotationsDesc, keyFailuresDesc} {
		ch <- d
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
		if _, at := current.next(now); !at.IsZero() {
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
		sample(keyFailuresDesc, prometheus.CounterValue, float64(counts.failures[kind].Load()), keys.Failure(kind).String())
	}
}

// Interface guard
var _ prometheus.Collector = (*Metrics)(nil)
