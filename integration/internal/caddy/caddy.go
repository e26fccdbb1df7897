// Package caddy runs this repository's cmd/caddy as a process of its own, with
// its own storage, configuration folder and admin endpoint.
package caddy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode/process"
)

const rootModule = "github.com/edgejwt/caddy-elasticsearch-jwt"

// Build builds cmd/caddy into a folder and returns the program's path. If the test
// has the race detector, the program has it too.
func Build(ctx context.Context, dir string, tags ...string) (string, error) {
	return build(ctx, ".", "./cmd/caddy", dir, tags)
}

// BuildStorages builds a Caddy that also has storages in Redis and PostgreSQL.
func BuildStorages(ctx context.Context, dir string, tags ...string) (string, error) {
	return build(ctx, "integration/storages", ".", dir, tags)
}

// build builds a program of one of this repository's modules.
func build(ctx context.Context, module, program, dir string, tags []string) (string, error) {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", rootModule)
	root, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("find the module %s: %w", rootModule, err)
	}
	output := filepath.Join(dir, "caddy")
	args := []string{"build", "-o", output, "-tags", strings.Join(tags, ",")}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.CommandContext(ctx, "go", append(args, program)...)
	build.Dir = filepath.Join(strings.TrimSpace(string(root)), module)
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s in %s: %w\n%s", program, module, err, output)
	}
	return output, nil
}

// BuildWith builds a Caddy with this plugin and others, as an operator does: with
// xcaddy. As in the documents, the plugins have the versions in this plugin's go.mod.
// The latest versions might not build with this Caddy.
func BuildWith(ctx context.Context, dir string, plugins ...string) (string, error) {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", rootModule)
	output, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("find the module %s: %w", rootModule, err)
	}
	root := strings.TrimSpace(string(output))
	version, err := versionOf(ctx, root, "github.com/caddyserver/caddy/v2")
	if err != nil {
		return "", fmt.Errorf("find the version of Caddy: %w", err)
	}
	program := filepath.Join(dir, "caddy")
	// The version of this plugin is not used. Without one, xcaddy would look for the
	// published ones.
	args := []string{"tool", "xcaddy", "build", version, "--output", program, "--with", rootModule + "@v0.0.0=" + root}
	for _, plugin := range plugins {
		version, err := versionOf(ctx, root, plugin)
		if err != nil {
			return "", fmt.Errorf("find the version of %s: %w", plugin, err)
		}
		args = append(args, "--with", plugin+"@"+version)
	}
	build := exec.CommandContext(ctx, "go", args...)
	build.Dir = filepath.Join(root, "tools")
	build.Env = append(os.Environ(), "CGO_ENABLED=1", "TMPDIR="+dir)
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build Caddy with %s: %w\n%s", strings.Join(plugins, ", "), err, output)
	}
	return program, nil
}

// versionOf returns the version that a go.mod requires for a package or a module.
func versionOf(ctx context.Context, root, name string) (string, error) {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Version}}", "all")
	list.Dir = root
	output, err := list.Output()
	if err != nil {
		return "", err
	}
	longest, version := "", ""
	for line := range strings.Lines(string(output)) {
		module, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		if (name == module || strings.HasPrefix(name, module+"/")) && len(module) > len(longest) {
			longest, version = module, v
		}
	}
	if version == "" {
		return "", errors.New("go.mod does not name it")
	}
	return version, nil
}

// Caddy is a running Caddy.
type Caddy struct {
	program string
	dir     string
	env     []string
	running *process.Process
	admin   *http.Client
}

// New prepares a Caddy that is not started yet, with a storage of its own. The
// environment is added to that of the test.
func New(program string, env ...string) (*Caddy, error) {
	// The path of testing.TB's folder is too long for that of a socket.
	dir, err := os.MkdirTemp("", "caddy-")
	if err != nil {
		return nil, err
	}
	c := &Caddy{program: program, dir: dir}
	c.env = append(os.Environ(),
		"HOME="+dir,
		"XDG_DATA_HOME="+c.DataHome(),
		"XDG_CONFIG_HOME="+filepath.Join(dir, "config"),
		"CADDY_ADMIN=unix/"+c.socket(),
	)
	c.env = append(c.env, env...)
	c.admin = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.socket())
		},
	}}
	return c, nil
}

// Start starts a Caddy, and stops it at the end of the test. If the test fails, it
// shows the end of Caddy's log.
func Start(t testing.TB, program, caddyfile string, env ...string) *Caddy {
	t.Helper()
	c, err := New(program, env...)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, c.Close())
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last lines of Caddy's log:\n%s", c.LogTail(40))
		}
	})
	require.NoError(t, c.Run(t.Context(), caddyfile))
	return c
}

