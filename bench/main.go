// Command bench measures how much slower the plugin makes a proxy. It runs the same Caddy twice, with mutual
// TLS in front of the same upstream: once with elasticsearch_jwt, and once with a static header_up
// instead. It measures both in many short runs, one after the other.
//
//	go -C bench run . -pairs 60 -duration 1s
//
// With -compare versions, both have the plugin and its transport, in front of an upstream that speaks TLS: one speaks
// HTTP/1.1 to it, as it does by default, and the other HTTP/2.
//
//	go -C bench run . -compare versions -workers 64
//
// It prints the ratio of their throughput, and of the CPU time of Caddy for a request, each with a 95%
// confidence interval.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	pairs := flag.Int("pairs", 60, "how many pairs of runs")
	duration := flag.Duration("duration", time.Second, "how long each run is")
	workers := flag.Int("workers", 8, "how many clients send requests, each over a connection of its own")
	binary := flag.String("caddy", "", "the Caddy to measure (default: it is built from this checkout)")
	compare := flag.String("compare", "handler", "handler: with the plugin and without; versions: HTTP/1.1 and HTTP/2")
	flag.Parse()
	log.SetFlags(0)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *compare, *binary, load{*pairs, *duration, *workers})
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// load is how both Caddys are measured.
type load struct {
	pairs    int
	duration time.Duration
	workers  int
}

func run(ctx context.Context, what, binary string, l load) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if binary == "" {
		binary = filepath.Join(dir, "caddy")
		if err := build(ctx, binary); err != nil {
			return err
		}
	}
	pki, err := newPKI(dir)
	if err != nil {
		return err
	}
	switch what {
	case "handler":
		return compareHandler(ctx, binary, pki, l)
	case "versions":
		return compareVersions(ctx, binary, pki, l)
	default:
		return fmt.Errorf("-compare %s: use handler or versions", what)
	}
}

// plugin is the site of a Caddy with the plugin, before its reverse_proxy.
const plugin = `elasticsearch_jwks
	elasticsearch_jwt {
		issuer   https://es.example.com
		audience https://elasticsearch.example.com:9200
	}
	`

// compareHandler measures the plugin beside a static header.
func compareHandler(ctx context.Context, binary string, pki *pki, l load) error {
	upstream, err := startUpstream(nil)
	if err != nil {
		return err
	}
	defer upstream.Close()
	with, err := startCaddy(ctx, binary, pki, plugin+"reverse_proxy "+upstream.Addr())
	if err != nil {
		return err
	}
	defer with.stop()
	// The static header is as long as the token that the plugin makes.
	token, err := upstream.tokenThrough(ctx, with)
	if err != nil {
		return err
	}
	header := "Bearer " + strings.Repeat("x", len(token))
	static := fmt.Sprintf("reverse_proxy %s {\n\t\t\theader_up Authorization %q\n\t\t}", upstream.Addr(), header)
	without, err := startCaddy(ctx, binary, pki, static)
	if err != nil {
		return err
	}
	defer without.stop()
	return compare(ctx, contestant{"with", with}, contestant{"static header_up", without}, l)
}

// compareVersions measures HTTP/1.1 beside HTTP/2 to the same upstream.
func compareVersions(ctx context.Context, binary string, pki *pki, l load) error {
	upstream, err := startUpstream(pki)
	if err != nil {
		return err
	}
	defer upstream.Close()
	site := func(versions string) string {
		return plugin + fmt.Sprintf(`reverse_proxy https://%s {
		transport elasticsearch_jwt {
			tls_trust_pool file %s/ca.pem
			tls_server_name %s
			%s
		}
	}`, upstream.Addr(), pki.dir, site, versions)
	}
	http1, err := startCaddy(ctx, binary, pki, site(""))
	if err != nil {
		return err
	}
	defer http1.stop()
	http2, err := startCaddy(ctx, binary, pki, site("versions 1.1 2"))
	if err != nil {
		return err
	}
	defer http2.stop()
	if err := compare(ctx, contestant{"HTTP/1.1", http1}, contestant{"HTTP/2", http2}, l); err != nil {
		return err
	}
	fmt.Printf("the upstream served %d requests over HTTP/1.1, and %d over HTTP/2\n",
		upstream.http1.Load(), upstream.http2.Load())
	return nil
}

// contestant is one of the two Caddys.
type contestant struct {
	name string
	*caddyProcess
}

// compare measures two Caddys in turns, and prints the ratios of the first to the second.
func compare(ctx context.Context, first, second contestant, l load) error {
	for _, c := range []contestant{first, second} { // warm up
		if _, err := c.measure(ctx, l.duration, l.workers); err != nil {
			return err
		}
	}
	var throughput, cpu []float64
	for i := range l.pairs {
		order := []contestant{first, second}
		if i%2 == 1 {
			order[0], order[1] = order[1], order[0]
		}
		results := map[string]result{}
		for _, c := range order {
			r, err := c.measure(ctx, l.duration, l.workers)
			if err != nil {
				return err
			}
			results[c.name] = r
		}
		a, b := results[first.name], results[second.name]
		throughput = append(throughput, a.throughput/b.throughput)
		cpu = append(cpu, a.cpu/b.cpu)
		fmt.Printf("pair %3d: %s %6.0f req/s %6.1f µs CPU/req, %s %6.0f req/s %6.1f µs CPU/req\n", i+1,
			first.name, a.throughput, a.cpu*1e6, second.name, b.throughput, b.cpu*1e6)
	}
	ratio := first.name + " / " + second.name
	report("throughput, "+ratio, throughput)
	report("CPU time for a request, "+ratio, cpu)
	return nil
}

func build(ctx context.Context, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/caddy")
	cmd.Dir = ".."
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building Caddy (run this with `go -C bench run .`): %w", err)
	}
	return nil
}
