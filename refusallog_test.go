package esjwt_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// refusals are the lines of Caddy's log about refusals.
func (p *proxy) refusals() []map[string]any {
	p.t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(p.logs.String()) {
		if !strings.Contains(line, `"clients are being refused`) {
			continue
		}
		var fields map[string]any
		require.NoError(p.t, json.Unmarshal([]byte(line), &fields))
		lines = append(lines, fields)
	}
	return lines
}

// TestARefusalIsLoggedWithItsCertificate: with its number and its end, by which an operator finds it.
func TestARefusalIsLoggedWithItsCertificate(t *testing.T) {
	s := newScene(t, "")
	cert := s.clients.client("")
	for range 3 {
		s.get(s.httpClient(cert), "/")
		s.get(s.httpClient(), "/")
	}
	lines := s.refusals()
	require.Len(t, lines, 2, "one a minute for each reason and advice")
	require.Equal(t, "warn", lines[0]["level"])
	require.Equal(t, "no_principal", lines[0]["reason"])
	require.Equal(t, fmt.Sprintf("%04x", cert.Leaf.SerialNumber), lines[0]["certificate_serial"])
	require.Equal(t, cert.Leaf.NotAfter.UTC().Format(time.RFC3339), lines[0]["certificate_not_after"])
	require.Equal(t, "info", lines[1]["level"], "any port scanner can cause it")
	require.Equal(t, "no_certificate", lines[1]["reason"])
	require.NotContains(t, lines[1], "certificate_serial")
	require.Equal(t, 4, strings.Count(s.logs.String(), `"a client was refused"`), "the others, at DEBUG")
}

// TestThatThereIsNoKeyIsAnError: nobody gets in, and Caddy itself logs only those errors that it answers.
func TestThatThereIsNoKeyIsAnError(t *testing.T) {
	storage := filepath.Join(t.TempDir(), "not-a-folder")
	require.NoError(t, os.WriteFile(storage, nil, 0o600))
	s := newSceneOf(t, minimal, "{{settings}}", "", "{{storage}}", storage)
	a := s.get(s.httpClient(s.clients.client("alice")), "/")
	requireRefusal(t, a, http.StatusServiceUnavailable, security, "no_key")
	require.Equal(t, "5", a.Header.Get("Retry-After"))
	require.NotContains(t, a.body, storage)
	lines := s.refusals()
	require.Len(t, lines, 1)
	require.Equal(t, "error", lines[0]["level"])
}

// TestNoClientCanFillTheLog: what a client has a choice of is in no advice, so all of it is one line a minute.
func TestNoClientCanFillTheLog(t *testing.T) {
	s := newSceneOf(t, ownPool, "{{settings}}", "claim team {cert.ou}")
	for n := range 5 {
		many := s.clients.client("alice")
		for range 10 + n {
			many = along(many, s.clients.cert)
		}
		require.Equal(t, "unverified", s.sends(many))
		large := make([]string, 40+n)
		for i := range large {
			large[i] = strings.Repeat("g", 300) + fmt.Sprint(i)
		}
		require.Equal(t, "too_large", s.sends(s.clients.client("alice", large...)))
	}
	lines := s.refusals()
	require.Len(t, lines, 2)
	require.Equal(t, "it sent 11", lines[0]["error"], "the operator sees the number")
}
