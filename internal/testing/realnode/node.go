package realnode

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/freeport"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode/process"
)

// stopGrace is how long a node has to stop before it is killed.
const stopGrace = 30 * time.Second

// quickStart turns off the second, optimizing compiler of the JVM. In a process that
// ends soon, it takes more time than it saves.
const quickStart = "-XX:TieredStopAtLevel=1"

// Node is what [Elasticsearch] and [OpenSearch] have in common: one process with
// a folder and ports of its own. Its methods are not for concurrent use, except
// those that only read (URL, Address, Do and the log).
type Node struct {
	config  Config
	product string // as in the names of its commands: elasticsearch, opensearch
	home    string
	jdk     JDK
	account process.Account
	env     []string

	httpPort, transportPort int

	client    *http.Client
	authorize func(*http.Request)                 // adds the administrator's credentials
	ready     func(context.Context) (bool, error) // called until it returns true or an error

	running *process.Process
}

// newNode checks the configuration, finds a JDK and ports, and makes the folder of a
// node. The distribution is unpacked later, since that takes longer.
func newNode(ctx context.Context, product string, config Config, java javaRange) (*Node, error) {
	if runtime.GOOS == "windows" {
		return nil, &MissingError{What: "a system that real nodes are started on", How: "use Linux, macOS or WSL"}
	}
	n := &Node{config: config.withDefaults(), product: product, account: process.Unprivileged()}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(n.config.HTTP.CA) {
		return nil, errors.New("the node's HTTP.CA holds no PEM certificate")
	}
	if _, err := tls.X509KeyPair(n.config.HTTP.Cert, n.config.HTTP.Key); err != nil {
		return nil, fmt.Errorf("the node's HTTP certificate: %w", err)
	}
	n.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}

	var err error
	if n.jdk, err = findJDK(ctx, java, n.account); err != nil {
		return nil, err
	}
	if n.httpPort, err = freeport.Take(); err != nil {
		return nil, err
	}
	if n.transportPort, err = freeport.Take(); err != nil {
		return nil, err
	}
	if n.home, err = os.MkdirTemp("", "realnode-"+product+"-"); err != nil {
		return nil, err
	}
	if err := process.CheckReach(n.home, n.account); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: set TMPDIR to a folder that it can reach", err), n.Close())
	}
	variable := "ES"
	if product == "opensearch" {
		variable = "OPENSEARCH"
	}
	temporary := filepath.Join(n.home, "tmp")
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + n.home,
		"TMPDIR=" + temporary,
		variable + "_TMPDIR=" + temporary,
		variable + "_JAVA_HOME=" + n.jdk.Home,
		variable + "_JAVA_OPTS=" + strings.Join(n.javaOptions(), " "),
		"CLI_JAVA_OPTS=" + quickStart, // of Elasticsearch's launcher and tools
	}
	return n, nil
}

func (n *Node) javaOptions() []string {
	options := []string{"-Xms" + n.config.Heap, "-Xmx" + n.config.Heap}
	if !n.config.Optimize {
		options = append(options, quickStart)
	}
	if len(n.config.Hosts) > 0 {
		options = append(options, "-Djdk.net.hosts.file="+n.ConfigPath("hosts"))
	}
	return append(options, n.config.JavaOptions...)
}

