package integration

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/caddy"
	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/issuer"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// fastCaddy is a Caddy whose minutes are seconds.
var fastCaddy = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "caddy-build-")
	if err != nil {
		return "", err
	}
	closeAtEnd(func() error { return os.RemoveAll(dir) })
	return caddy.Build(context.Background(), dir, "esjwt_fast")
})

// The keys of these tests: a rotation every 15 seconds, tokens that live for 5.
const (
	rotateEvery = 15 * time.Second
	fastOptions = `{
	auto_https disable_redirects
	skip_install_trust
	grace_period 5s
	elasticsearch_jwt {
		keys default storage {
			rotate_every 15s
			retire_after 1s
		}
	}
}
`
	fastLifetime = "lifetime 5s"
	fastJWKS     = `elasticsearch_jwks {
		max_age 1s
	}`
)

// cluster is a node with two Caddys in front that share a storage.
type cluster struct {
	node     *realnode.Node
	whoami   string // who the client is, as the node says
	name     string // the member of its answer with the name, as in a.b
	replicas [2]*replica
	balancer *balancer
}

// replica is one of the Caddys.
type replica struct {
	*caddy.Caddy
	site site
}

func (r *replica) caddyfile(t testing.TB) string {
	t.Helper()
	block, err := r.site.block()
	require.NoError(t, err)
	return fastOptions + block
}

func (r *replica) start(t testing.TB) {
	t.Helper()
	require.NoError(t, r.Run(t.Context(), r.caddyfile(t)))
}

// TestClusterNeverRefusesWhileKeysChange is a day in the life of keys, over a year's worth of
// rotations: whatever happens to the keys, the replicas and the cluster, every request is
// answered, and as the user of its certificate. Connections that a process which ends drops are
// asked for again on the other replica, and counted apart.
func TestClusterNeverRefusesWhileKeysChange(t *testing.T) {
	for _, version := range versions(*elasticsearchVersions) {
		t.Run("elasticsearch "+version, func(t *testing.T) {
			b := newBalancer(t)
			es := newElasticsearch(t, nodeConfig(version, teleportRealmSettings(b.site.url(issuer.Path))))
			c := &cluster{node: es.Node, whoami: "/_security/_authenticate", name: "username", balancer: b}
			c.keysChangeUnderLoad(t)
		})
	}
	for _, version := range versions(*openSearchVersions) {
		t.Run("opensearch "+version, func(t *testing.T) {
			b := newBalancer(t)
			node := newOpenSearch(t, version, openSearchSecurity(b.site.url(issuer.Path)))
			c := &cluster{node: node.Node, whoami: "/_plugins/_security/authinfo", name: "user_name", balancer: b}
			c.keysChangeUnderLoad(t)
		})
	}
}

func (c *cluster) keysChangeUnderLoad(t *testing.T) {
	t.Helper()
	c.startReplicas(t)
	require.NoError(t, c.node.Start(t.Context()))
	first := c.signing(t)
	load := c.startLoad(t)

	load.while(t, "five rotations on schedule", func() {
		last := first
		for range 5 {
			last = c.waitForRotation(t, last)
		}
	})
	load.while(t, "a rotation by hand", func() {
		before := c.signing(t)
		c.replicas[0].command(t, "rotate", "--json")
		c.waitForRotation(t, before)
	})
	load.whileProcessesEnd(t, "reloads all through a rotation", func() {
		before := c.signing(t)
		for i := 0; i < 8 || c.signing(t) == before; i++ {
			lifetime := fmt.Sprintf("lifetime %ds", 5+i%4)
			c.takeOut(t, i%2, func(r *replica) {
				require.NoError(t, r.Reload(t.Context(), strings.Replace(r.caddyfile(t), fastLifetime, lifetime, 1)))
			})
		}
	})
	load.whileProcessesEnd(t, "a restart of each replica", func() {
		for i := range c.replicas {
			c.takeOut(t, i, func(r *replica) {
				require.NoError(t, r.Stop())
				time.Sleep(time.Second)
				r.start(t)
			})
		}
		c.waitForRotation(t, c.signing(t))
	})
	load.whileProcessesEnd(t, "a replica that is killed and stays away for a rotation", func() {
		before := c.signing(t)
		require.NoError(t, c.replicas[0].Kill())
		c.waitForRotationAt(t, c.replicas[1], before)
		c.replicas[0].start(t)
	})
	load.whileProcessesEnd(t, "a restart of the cluster", func() {
		load.clusterRestarts.Store(true)
		require.NoError(t, c.node.Restart(t.Context()))
		load.clusterRestarts.Store(false)
		c.waitForRotation(t, c.signing(t))
	})
	load.while(t, "a revocation", func() { c.revoke(t, "--", c.signing(t)) })
	load.stop(t)

	// These cost requests until every replica has followed, and are as deadly.
	c.revoke(t, "--now", "--", c.signing(t))
	c.revoke(t, "--all")
}

