// Command quickstart shows what the plugin does. It needs no other machine, and removes its files at the
// end:
//
//	go run ./example/quickstart
//
// It makes a throwaway certificate authority and client certificates, and runs Caddy with the plugin and
// the smallest useful Caddyfile. Behind Caddy is an imitation of Elasticsearch in this process, or with
// -elasticsearch a real node. The command sends a few requests, and then waits for yours.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/freeport"
)

// options are the flags of the command line.
type options struct {
	elasticsearch string
	port          int
	once          bool
}

func main() {
	var o options
	flag.StringVar(&o.elasticsearch, "elasticsearch", "",
		"a version, such as 9.2.0, to fetch (with mvn) and run a real node (needs a JDK)")
	flag.IntVar(&o.port, "port", 0, "the port for Caddy to listen on (default: a free one)")
	flag.BoolVar(&o.once, "once", false, "play the requests and exit, with status 1 if one did not go as it must")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, o)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run does everything. It stops all that it has started before it returns.
func run(ctx context.Context, out io.Writer, o options) (err error) {
	site := &proxy{port: o.port}
	if site.port == 0 {
		if site.port, err = freeport.Take(); err != nil {
			return err
		}
	}
	if site.dir, err = os.MkdirTemp("", "quickstart-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(site.dir)) }()
	if err := site.writeCertificates(); err != nil {
		return err
	}

	es, err := newNode(ctx, o.elasticsearch, site)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, es.close()) }()
	if err := site.start(ctx, es.url); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.stop()) }()
	fmt.Fprintf(out, "Caddy          %s\nElasticsearch  %s (%s)\n", site.url(""), es.url, es.name)
	if err := es.start(ctx); err != nil {
		return err
	}
	if err := es.addSales(ctx); err != nil {
		return err
	}

	failures := play(ctx, out, site, scenes(es))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failures > 0:
		return fmt.Errorf("%d of the requests did not go as they must", failures)
	case o.once:
		return nil
	}
	printCommands(out, site)
	<-ctx.Done()
	fmt.Fprintln(out)
	return nil
}

func newNode(ctx context.Context, version string, site *proxy) (*node, error) {
	if version == "" {
		return newImitation(site)
	}
	return newRealNode(ctx, version, site)
}
