package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// quietHome is a home and a folder for temporary files, both of which must be empty in the end.
func quietHome(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "TMPDIR"} {
		t.Setenv(name, dir)
	}
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left, "the quickstart leaves something behind")
	})
}

func TestOnceShowsWhoIsWhoAndEnds(t *testing.T) {
	quietHome(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, options{once: true}), &out)
	for _, line := range []string{
		"200 user alice, roles sales_reader, realm jwt1",
		"200 user bob, roles cluster_watcher, realm jwt1",
		"200 2 documents",
		"403 security_exception",
		"401 no_certificate",
		"401 unverified",
	} {
		require.Contains(t, out.String(), "  -> "+line+"\n")
	}
	require.NotContains(t, out.String(), "FAILED")
	require.NotContains(t, out.String(), "curl")
}

// interrupted cancels a context when some text is written to it.
type interrupted struct {
	bytes.Buffer
	at     string
	cancel context.CancelFunc
}

func (w *interrupted) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.at) {
		w.cancel()
	}
	return w.Buffer.Write(p)
}

func TestWithoutOnceItPrintsCommandsAndStaysUntilItIsInterrupted(t *testing.T) {
	quietHome(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &interrupted{at: "grep audit caddy.log", cancel: cancel}
	require.NoError(t, run(ctx, out, options{}), &out.Buffer)
	require.Contains(t, out.String(), "curl --cacert ca.pem --resolve es.example.com:")
}

func TestFailureOfARequestIsAFailureOfTheCommand(t *testing.T) {
	quietHome(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &interrupted{at: "FAILED", cancel: cancel}
	site := &proxy{dir: t.TempDir(), port: 1} // nobody listens there
	require.NoError(t, site.writeCertificates())
	all := []scene{{title: "alice knocks", who: "alice", path: authenticate, status: 200}}
	require.Equal(t, 1, play(ctx, out, site, all))
	require.Contains(t, out.String(), "FAILED")
}

func TestRealNodeSaysWhatIsMissing(t *testing.T) {
	t.Setenv("HOME", t.TempDir()) // and with it an empty Maven repository
	for _, name := range []string{"PATH", "ES_JAVA_HOME", "OPENSEARCH_JAVA_HOME", "JAVA_HOME"} {
		t.Setenv(name, "")
	}
	for version, want := range map[string]string{
		"9":     "write all of it",
		"7.1.1": "use 8.2 or later",
		"9.2.0": "missing: ", // mvn, and before it a JDK where there is none
	} {
		var out bytes.Buffer
		require.ErrorContains(t, run(t.Context(), &out, options{elasticsearch: version, once: true}), want)
		require.Empty(t, out.String())
	}
}