// revoke revokes the key that signs, maybe with others. A token of its, made by a thief, works
// before that and not any more afterwards.
func (c *cluster) revoke(t *testing.T, args ...string) {
	t.Helper()
	stolen := c.signing(t)
	token := c.forge(t, stolen, "mallory")
	direct := func() int {
		return send(t, directClient(), http.MethodGet, c.node.URL()+c.whoami, "", bearer(token)).status
	}
	require.Equal(t, http.StatusOK, direct(), "before the revocation")

	var done struct {
		FreshFrom time.Time `json:"fresh_from"`
	}
	args = append([]string{"revoke", "--json"}, args...)
	require.NoError(t, json.Unmarshal([]byte(c.replicas[1].command(t, args...)), &done))
	c.waitForRotation(t, stolen)
	// The command says by when: with the first request that the fresh key is used for. A replica
	// hears of it half a second later.
	time.Sleep(time.Until(done.FreshFrom.Add(2 * time.Second)))
	for _, r := range c.replicas {
		client := r.site.client(clientCA().Client("alice", "analysts").TLS)
		require.Equal(t, http.StatusOK, send(t, client, http.MethodGet, r.site.url(c.whoami), "", nil).status)
	}
	require.Equal(t, http.StatusUnauthorized, direct(), "after the revocation")
}

// forge signs a token with a stored key, as one who stole the storage would.
func (c *cluster) forge(t *testing.T, kid, name string) string {
	t.Helper()
	object, err := os.ReadFile(filepath.Join(c.replicas[0].DataHome(), "caddy", "elasticsearch_jwt", "default", kid+
		".json"))
	require.NoError(t, err)
	var stored struct{ Key jose.JSONWebKey }
	require.NoError(t, json.Unmarshal(object, &stored))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: stored.Key}, nil)
	require.NoError(t, err)
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": proxyIssuer, "sub": name, "aud": []string{nodeAudience}, "roles": []string{"analysts"},
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	require.NoError(t, err)
	jws, err := signer.Sign(claims)
	require.NoError(t, err)
	token, err := jws.CompactSerialize()
	require.NoError(t, err)
	return token
}

func (c *cluster) startReplicas(t *testing.T) {
	t.Helper()
	program, err := fastCaddy()
	require.NoError(t, err)
	var shared []string
	for i := range c.replicas {
		process := caddyOf(t, program, shared...)
		r := &replica{process, site{
			port: freePort(t), upstream: c.node.URL(), handler: fastLifetime, jwks: fastJWKS,
			delivery: "elasticsearch_jwt", // which sends what a killed replica costs once more
		}}
		r.start(t)
		c.replicas[i] = r
		if i == 0 {
			shared = []string{"XDG_DATA_HOME=" + process.DataHome()}
		}
	}
	c.balancer.serve(t, c.replicas[0].site.port, c.replicas[1].site.port)
}

// caddyOf makes a Caddy for the time of a test, and does not start it.
func caddyOf(t testing.TB, program string, env ...string) *caddy.Caddy {
	t.Helper()
	process, err := caddy.New(program, env...)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last lines of a Caddy's log:\n%s", process.LogTail(60))
		}
		assert.NoError(t, process.Close())
	})
	return process
}

// command runs one of the plugin's commands.
func (r *replica) command(t testing.TB, args ...string) string {
	t.Helper()
	output, err := r.Command(t.Context(), append([]string{"elasticsearch-jwt"}, args...)...)
	require.NoError(t, err)
	return output
}