func (c *Caddy) socket() string { return filepath.Join(c.dir, "admin.sock") }

// Run starts the process with a Caddyfile and waits until it serves.
func (c *Caddy) Run(ctx context.Context, caddyfile string) error {
	if c.running != nil && c.running.Running() {
		return errors.New("caddy is running already")
	}
	config := filepath.Join(c.dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(caddyfile), 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(c.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	position := c.LogPosition()
	cmd := exec.Command(c.program, "run", "--config", config, "--adapter", "caddyfile")
	cmd.Dir = c.dir
	cmd.Env = c.env
	cmd.Stdout, cmd.Stderr = log, log
	if c.running, err = process.Start(cmd); err != nil {
		return err
	}
	deadline := time.After(time.Minute)
	for !strings.Contains(c.LogSince(position), "serving initial configuration") {
		select {
		case <-c.running.Done():
			return fmt.Errorf("caddy ended by itself:\n%s", lastLines(c.LogSince(position), 20))
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), c.Stop())
		case <-deadline:
			log := lastLines(c.LogSince(position), 20)
			return errors.Join(fmt.Errorf("caddy did not serve within a minute:\n%s", log), c.Stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// Reload loads another Caddyfile into the running process.
func (c *Caddy) Reload(ctx context.Context, caddyfile string) error {
	status, body, err := c.Admin(ctx, http.MethodPost, "/load", "text/caddyfile", caddyfile)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("reload: %d: %s", status, body)
	}
	return nil
}

// Admin sends a request to the admin endpoint. A reload replaces the endpoint, and
// can close the connection of a request. So a request that fails is sent again.
func (c *Caddy) Admin(
	ctx context.Context, method, path, contentType, body string,
) (status int, answer []byte, err error) {
	for range 5 {
		if status, answer, err = c.adminOnce(ctx, method, path, contentType, body); err == nil || ctx.Err() != nil {
			return status, answer, err
		}
		time.Sleep(200 * time.Millisecond)
	}
	return status, answer, err
}

func (c *Caddy) adminOnce(
	ctx context.Context, method, path, contentType, body string,
) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Host = "" // as caddy's own commands do over a socket
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.admin.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// Command runs one of the program's commands, which uses this Caddy's admin endpoint,
// and returns its standard output.
func (c *Caddy) Command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Env = c.env
	output, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("caddy %s: %w\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	return string(output), err
}

// Kill ends the process at once.
func (c *Caddy) Kill() error {
	c.admin.CloseIdleConnections()
	return c.running.Kill()
}

// Stop asks the process to end and waits for it. It returns data races and panics in
// the log as errors.
func (c *Caddy) Stop() error {
	if c.running == nil {
		return nil
	}
	err := c.running.Stop(0, 20*time.Second)
	c.admin.CloseIdleConnections()
	log := c.LogSince(0)
	for _, sign := range []string{"WARNING: DATA RACE", "panic: ", `"msg":"panic`} {
		if i := strings.Index(log, sign); i >= 0 {
			err = errors.Join(err, fmt.Errorf("caddy logged:\n%s", firstLines(log[i:], 60)))
		}
	}
	return err
}

// Close stops the process and removes its storage.
func (c *Caddy) Close() error {
	return errors.Join(c.Stop(), os.RemoveAll(c.dir))
}

// PID returns the id of the process.
func (c *Caddy) PID() int { return c.running.PID() }

// DataHome returns the folder with Caddy's storage. Another Caddy that has it as its
// XDG_DATA_HOME is another replica.
func (c *Caddy) DataHome() string { return filepath.Join(c.dir, "data") }

// LogFile returns the path of the file with everything that the process printed.
func (c *Caddy) LogFile() string { return filepath.Join(c.dir, "caddy.log") }

// LogPosition returns the present length of the log, for LogSince.
func (c *Caddy) LogPosition() int { return len(c.LogSince(0)) }

// LogSince returns the log after a LogPosition.
func (c *Caddy) LogSince(position int) string {
	log, err := os.ReadFile(c.LogFile())
	if err != nil {
		return ""
	}
	return string(bytes.ToValidUTF8(log[min(position, len(log)):], nil))
}

// LogTail returns the last lines of the log.
func (c *Caddy) LogTail(lines int) string { return lastLines(c.LogSince(0), lines) }

func lastLines(text string, n int) string {
	lines := slices.Collect(strings.Lines(text))
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

func firstLines(text string, n int) string {
	lines := slices.Collect(strings.Lines(text))
	return strings.Join(lines[:min(n, len(lines))], "")
}
