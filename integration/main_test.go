// Package integration tests the plugin against real Elasticsearch and OpenSearch
// nodes, with a real Caddy process in front:
//
//	go -C integration test -timeout 45m ./...
//
// It takes half an hour, and starts two dozen nodes. With
// -race the Caddy is built with the race detector, and a race fails the test.
//
// The nodes are fetched with mvn on the first run and need a JDK. Other tests
// need SoftHSM2, Redis and PostgreSQL. Where one of these is missing a test is
// skipped and says what to install; with CI in the environment it fails.
package integration

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/caddy"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/freeport"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

var (
	elasticsearchVersions = flag.String("elasticsearch", "8.17.0,9.2.0", "the versions of Elasticsearch to test with")
	rdnVersions           = flag.String("rdn", "8.19.9,9.3.2",
		"the versions of Elasticsearch to test username_rdn with, which those above do not have")
	basicVersions = flag.String("basic", "9.3.2",
		"more versions of Elasticsearch to test API keys on a basic licence with")
	openSearchVersions = flag.String("opensearch", "2.19.3,3.4.0", "the versions of OpenSearch to test with")
	caddyProgram       = flag.String("caddy", "", "a caddy with the plugin, instead of building cmd/caddy")
)

func TestMain(m *testing.M) {
	flag.Parse()
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupt
		closeShared()
		os.Exit(1)
	}()
	code := m.Run()
	os.Exit(max(code, closeShared()))
}

// shared is what lives for the whole run: nodes and programs that several tests
// use.
var shared struct {
	sync.Mutex
	closers []func() error
}

// closeAtEnd closes something that outlives the test that asked for it first.
func closeAtEnd(closer func() error) {
	shared.Lock()
	defer shared.Unlock()
	shared.closers = append(shared.closers, closer)
}

func closeShared() (exitCode int) {
	shared.Lock()
	defer shared.Unlock()
	for len(shared.closers) > 0 {
		last := len(shared.closers) - 1
		if err := shared.closers[last](); err != nil {
			fmt.Fprintln(os.Stderr, "integration:", err)
			exitCode = 1
		}
		shared.closers = shared.closers[:last]
	}
	return exitCode
}

// requireReal requires that a real node could be made or started. Without CI in
// the environment a missing prerequisite skips the test.
func requireReal(t testing.TB, err error) {
	t.Helper()
	var missing *realnode.MissingError
	if errors.As(err, &missing) && os.Getenv("CI") == "" {
		t.Skip(missing.Error())
	}
	require.NoError(t, err)
}

// builtCaddy is the program that all tests run.
var builtCaddy = sync.OnceValues(func() (string, error) {
	if *caddyProgram != "" {
		return filepath.Abs(*caddyProgram)
	}
	dir, err := os.MkdirTemp("", "caddy-build-")
	if err != nil {
		return "", err
	}
	closeAtEnd(func() error { return os.RemoveAll(dir) })
	return caddy.Build(context.Background(), dir)
})

// StartCaddy runs a Caddy with the plugin for the time of a test.
func StartCaddy(t testing.TB, caddyfile string, env ...string) *caddy.Caddy {
	t.Helper()
	program, err := builtCaddy()
	require.NoError(t, err)
	return caddy.Start(t, program, caddyfile, env...)
}

func versions(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// freePort is a port of the loopback interface that nobody uses now.
func freePort(t testing.TB) int {
	t.Helper()
	port, err := freeport.Take()
	require.NoError(t, err)
	return port
}