// signing is the kid of the key that signs, according to a replica.
func (c *cluster) signing(t testing.TB) string { return c.replicas[1].signing(t) }

func (r *replica) signing(t testing.TB) string {
	t.Helper()
	kid := ""
	require.Eventually(t, func() bool { // one that has just started is still reading its keys
		status, body, err := r.Admin(t.Context(), http.MethodGet, "/elasticsearch_jwt/keys/default", "", "")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, string(body))
		var set struct {
			Keys []struct{ KID, State string }
		}
		require.NoError(t, json.Unmarshal(body, &set))
		for _, key := range set.Keys {
			if key.State == "signing" {
				kid = key.KID
			}
		}
		return kid != ""
	}, 10*time.Second, 50*time.Millisecond, "a key signs")
	return kid
}

// waitForRotation waits until all replicas sign with another key, and their clients with it.
func (c *cluster) waitForRotation(t testing.TB, before string) string {
	t.Helper()
	for _, r := range c.replicas {
		c.waitForRotationAt(t, r, before)
	}
	return c.signing(t)
}

func (*cluster) waitForRotationAt(t testing.TB, r *replica, before string) {
	t.Helper()
	require.Eventually(t, func() bool { return r.signing(t) != before }, 3*rotateEvery, 200*time.Millisecond, "a rotation")
}

// takeOut does something to a replica once the balancer has drained it: Caddy drops connections
// whose handshake is under way when it reloads, and a node does not ask again.
func (c *cluster) takeOut(t *testing.T, i int, do func(*replica)) {
	t.Helper()
	c.balancer.out.Store(int32(i))
	require.Eventually(t, func() bool { return c.balancer.open[i].Load() == 0 }, 10*time.Second, 10*time.Millisecond,
		"drained")
	do(c.replicas[i])
	c.balancer.out.Store(-1)
}

// balancer is what stands before the replicas for the node that fetches the JWKS: it takes the
// first one that answers.
type balancer struct {
	site     site
	listener net.Listener
	open     [2]atomic.Int32 // connections to each replica
	out      atomic.Int32    // the replica that is taken out, or -1
}

func newBalancer(t testing.TB) *balancer {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, listener.Close()) })
	b := &balancer{site: site{port: listener.Addr().(*net.TCPAddr).Port}, listener: listener}
	b.out.Store(-1)
	return b
}

func (b *balancer) serve(t testing.TB, ports ...int) {
	ctx := t.Context()
	go func() {
		for {
			conn, err := b.listener.Accept()
			if err != nil {
				return
			}
			go b.forward(ctx, conn, ports)
		}
	}()
}

func (b *balancer) forward(ctx context.Context, conn net.Conn, ports []int) {
	defer conn.Close()
	for i, port := range ports {
		if b.forwardTo(ctx, conn, i, port) {
			return
		}
	}
}

func (b *balancer) forwardTo(ctx context.Context, conn net.Conn, i, port int) (done bool) {
	b.open[i].Add(1)
	defer b.open[i].Add(-1)
	if int32(i) == b.out.Load() {
		return false
	}
	upstream, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	defer upstream.Close()
	go func() {
		defer upstream.Close()
		_, _ = io.Copy(upstream, conn)
	}()
	_, _ = io.Copy(conn, upstream)
	return true
}

// load is many clients that ask who they are, without end.
type load struct {
	cluster         *cluster
	clusterRestarts atomic.Bool
	answered        atomic.Int64
	retried         atomic.Int64 // a process that ended dropped the connection
	meanwhile       atomic.Int64 // the cluster was not there

	mu       sync.Mutex
	failures []string
	cancel   context.CancelFunc
	clients  sync.WaitGroup
}

const loadClients = 12

func (c *cluster) startLoad(t *testing.T) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cluster: c, cancel: cancel}
	t.Cleanup(func() { cancel(); l.clients.Wait() })
	for i := range loadClients {
		name := fmt.Sprintf("client-%d", i)
		certificate := clientCA().Client(name, "analysts").TLS
		l.clients.Go(func() { l.run(ctx, name, certificate) })
	}
	return l
}

