package integration

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// fewArrivals are so many that the test goes on working.
const fewArrivals = 200

var arrivals = flag.Int("arrivals", fewArrivals,
	"how many clients want their first API key in TestManyClientsArrive; 5,000 a minute")

const (
	arrivalPause = time.Minute / 5000 // between two clients that arrive
	knownClients = 8
	knownPause   = 20 * time.Millisecond
	arrivalsEnd  = 5 * time.Minute // from the first client until all must have been let in
)

// nodeForArrivals returns the node that all tests share, or for many clients one that compiles as it does in production.
func nodeForArrivals(t *testing.T, version string) *basicNode {
	t.Helper()
	if *arrivals <= fewArrivals {
		return basicNodeOf(t, version)
	}
	n, err := newBasicNode(t.Context(), version, func(c *realnode.ElasticsearchConfig) { c.Optimize = true })
	requireReal(t, err)
	t.Cleanup(func() { require.NoError(t, n.es.Close()) })
	return n
}

// TestManyClientsArrive who have no API key yet, each on a connection of its own, and come again if they are told to.
// All are let in, each as itself, with one key. What it logs is in the manual's page on performance.
func TestManyClientsArrive(t *testing.T) {
	for _, version := range versions(*elasticsearchVersions) {
		t.Run(version, func(t *testing.T) {
			s := newKeyStack(t, nodeForArrivals(t, version), time.Hour)
			f := &front{node: s.node, site: site{port: freePort(t), upstream: s.es.URL(), handler: s.settings}}
			f.caddy = StartCaddy(t, f.keyCaddyfile(t))
			newcomers := make([]pki.Pair, *arrivals)
			for i := range newcomers {
				newcomers[i] = clientCA().Client(fmt.Sprintf("newcomer-%d", i), "analysts")
			}
			known := f.startKnown(t)
			before := known.during(func() { time.Sleep(min(10*time.Second, time.Duration(*arrivals)*arrivalPause)) })
			node, proxy := cpuTime(t, pidOf(t, s.es)), cpuTime(t, f.caddy.PID())
			var arrived arrived
			began := time.Now()
			meanwhile := known.during(func() { f.arrive(t, newcomers, &arrived) })
			took := time.Since(began)
			node, proxy = cpuTime(t, pidOf(t, s.es))-node, cpuTime(t, f.caddy.PID())-proxy
			known.stop()

			t.Logf("%d clients in %s: %d let in at once, %d after a 503; %d answers were 503",
				*arrivals, took.Round(time.Second), arrived.atOnce, arrived.later, arrived.refused)
			t.Logf("from the first request until let in: %s", quantiles(arrived.waits))
			t.Logf("CPU time with the requests of known clients: node %s, Caddy %s; requests of known clients: %d",
				node.Round(10*time.Millisecond), proxy.Round(10*time.Millisecond), len(meanwhile))
			t.Logf("known clients before: %s; meanwhile: %s", quantiles(before), quantiles(meanwhile))
			require.Empty(t, arrived.failures)
			require.Empty(t, known.failures)
			require.Equal(t, *arrivals, arrived.atOnce+arrived.later)
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				made := make(map[string]int)
				for _, k := range s.keys(t) {
					made[k.Name]++
				}
				assert.Len(c, made, *arrivals+knownClients)
				for name, count := range made {
					assert.Equal(c, 1, count, name)
				}
			}, 30*time.Second, time.Second)
		})
	}
}

// arrived is what came of the clients that arrived.
type arrived struct {
	mu                     sync.Mutex
	atOnce, later, refused int
	waits                  []time.Duration
	failures               []string
}

func (f *front) arrive(t *testing.T, newcomers []pki.Pair, a *arrived) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), arrivalsEnd)
	defer cancel()
	var clients sync.WaitGroup
	tick := time.NewTicker(arrivalPause)
	defer tick.Stop()
	for i, newcomer := range newcomers {
		<-tick.C
		clients.Go(func() { f.newcomer(ctx, fmt.Sprintf("newcomer-%d", i), newcomer, a) })
	}
	clients.Wait()
}

// newcomer asks until it is let in.
func (f *front) newcomer(ctx context.Context, name string, certificate pki.Pair, a *arrived) {
	transport := f.site.http1(certificate.TLS)
	transport.DisableKeepAlives = true
	client := &http.Client{Transport: transport}
	began := time.Now()
	ask := func() (answer, error) {
		return trySend(ctx, client, http.MethodGet, f.site.url("/_security/_authenticate"), "", nil)
	}
	got, err := ask()
	refused := 0
	for ; err == nil && got.status == http.StatusServiceUnavailable; got, err = ask() {
		refused++
		after, _ := strconv.Atoi(got.header.Get("Retry-After"))
		time.Sleep(time.Duration(max(1, after)) * time.Second)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused += refused
	switch {
	case err != nil || got.status != http.StatusOK || nameOfKey(got) != name:
		a.failures = append(a.failures, fmt.Sprintf("%s: %d %.300s %v", name, got.status, got.body, err))
	case refused == 0:
		a.atOnce++
	default:
		a.later++
	}
	a.waits = append(a.waits, time.Since(began))
}

// nameOfKey returns the name of the API key that an answer of _security/_authenticate is about.
func nameOfKey(a answer) string {
	var who struct {
		Key struct{ Name string } `json:"api_key"`
	}
	_ = json.Unmarshal([]byte(a.body), &who)
	return who.Key.Name
}

// known are clients that have their keys, and go on asking.
type known struct {
	mu       sync.Mutex
	waits    []time.Duration
	failures []string
	cancel   context.CancelFunc
	clients  sync.WaitGroup
}

func (f *front) startKnown(t *testing.T) *known {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	k := &known{cancel: cancel}
	t.Cleanup(k.stop)
	for i := range knownClients {
		name := fmt.Sprintf("known-%d", i)
		client := &http.Client{Transport: f.site.http1(clientCA().Client(name, "analysts").TLS)}
		require.Equal(t, http.StatusOK, f.site.authenticate(t, client).status)
		k.clients.Go(func() {
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				k.ask(ctx, f, name, client)
				time.Sleep(knownPause)
			}
		})
	}
	return k
}

func (k *known) ask(ctx context.Context, f *front, name string, client *http.Client) {
	began := time.Now()
	got, err := trySend(ctx, client, http.MethodGet, f.site.url("/_security/_authenticate"), "", nil)
	if ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waits = append(k.waits, time.Since(began))
	if err != nil || got.status != http.StatusOK || nameOfKey(got) != name {
		k.failures = append(k.failures, fmt.Sprintf("%s: %d %.300s %v", name, got.status, got.body, err))
	}
}

// during returns how long the answers took while something was done.
func (k *known) during(do func()) []time.Duration {
	k.mu.Lock()
	k.waits = nil
	k.mu.Unlock()
	do()
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.waits)
}

func (k *known) stop() {
	k.cancel()
	k.clients.Wait()
}

func quantiles(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	at := func(q float64) time.Duration { return all[int(q*float64(len(all)-1))].Round(10 * time.Microsecond) }
	return fmt.Sprintf("p50 %s, p99 %s, longest %s", at(0.5), at(0.99), at(1))
}

// cpuTime returns the user and system time of a process, which are the fields 14 and 15 of stat in hundredths of a
// second (proc(5)). It is 0 where there is no such file.
func cpuTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	require.Greater(t, len(fields), 12)
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		require.NoError(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
