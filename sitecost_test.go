package esjwt_test

import (
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/require"
)

// manySites is a Caddyfile with that many sites of one server. Each has a handshake, a JWKS, and, if
// wanted, a key set of its own.
func manySites(a *authority, storage string, sites int, plain, ownKeys bool) string {
	certFile, keyFile := a.server(site)
	var file strings.Builder
	fmt.Fprintf(&file, "{\nadmin off\nauto_https off\nstorage file_system %s\n", storage)
	if ownKeys {
		fmt.Fprintln(&file, "elasticsearch_jwt {")
		for i := range sites {
			fmt.Fprintf(&file, "keys k%d storage\n", i)
		}
		fmt.Fprintln(&file, "}")
	}
	fmt.Fprintln(&file, "}")
	for i := range sites {
		keys := "default"
		if ownKeys {
			keys = fmt.Sprintf("k%d", i)
		}
		fmt.Fprintf(&file, "https://s%d.example.com:9443 {\n", i)
		fmt.Fprintf(&file, "tls %s %s {\nclient_auth {\nmode verify_if_given\ntrust_pool file %s\n}\n}\n", certFile, keyFile,
			a.file())
		if !plain {
			fmt.Fprintf(&file, "elasticsearch_jwks {\nkeys %s\n}\nelasticsearch_jwt {\nissuer https://s%d.example.com\n"+
				"audience es\nkeys %s\n}\n", keys, i, keys)
		}
		fmt.Fprint(&file, "reverse_proxy 127.0.0.1:9200\n}\n")
	}
	return file.String()
}

// provision does what `caddy validate` does with a configuration.
func provision(t testing.TB, config []byte) {
	t.Helper()
	var parsed caddy.Config
	require.NoError(t, json.Unmarshal(config, &parsed))
	parsed.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "ERROR"}}}}
	require.NoError(t, caddy.Validate(&parsed))
}

// TestTheCostOfASiteDoesNotGrowWithTheirNumber: what is allocated in order to adapt and to provision
// a configuration stands for the work.
func TestTheCostOfASiteDoesNotGrowWithTheirNumber(t *testing.T) {
	a := newAuthority(t, "authority")
	for name, ownKeys := range map[string]bool{"one key set": false, "a key set for each site": true} {
		t.Run(name, func(t *testing.T) {
			cost := func(sites int, plain bool) (adapting, provisioning float64) {
				caddyfile := manySites(a, t.TempDir(), sites, plain, ownKeys && !plain)
				config := adapt(t, caddyfile)
				return bytesOf(func() { adapt(t, caddyfile) }), bytesOf(func() { provision(t, config) })
			}
			// What Caddy does by itself grows faster than the number of its sites. It does not count.
			added := func(sites int) (adapting, provisioning float64) {
				plainAdapting, plainProvisioning := cost(sites, true)
				adapting, provisioning = cost(sites, false)
				return (adapting - plainAdapting) / float64(sites), (provisioning - plainProvisioning) / float64(sites)
			}
			few, fewProvisioned := added(100)
			many, manyProvisioned := added(250)
			require.Less(t, many, 2*few, "adapting")
			require.Less(t, manyProvisioned, 2*fewProvisioned, "provisioning")
		})
	}
}

// bytesOf is how many bytes a function allocates. What other tests have left behind may allocate in the
// background meanwhile, so that the lesser of two runs counts.
func bytesOf(do func()) float64 {
	least := math.Inf(1)
	for range 2 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.TotalAlloc-before.TotalAlloc))
	}
	return least
}

// BenchmarkManySites is the cost of `caddy validate` for a server with many sites, beside that of a
// Caddy without the handlers.
func BenchmarkManySites(b *testing.B) {
	a := newAuthority(b, "authority")
	for _, plain := range []bool{true, false} {
		for _, sites := range []int{50, 100, 200} {
			kind := "ours"
			if plain {
				kind = "plain"
			}
			b.Run(fmt.Sprintf("%s/%d", kind, sites), func(b *testing.B) {
				config := adapt(b, manySites(a, b.TempDir(), sites, plain, false))
				b.ReportAllocs()
				for b.Loop() {
					provision(b, config)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*sites), "µs/site")
			})
		}
	}
}