// run is one client, which takes turns between the replicas.
func (l *load) run(ctx context.Context, name string, certificate tls.Certificate) {
	var clients [2]*http.Client
	for i, r := range l.cluster.replicas {
		clients[i] = r.site.client(certificate)
	}
	defer clients[0].CloseIdleConnections()
	defer clients[1].CloseIdleConnections()
	for turn := 0; ctx.Err() == nil; turn++ {
		l.ask(ctx, name, clients, turn)
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// ask asks one replica, and the other where a connection is dropped, and both once more: between the two
// attempts the replica that was down may have come back and the other one have been stopped.
func (l *load) ask(ctx context.Context, name string, clients [2]*http.Client, turn int) {
	var dropped []error
	for attempt := range 4 {
		i := (turn + attempt) % 2
		restarting := l.clusterRestarts.Load()
		got, err := trySend(ctx, clients[i], http.MethodGet, l.cluster.replicas[i].site.url(l.cluster.whoami), "", nil)
		restarting = restarting || l.clusterRestarts.Load()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.retried.Add(1)
			dropped = append(dropped, fmt.Errorf("replica %d: %w", i, err))
			continue // on the other replica
		case restarting && got.status >= 500:
			l.meanwhile.Add(1)
			return
		}
		var who map[string]any
		if got.status != http.StatusOK || json.Unmarshal([]byte(got.body), &who) != nil ||
			member(who, l.cluster.name) != name {
			l.fail("%s on replica %d: %d %s", name, i, got.status, got.body)
			return
		}
		l.answered.Add(1)
		return
	}
	l.fail("%s: neither replica could be reached: %v", name, errors.Join(dropped...))
}

// member returns the member of an object that a path such as a.b leads to; nil if there is none.
func member(object map[string]any, path string) any {
	first, rest, nested := strings.Cut(path, ".")
	if !nested {
		return object[first]
	}
	inner, _ := object[first].(map[string]any)
	return member(inner, rest)
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// while does something, and requires that all requests meanwhile were answered.
func (l *load) while(t *testing.T, what string, do func()) {
	t.Helper()
	retried := l.retried.Load()
	l.whileProcessesEnd(t, what, do)
	require.Equal(t, retried, l.retried.Load(), "no process ended, and connections were dropped: "+what)
}

// whileProcessesEnd is while for what costs connections.
func (l *load) whileProcessesEnd(t *testing.T, what string, do func()) {
	t.Helper()
	began, answered, retried, meanwhile := time.Now(), l.answered.Load(), l.retried.Load(), l.meanwhile.Load()
	node := l.cluster.node.LogPosition()
	do()
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Logf("%s: %d requests in %s, %d retried on the other replica, %d while the cluster was away", what,
		l.answered.Load()-answered, time.Since(began).Round(time.Second), l.retried.Load()-retried,
		l.meanwhile.Load()-meanwhile)
	if len(l.failures) > 0 {
		t.Logf("the node's log:\n%.40000s", withoutTraces(l.cluster.node.LogSince(node)))
		require.FailNow(t, "requests were refused or misidentified: "+what,
			strings.Join(l.failures[:min(5, len(l.failures))], "\n"))
	}
	require.Greater(t, l.answered.Load(), answered+loadClients, "there was load")
}

// withoutTraces leaves the lines of a node's log that say what went wrong.
func withoutTraces(log string) string {
	var lines strings.Builder
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "[") && !strings.Contains(line, "[TRACE]") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.clients.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Empty(t, l.failures)
}

// newOpenSearch makes a node for the time of a test, and does not start it.
func newOpenSearch(t testing.TB, version, security string) *realnode.OpenSearch {
	t.Helper()
	node, err := realnode.NewOpenSearch(t.Context(), realnode.OpenSearchConfig{
		Config: realnode.Config{
			Version: version,
			HTTP:    nodeTLS(),
			Files:   map[string][]byte{"certs/proxy-ca.crt": proxyCA().PEM()},
			Hosts:   map[string]string{proxyName: "127.0.0.1"},
			Logf:    logToStandardError,
		},
		Security:     security,
		Roles:        openSearchRoles,
		RolesMapping: openSearchMapping,
	})
	requireReal(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last lines of the node's log:\n%s", node.LogTail(40))
		}
		assert.NoError(t, node.Close())
	})
	return node
}
