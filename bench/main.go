// Command bench measures how much slower the plugin makes a proxy. It runs the same Caddy twice, with mutual
// TLS in front of the same upstream: once with elasticsearch_jwt, and once with a static header_up
// instead. It measures both in many short runs, one after the other.
//
//	go -C bench run . -pairs 60 -duration 1s
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
	flag.Parse()
	log.SetFlags(0)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *pairs, *duration, *workers, *binary)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, pairs int, duration time.Duration, workers int, binary string) error {
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
	upstream, err := startUpstream()
	if err != nil {
		return err
	}
	defer upstream.Close()

	const plugin = `elasticsearch_jwks
		elasticsearch_jwt {
			issuer   https://es.example.com
			audience https://elasticsearch.example.com:9200
		}
		reverse_proxy %s`
	with, err := startCaddy(ctx, binary, pki, fmt.Sprintf(plugin, upstream.Addr()))
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

	for _, c := range []*caddyProcess{with, without} { // warm up
		if _, err := c.measure(ctx, duration, workers); err != nil {
			return err
		}
	}
	var throughput, cpu []float64
	for i := range pairs {
		order := []*caddyProcess{with, without}
		if i%2 == 1 {
			order[0], order[1] = order[1], order[0]
		}
		results := map[*caddyProcess]result{}
		for _, c := range order {
			if results[c], err = c.measure(ctx, duration, workers); err != nil {
				return err
			}
		}
		throughput = append(throughput, results[with].throughput/results[without].throughput)
		cpu = append(cpu, results[with].cpu/results[without].cpu)
		fmt.Printf("pair %3d: with %6.0f req/s %6.1f µs CPU/req, static %6.0f req/s %6.1f µs CPU/req\n", i+1,
			results[with].throughput, results[with].cpu*1e6, results[without].throughput, results[without].cpu*1e6)
	}
	report("throughput, with / static header_up", throughput)
	report("CPU time for a request, with / static header_up", cpu)
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