// writeConfig writes the settings and every file of the configuration, and gives
// the folder to the account that the node runs as.
func (n *Node) writeConfig(settings string) error {
	files := map[string][]byte{
		n.product + ".yml": []byte(settings),
		"certs/http.crt":   n.config.HTTP.Cert,
		"certs/http.key":   n.config.HTTP.Key,
	}
	if len(n.config.Hosts) > 0 {
		files["hosts"] = []byte(renderHosts(n.config.Hosts))
	}
	for _, set := range []map[string][]byte{files, n.config.Files} {
		for name, data := range set {
			if err := n.WriteConfig(name, data); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(n.home, "logs"), 0o755); err != nil {
		return err
	}
	return process.Own(n.home, n.account)
}

// ConfigPath returns the path of a file in the config folder.
func (n *Node) ConfigPath(name string) string {
	return filepath.Join(n.home, "config", filepath.FromSlash(name))
}

// WriteConfig writes a file in the config folder. It replaces the file in one step, so
// that a running node never reads half of it.
func (n *Node) WriteConfig(name string, data []byte) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("config file %q leads out of the config folder", name)
	}
	path := n.ConfigPath(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// The temporary file is outside the config folder, since nodes watch some folders
	// in it.
	temporary := filepath.Join(n.home, "tmp", filepath.Base(path))
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	if err := process.Own(temporary, n.account); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// Start starts the node and waits until it serves requests. A node that was stopped
// starts again with the same data on the same ports. If the node does not start, the
// error ends with lines of its log.
func (n *Node) Start(ctx context.Context) error {
	if n.running != nil && n.running.Running() {
		return fmt.Errorf("%s is running already", n)
	}
	ctx, cancel := context.WithTimeout(ctx, n.config.StartTimeout)
	defer cancel()
	position := n.LogPosition()
	if err := n.launch(); err != nil {
		return err
	}
	if err := n.wait(ctx); err != nil {
		err = errors.Join(err, n.Stop())
		return fmt.Errorf("%s did not start: %w\nfrom its log:\n%s", n, err, failure(n.LogSince(position)))
	}
	return nil
}

func (n *Node) launch() error {
	if err := os.Remove(n.pidFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	console, err := os.OpenFile(n.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer console.Close()
	// The node goes on after the context of Start has ended.
	cmd := n.command(context.Background(), n.product, "-p", n.pidFile())
	cmd.Stdout, cmd.Stderr = console, console
	n.running, err = process.Start(cmd)
	return err
}

// command returns a command of the distribution, with the account and the environment
// of the node.
func (n *Node) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(n.home, "bin", name), args...)
	cmd.Dir = n.home
	cmd.Env = n.env
	process.RunAs(cmd, n.account)
	return cmd
}

func (n *Node) wait(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := n.ready(ctx); ok || err != nil {
			return err
		}
		select {
		case <-n.running.Done():
			return fmt.Errorf("it ended by itself (%w)", cmp.Or(n.running.Err(), errors.New("exit status 0")))
		case <-ctx.Done():
			return fmt.Errorf("it did not answer in time: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Stop stops the node and keeps its folder.
func (n *Node) Stop() error {
	if n.running == nil {
		return nil
	}
	pid, err := n.pid()
	if err != nil {
		return errors.Join(err, n.running.Kill())
	}
	if err := n.running.Stop(pid, stopGrace); err != nil {
		return fmt.Errorf("stop %s: %w", n, err)
	}
	return nil
}

// Restart stops the node and starts it again with the same data on the same
// ports.
func (n *Node) Restart(ctx context.Context) error {
	if err := n.Stop(); err != nil {
		return err
	}
	return n.Start(ctx)
}

// Close stops the node and removes its folder.
func (n *Node) Close() error {
	err := n.Stop()
	n.client.CloseIdleConnections()
	return errors.Join(err, os.RemoveAll(n.home))
}

func (n *Node) pidFile() string { return filepath.Join(n.home, "node.pid") }

// pid returns the process id that the node has written to its file, or 0 if it has not
// done so yet.
func (n *Node) pid() (int, error) {
	text, err := os.ReadFile(n.pidFile())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(text) == 0 {
		return 0, nil
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s holds %q, which is no process id", n.pidFile(), text)
	}
	return pid, nil
}

// String returns the name of the node in messages.
func (n *Node) String() string { return n.product + " " + n.config.Version }

// Version returns the version of the node.
func (n *Node) Version() string { return n.config.Version }

// Address returns the host and port of the node's HTTPS interface.
func (n *Node) Address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.httpPort))
}

// URL returns the URL of the node's HTTPS interface, without a slash at the end.
func (n *Node) URL() string { return "https://" + n.Address() }

// Do sends a request as the node's administrator. The path begins with a slash. The
// body is JSON, or lines of JSON for _bulk.
func (n *Node) Do(ctx context.Context, method, path, body string) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, n.URL()+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/x-ndjson")
		if !strings.Contains(path, "_bulk") {
			request.Header.Set("Content-Type", "application/json")
		}
	}
	n.authorize(request)
	response, err := n.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}
