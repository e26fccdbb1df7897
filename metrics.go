package esjwt

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
)

// Every metric is named caddy_elasticsearch_jwt_…. No label has a value that a client can choose.
const metricsNamespace, metricsSubsystem = "caddy", "elasticsearch_jwt"

// metrics are the collectors of this process. Caddy gives each configuration a new registry; the same
// collectors are registered with each of them, so that a reload does not reset what they count.
var metrics = newCollectors()

type collectors struct {
	requests   *prometheus.CounterVec
	handshakes *prometheus.CounterVec
	signatures *prometheus.HistogramVec
	failures   *prometheus.CounterVec // of signatures

	credentialFailures *prometheus.CounterVec
	credentials        *prometheus.HistogramVec // that are no tokens
	jwksRequests       *prometheus.CounterVec
	retries            prometheus.Counter
	clusterRefusals    *prometheus.CounterVec // refusals of the nodes
	cachedClients      prometheus.Collector
	sightings          identity.Sightings

	// What is counted for each request is looked up once.
	authenticated, ownCredentials prometheus.Counter
	jwks                          struct{ served, unavailable, methodNotAllowed prometheus.Counter }
	clusterRefused                struct{ unauthorized, forbidden prometheus.Counter }
}

func newCollectors() *collectors {
	const namespace, subsystem = metricsNamespace, metricsSubsystem
	c := &collectors{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "requests_total",
			Help: "Requests by result (authenticated, own_credentials, refused) and, for a refusal, its reason.",
		}, []string{"result", "reason"}),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "refused_handshakes_total",
			Help: "TLS handshakes that ended for the client's certificate, or for the lack of one, by reason.",
		}, []string{"reason"}),
		signatures: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "signature_duration_seconds",
			Help:    "How long a signature took, by algorithm.",
			Buckets: []float64{25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 1},
		}, []string{"algorithm"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "signature_failures_total",
			Help: "Signatures that failed, by algorithm.",
		}, []string{"algorithm"}),
		credentials: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "credential_duration_seconds",
			Help:    "How long it took to make or renew a credential that is no JWT, by its kind.",
			Buckets: []float64{100e-6, 1e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 10},
		}, []string{"kind"}),
		credentialFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "credential_failures_total",
			Help: "Attempts to make or renew a credential that is no JWT which failed, by its kind.",
		}, []string{"kind"}),
		jwksRequests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "jwks_requests_total",
			Help: "Requests for a JWKS by result: served, unavailable, method_not_allowed.",
		}, []string{"result"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "retries_total",
			Help: "Requests that the transport sent once more, " +
				"since a node refused a token whose key it may not have known yet.",
		}),
		clusterRefusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "cluster_refusals_total",
			Help: "Requests with a token of elasticsearch_jwt that a node has refused, by the status of its answer: " +
				"401 (it does not take the token) and 403 (the user may not do that).",
		}, []string{"status"}),
		cachedClients: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "cache_entries",
			Help: "Clients whose tokens or other credentials are remembered.",
		}, countCachedClients),
	}
	c.authenticated = c.requests.WithLabelValues("authenticated", "")
	c.ownCredentials = c.requests.WithLabelValues("own_credentials", "")
	for _, r := range identity.Reasons {
		c.requests.WithLabelValues("refused", string(r))
	}
	for _, r := range identity.HandshakeReasons {
		c.handshakes.WithLabelValues(string(r))
	}
	c.jwks.served = c.jwksRequests.WithLabelValues("served")
	c.jwks.unavailable = c.jwksRequests.WithLabelValues("unavailable")
	c.jwks.methodNotAllowed = c.jwksRequests.WithLabelValues("method_not_allowed")
	c.clusterRefused.unauthorized = c.clusterRefusals.WithLabelValues("401")
	c.clusterRefused.forbidden = c.clusterRefusals.WithLabelValues("403")
	return c
}

// all returns the collectors that are registered.
func (c *collectors) all() []prometheus.Collector {
	return []prometheus.Collector{
		c.requests, c.handshakes, c.credentials, c.credentialFailures, c.jwksRequests, c.retries, c.clusterRefusals,
		c.cachedClients,
		expiringMetrics{&c.sightings},
		byAlgorithm{c.signatures, func(alg string) { c.signatures.WithLabelValues(alg) }},
		byAlgorithm{c.failures, func(alg string) { c.failures.WithLabelValues(alg) }},
	}
}

