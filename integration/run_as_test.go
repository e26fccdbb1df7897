package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/caddy"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// basic is a node with a basic licence, and what is in front of it.
type basic struct {
	front
	es *realnode.Elasticsearch
}

// newBasic returns a node with a basic licence and some users. One of them is native, and disabled.
func newBasic(t *testing.T, version string) *basic {
	t.Helper()
	n := basicNodeOf(t, version)
	b := &basic{es: n.es, front: front{node: n.node}}
	b.put(t, "/_security/user/edge-gone", `{"password":"unused-password","roles":["sales_reader"],"enabled":false}`)
	return b
}

func (b *basic) put(t *testing.T, path, body string) {
	t.Helper()
	status, answer, err := b.es.Do(t.Context(), http.MethodPut, path, body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, string(answer))
}

// runAs starts a Caddy with an API key that has these role descriptors. It changes the front's.
func (b *basic) runAs(t *testing.T, descriptors, settings string) *caddy.Caddy {
	t.Helper()
	s := stack{es: b.es}
	key := s.groupKey(t, "proxy", descriptors)
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(key+"\n"), 0o600))
	b.site = site{
		port: freePort(t), upstream: b.es.URL(),
		handler: "credential run_as {\nkey {file." + file + "}\n" + settings + "\n}",
	}
	caddyfile, err := b.site.caddyfile()
	require.NoError(t, err)
	b.caddy = StartCaddy(t, tokenSettings.ReplaceAllString(caddyfile, ""))
	return b.caddy
}

// TestClientRunsAsAUserOfTheCluster on a basic licence, with its rights and no others, whatever it says itself.
func TestClientRunsAsAUserOfTheCluster(t *testing.T) {
	for _, version := range versions(*elasticsearchVersions + "," + *basicVersions) {
		t.Run(version, func(t *testing.T) {
			b := newBasic(t, version)
			t.Run("by name", b.runByName)
			t.Run("by group", b.runByGroup)
			t.Run("a key with other rights", b.refuseTooMuch)
		})
	}
}

const onlyRunAs = `{"run_as":["edge-*","alice","runas-target"]}`

func (b *basic) runByName(t *testing.T) {
	b.runAs(t, onlyRunAs, "")
	nobody := b.search(t, "nobody", "analysts")
	require.Equal(t, http.StatusForbidden, nobody.status, "the first that the node is asked about proves that it obeys")
	require.Contains(t, nobody.body, "unauthorized to run as [nobody]")
	wine := b.search(t, "alice", "analysts")
	require.Equal(t, http.StatusOK, wine.status, wine.body)
	require.Contains(t, wine.body, `"price":12`)
	require.Equal(t, http.StatusForbidden, b.search(t, "edge-operators", "operators").status)
	require.Equal(t, http.StatusUnauthorized, b.search(t, "edge-gone", "analysts").status)
	for _, reserved := range []string{"elastic", "_xpack"} {
		refused := b.search(t, reserved, "analysts")
		require.Equal(t, http.StatusForbidden, refused.status)
		require.Contains(t, refused.body, "invalid_name")
	}

	claims := spoofs("spoofed.spoofed.spoofed")
	claims["removal of the user"] = http.Header{"Connection": {"Es-Security-Runas-User"}}
	for name, header := range claims {
		client := &http.Client{Transport: b.site.http1(clientCA().Client("alice", "analysts").TLS)}
		alice := send(t, client, http.MethodGet, b.site.url("/_security/_authenticate"), "", header).user(t)
		require.Equal(t, "alice", alice.Username, name)
		require.Equal(t, []string{"sales_reader"}, alice.Roles, name)
	}
	client := b.site.client(clientCA().Client("alice", "analysts").TLS)
	password := send(t, client, http.MethodPut, b.site.url("/_security/user/_password"),
		`{"password":"correct-horse"}`, nil)
	require.Equal(t, http.StatusForbidden, password.status, password.body)
}

func (b *basic) runByGroup(t *testing.T) {
	c := b.runAs(t, onlyRunAs, "user operators edge-operators\nuser analysts edge-analysts")
	who := func(groups ...string) answer {
		return b.site.authenticate(t, b.site.client(clientCA().Client("Zoë", groups...).TLS))
	}
	require.Equal(t, "edge-analysts", who("analysts").user(t).Username)
	require.Equal(t, "edge-operators", who("analysts", "operators").user(t).Username)
	carol := who("others")
	require.Equal(t, http.StatusForbidden, carol.status)
	require.Contains(t, carol.body, "no_role")
	requireLogged(t, c, "clients run as users of the cluster") // the key can read what it may do
	requireLogged(t, c, "the API key of run_as ends soon")
}

func (b *basic) refuseTooMuch(t *testing.T) {
	c := b.runAs(t, `{"run_as":["edge-*","alice"],"cluster":["monitor"]}`, "")
	requireLogged(t, c, "all clients are refused")
	refused := b.search(t, "alice", "analysts")
	require.Equal(t, http.StatusBadGateway, refused.status, refused.body)
	require.Contains(t, refused.body, "proxy_refused")
	require.Contains(t, refused.body, "other rights beside run_as")
}

func requireLogged(t *testing.T, c *caddy.Caddy, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(c.LogSince(0), text) }, time.Minute, 50*time.Millisecond)
}
