package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// caddyProcess is a Caddy that runs as a process.
type caddyProcess struct {
	cmd  *exec.Cmd
	addr string
	pki  *pki
}

// result is the result of one run.
type result struct {
	throughput float64 // requests a second
	cpu        float64 // seconds of CPU time for a request, in Caddy alone
}

func startCaddy(ctx context.Context, binary string, p *pki, routes string) (*caddyProcess, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	home := filepath.Join(p.dir, "caddy-"+port)
	caddyfile := fmt.Sprintf(`{
	admin off
	auto_https disable_redirects
	storage file_system %[1]s
	log {
		level ERROR
	}
	servers {
		protocols h1
	}
}
https://%[2]s:%[3]s {
	tls %[4]s/server.pem %[4]s/server.key {
		client_auth {
			mode verify_if_given
			trust_pool file %[4]s/ca.pem
		}
	}
	%[5]s
}
`, home, site, port, p.dir, routes)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(home, "Caddyfile")
	if err := os.WriteFile(config, []byte(caddyfile), 0o600); err != nil {
		return nil, err
	}
	c := &caddyProcess{cmd: exec.CommandContext(ctx, binary, "run", "--config", config), addr: addr, pki: p}
	c.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
	c.cmd.Stderr = os.Stderr
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	for range 200 {
		time.Sleep(50 * time.Millisecond)
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr); err == nil {
			return c, conn.Close()
		}
	}
	c.stop()
	return nil, errors.New("caddy did not start")
}

func (c *caddyProcess) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	_ = c.cmd.Wait()
}

// transport makes a transport that connects to the process, whatever the host of a request, and keeps its
// connections.
func (c *caddyProcess) transport(workers int) *http.Transport {
	return &http.Transport{
		TLSClientConfig:     c.pki.tlsConfig(),
		MaxIdleConnsPerHost: workers,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, c.addr)
		},
	}
}

// measure sends requests as fast as the workers can, for the duration d.
func (c *caddyProcess) measure(ctx context.Context, d time.Duration, workers int) (result, error) {
	transport := c.transport(workers)
	defer transport.CloseIdleConnections()
	attacker := vegeta.NewAttacker(
		vegeta.Client(&http.Client{Transport: transport, Timeout: 10 * time.Second}),
		vegeta.Workers(uint64(workers)), vegeta.MaxWorkers(uint64(workers)),
	)
	targeter := vegeta.NewStaticTargeter(vegeta.Target{
		Method: http.MethodGet, URL: "https://" + site + "/logs/_search", Header: headers(),
	})
	before, err := c.cpuTime()
	if err != nil {
		return result{}, err
	}
	var metrics vegeta.Metrics
	for r := range attacker.Attack(targeter, vegeta.Rate{}, d, "") { // without a limit of the rate
		metrics.Add(r)
		if r.Code != http.StatusOK {
			attacker.Stop()
			return result{}, fmt.Errorf("a request failed: %d %s %s", r.Code, r.Error, r.Body)
		}
	}
	metrics.Close()
	after, err := c.cpuTime()
	if err != nil {
		return result{}, err
	}
	if ctx.Err() != nil {
		return result{}, ctx.Err()
	}
	n := float64(metrics.Requests)
	return result{throughput: n / (metrics.Duration + metrics.Wait).Seconds(), cpu: (after - before).Seconds() / n}, nil
}

// headers returns the headers of the reference client. The transport adds an eighth one, Accept-Encoding.
func headers() http.Header {
	return http.Header{
		"Accept":                {"application/vnd.elasticsearch+json;compatible-with=8"},
		"Content-Type":          {"application/vnd.elasticsearch+json;compatible-with=8"},
		"User-Agent":            {"elastic-transport-go/8.8"},
		"X-Elastic-Client-Meta": {"es=8.19,go=1.26,t=8.8,hc=1.26"},
		"X-Opaque-Id":           {"8e1c1a7e"},
		"Traceparent":           {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		"Accept-Language":       {"en"},
	}
}

// cpuTime returns the user and system time of the process, which are the fields 14 and 15 of stat in
// hundredths of a second (proc(5)).
func (c *caddyProcess) cpuTime() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading Caddy's CPU time, which needs Linux: %w", err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("/proc/<pid>/stat has another form than expected")
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}
