package esjwt

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the collectors of this process. Each configuration has a registry of its own,
// which they are registered with anew, so that a reload does not reset them. No label has a
// value that a client can choose.
var metrics = newCollectors()

type collectors struct {
	requests   *prometheus.CounterVec
	signatures *prometheus.HistogramVec
	failures   *prometheus.CounterVec
	jwksVec    *prometheus.CounterVec

	retries prometheus.Counter

	authenticated, ownCredentials prometheus.Counter
	jwks                          struct{ served, unavailable, methodNotAllowed prometheus.Counter }
}

const metricsNamespace, metricsSubsystem = "caddy", "elasticsearch_jwt"

func newCollectors() *collectors {
	const namespace, subsystem = metricsNamespace, metricsSubsystem
	c := &collectors{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "requests_total",
			Help: "Requests by result (authenticated, own_credentials, refused) and, for a refusal, its reason.",
		}, []string{"result", "reason"}),
		signatures: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "signature_duration_seconds",
			Help:    "How long a signature took, by algorithm.",
			Buckets: []float64{25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 1},
		}, []string{"algorithm"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "signature_failures_total",
			Help: "Signatures that failed, by algorithm.",
		}, []string{"algorithm"}),
		jwksVec: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "jwks_requests_total",
			Help: "Requests for a JWKS by result: served, unavailable, method_not_allowed.",
		}, []string{"result"}),
	}
	c.retries = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "retries_total",
		Help: "Requests that the transport sent once more, since a node refused a token whose key it may not have known yet.",
	})
	// The children of the hot path are looked up once, and every reason shows from the start.
	c.authenticated = c.requests.WithLabelValues("authenticated", "")
	c.ownCredentials = c.requests.WithLabelValues("own_credentials", "")
	for _, r := range reasons {
		c.requests.WithLabelValues("refused", string(r))
	}
	c.jwks.served = c.jwksVec.WithLabelValues("served")
	c.jwks.unavailable = c.jwksVec.WithLabelValues("unavailable")
	c.jwks.methodNotAllowed = c.jwksVec.WithLabelValues("method_not_allowed")
	return c
}

// provisionMetrics registers the collectors, and those of a configuration alone, with its
// registry.
func provisionMetrics(ctx caddy.Context, own ...prometheus.Collector) error {
	registry := ctx.GetMetricsRegistry()
	if registry == nil {
		return nil
	}
	for _, c := range append(own, metrics.requests, metrics.signatures, metrics.failures, metrics.jwksVec, metrics.retries, cacheEntries) {
		if err := registry.Register(c); err != nil {
			if _, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); !ok {
				return fmt.Errorf("registering metrics: %w", err)
			}
		}
	}
	return nil
}

func (c *collectors) refused(r reason) { c.requests.WithLabelValues("refused", string(r)).Inc() }

// observeSignature counts a signature.
func observeSignature(alg jose.SignatureAlgorithm, took time.Duration, err error) {
	if err != nil {
		metrics.failures.WithLabelValues(string(alg)).Inc()
		return
	}
	metrics.signatures.WithLabelValues(string(alg)).Observe(took.Seconds())
}

// cacheEntries counts the clients whose tokens are remembered, over all key sets.
var cacheEntries = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
	Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "cache_entries",
	Help: "Clients whose tokens are remembered.",
}, func() float64 {
	n := 0
	setStates.Range(func(_, state any) bool {
		if s, ok := state.(*setState); ok {
			n += s.signer.slots.Len()
		}
		return true
	})
	return float64(n)
})
