package realnode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode/process"
)

// JDK is an installed Java development kit.
type JDK struct {
	// Home is the folder of the JDK, as in JAVA_HOME.
	Home string
	// Feature is the feature version: 17 for 17.0.15, and 8 for 1.8.0_392.
	Feature int
}

func (j JDK) command(name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(j.Home, "bin", name)
}

// javaRange has the feature versions on which a node runs. If max is 0, there is no
// upper limit.
type javaRange struct{ min, max int }

func (r javaRange) has(feature int) bool {
	return feature >= r.min && (r.max == 0 || feature <= r.max)
}

func (r javaRange) String() string {
	if r.max == 0 {
		return fmt.Sprintf("%d or later", r.min)
	}
	return fmt.Sprintf("%d to %d", r.min, r.max)
}

var javaVersion = regexp.MustCompile(`version "(\d+)(?:\.(\d+))?[^"]*"`)

// parseJavaVersion reads the feature version from the output of `java -version`.
func parseJavaVersion(output string) (int, error) {
	m := javaVersion.FindStringSubmatch(output)
	if m == nil {
		return 0, fmt.Errorf("no version in %q", firstLine(output))
	}
	number := m[1]
	if number == "1" && m[2] != "" {
		number = m[2]
	}
	return strconv.Atoi(number)
}

// findJDK chooses the JDK for a node. It is the one in ES_JAVA_HOME or JAVA_HOME if its
// version is suitable, or else the oldest suitable one that is installed: releases of
// Java that are newer than the node may not have been tested with it.
func findJDK(ctx context.Context, want javaRange, account process.Account) (JDK, error) {
	var suitable []JDK
	var reasons []string
	for _, home := range javaHomes() {
		jdk, err := probeJDK(ctx, home.path, account)
		switch {
		case errors.Is(err, os.ErrNotExist) && !home.chosen:
			continue
		case err != nil:
			reasons = append(reasons, fmt.Sprintf("%s (%s): %v", home.path, home.origin, err))
			continue
		case !want.has(jdk.Feature):
			reasons = append(reasons, fmt.Sprintf("%s (%s): is version %d", home.path, home.origin, jdk.Feature))
			continue
		case home.chosen:
			return jdk, nil
		}
		suitable = append(suitable, jdk)
	}
	if len(suitable) > 0 {
		return slices.MinFunc(suitable, func(a, b JDK) int { return a.Feature - b.Feature }), nil
	}
	how := fmt.Sprintf("install a JDK, version %s (Debian: apt-get install openjdk-%d-jdk-headless; "+
		"others: adoptium.net), or set ES_JAVA_HOME to one", want, want.min)
	if len(reasons) > 0 {
		how += "; found but not suitable: " + strings.Join(reasons, "; ")
	}
	return JDK{}, &MissingError{What: fmt.Sprintf("a JDK, version %s", want), How: how}
}

// javaHome is a folder that may hold a JDK.
type javaHome struct {
	path   string
	origin string
	chosen bool // by the user, in a variable: it comes before all others
}

func javaHomes() []javaHome {
	var homes []javaHome
	add := func(path, origin string, chosen bool) {
		known := func(h javaHome) bool { return h.path == path }
		if path != "" && !slices.ContainsFunc(homes, known) {
			homes = append(homes, javaHome{path: path, origin: origin, chosen: chosen})
		}
	}
	for _, name := range []string{"ES_JAVA_HOME", "OPENSEARCH_JAVA_HOME", "JAVA_HOME"} {
		add(os.Getenv(name), name, true)
	}
	if java, err := exec.LookPath("java"); err == nil {
		if real, err := filepath.EvalSymlinks(java); err == nil {
			add(filepath.Dir(filepath.Dir(real)), "java on the PATH", false)
		}
	}
	for _, pattern := range []string{
		"/usr/lib/jvm/*",
		"/usr/java/*",
		"/opt/java/*",
		"/Library/Java/JavaVirtualMachines/*/Contents/Home",
	} {
		found, _ := filepath.Glob(pattern)
		for _, path := range found {
			if real, err := filepath.EvalSymlinks(path); err == nil {
				add(real, "installed", false)
			}
		}
	}
	return homes
}

func probeJDK(ctx context.Context, home string, account process.Account) (JDK, error) {
	jdk := JDK{Home: home}
	for _, name := range []string{"java", "javac"} {
		if _, err := os.Stat(jdk.command(name)); err != nil {
			return JDK{}, fmt.Errorf("is not a whole JDK: %w", err)
		}
	}
	if err := process.CheckReach(jdk.command("java"), account); err != nil {
		return JDK{}, err
	}
	output, err := exec.CommandContext(ctx, jdk.command("java"), "-version").CombinedOutput()
	if err != nil {
		return JDK{}, fmt.Errorf("java -version: %w: %s", err, firstLine(string(output)))
	}
	jdk.Feature, err = parseJavaVersion(string(output))
	return jdk, err
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