// provisionMetrics registers the collectors of the process, and own, which are those of a configuration
// alone, with the configuration's registry.
func provisionMetrics(ctx caddy.Context, own ...prometheus.Collector) error {
	registry := ctx.GetMetricsRegistry()
	if registry == nil {
		return nil
	}
	for _, c := range append(own, metrics.all()...) {
		if err := registry.Register(c); err != nil {
			if _, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); !ok {
				return fmt.Errorf("registering metrics: %w", err)
			}
		}
	}
	return nil
}

// refused counts a request that was refused.
func (c *collectors) refused(r identity.Reason) {
	c.requests.WithLabelValues("refused", string(r)).Inc()
}

// byAlgorithm collects a metric of signatures. It exists, with 0, for the algorithms of all keys that can sign.
type byAlgorithm struct {
	prometheus.Collector
	begin func(algorithm string)
}

// Collect implements [prometheus.Collector].
func (b byAlgorithm) Collect(ch chan<- prometheus.Metric) {
	keySetStates.Range(func(_, state any) bool {
		s, ok := state.(*keySetState)
		if !ok || s.Current() == nil {
			return true
		}
		for _, key := range s.Current().Records {
			if key.CanSign() {
				b.begin(string(key.Algorithm))
			}
		}
		return true
	})
	b.Collector.Collect(ch)
}

// observeSignature counts a signature.
func observeSignature(alg jose.SignatureAlgorithm, took time.Duration, err error) {
	if err != nil {
		metrics.failures.WithLabelValues(string(alg)).Inc()
		return
	}
	metrics.signatures.WithLabelValues(string(alg)).Observe(took.Seconds())
}

// observeCredential counts an attempt to make a credential that is no token.
func observeCredential(kind string, took time.Duration, err error) {
	if err != nil {
		metrics.credentialFailures.WithLabelValues(kind).Inc()
		return
	}
	metrics.credentials.WithLabelValues(kind).Observe(took.Seconds())
}

// countCachedClients counts the clients whose credentials are remembered, in the whole process.
func countCachedClients() float64 {
	n := 0
	keySetStates.Range(func(_, state any) bool {
		if s, ok := state.(*keySetState); ok {
			n += s.signer.Remembered()
		}
		return true
	})
	credentialStates.Range(func(_, state any) bool {
		if s, ok := state.(*credential.State); ok {
			n += s.Len()
		}
		return true
	})
	return float64(n)
}

// expiringDesc describes the metric that tells an operator whose certificate ends soon.
var expiringDesc = prometheus.NewDesc(
	prometheus.BuildFQName(metricsNamespace, metricsSubsystem, "expiring_client_certificates"),
	"Client certificates that were used within the last hour and end, or one above them does, within this time.",
	[]string{"within"}, nil)

// expiringMetrics collects the metric of certificates that end soon.
type expiringMetrics struct{ sightings *identity.Sightings }

// Describe implements [prometheus.Collector].
func (expiringMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- expiringDesc }

// Collect implements [prometheus.Collector].
func (m expiringMetrics) Collect(ch chan<- prometheus.Metric) {
	const day = 24 * time.Hour
	ending := m.sightings.Ending(time.Now(), day, 7*day, 30*day)
	for i, within := range []string{"1d", "7d", "30d"} {
		ch <- prometheus.MustNewConstMetric(expiringDesc, prometheus.GaugeValue, float64(ending[i]), within)
	}
}

// unusableSourcesDesc describes the metric that tells an operator that a changed file does not count, such
// as a deny list with a bad line.
var unusableSourcesDesc = prometheus.NewDesc(
	prometheus.BuildFQName(metricsNamespace, metricsSubsystem, "unusable_sources"),
	"Files, variables and URLs that a setting names and that cannot be read or used now; "+
		"what was read before goes on.",
	[]string{"setting"}, nil)

// watchMetrics collects the metric of what a configuration watches.
type watchMetrics struct{ app *App }

// Describe implements [prometheus.Collector].
func (watchMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- unusableSourcesDesc }

// Collect implements [prometheus.Collector].
func (m watchMetrics) Collect(ch chan<- prometheus.Metric) {
	m.app.mu.Lock()
	defer m.app.mu.Unlock()
	unusable := make(map[string]float64)
	for _, w := range m.app.watched {
		setting, usable := w.State()
		if usable {
			unusable[setting] += 0 // a setting without trouble is shown too, as zero
		} else {
			unusable[setting]++
		}
	}
	for setting, n := range unusable {
		ch <- prometheus.MustNewConstMetric(unusableSourcesDesc, prometheus.GaugeValue, n, setting)
	}
}

// Interface guards
var (
	_ prometheus.Collector = watchMetrics{}
	_ prometheus.Collector = expiringMetrics{}
	_ prometheus.Collector = byAlgorithm{}
)
