package esjwt_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// withMetrics adds Caddy's metrics endpoint to a site, for anybody.
func withMetrics(caddyfile string) string {
	return strings.NewReplacer("	auto_https", "	order metrics first\n	auto_https",
		"	elasticsearch_jwks\n", "	elasticsearch_jwks\n	metrics /metrics\n").Replace(caddyfile)
}

// answers of real nodes that refuse somebody.
const (
	readOnly = `{"error":{"root_cause":[{"type":"cluster_block_exception","reason":"index [a] blocked by: ` +
		`[FORBIDDEN/8/index write (api)];"}],"type":"cluster_block_exception"},"status":403}`
	mayNot = `{"error":{"root_cause":[{"type":"security_exception","reason":"action [indices:data/read/search] is ` +
		`unauthorized for user [alice]"}],"type":"security_exception"},"status":403}`
)

// refusingNode answers as its path says: with a status, and a body.
func refusingNode(t testing.TB) []string {
	t.Helper()
	return nodeOf(t, httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/unauthorized":
			w.Header().Set("Www-Authenticate", `Bearer realm="security"`)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "the node's own answer")
		case "/forbidden":
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, mayNot)
		case "/in-pieces":
			w.WriteHeader(http.StatusForbidden)
			for _, piece := range []string{mayNot[:45], mayNot[45:50], mayNot[50:]} { // inside of security_exception
				_, _ = io.WriteString(w, piece)
				_ = http.NewResponseController(w).Flush()
			}
		case "/long":
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, strings.Repeat("a", 100_000)+mayNot)
		case "/compressed":
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(http.StatusForbidden)
			compressed := gzip.NewWriter(w)
			_, _ = io.WriteString(compressed, mayNot)
			_ = compressed.Close()
		case "/empty":
			w.WriteHeader(http.StatusForbidden)
		case "/read-only":
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, readOnly)
		}
	})))
}

// linesWith returns the log lines whose message begins with a text.
func (s *scene) linesWith(message string) (found []map[string]any) {
	s.t.Helper()
	for line := range strings.Lines(s.logs.String()) {
		var fields map[string]any
		require.NoError(s.t, json.Unmarshal([]byte(line), &fields))
		if strings.HasPrefix(fields["msg"].(string), message) {
			found = append(found, fields)
		}
	}
	return found
}

// loggedOnce waits for a log line whose message begins with a text, of which there is one.
func (s *scene) loggedOnce(message string) map[string]any {
	s.t.Helper()
	var found []map[string]any
	eventually(s.t, func() bool {
		found = s.linesWith(message)
		return len(found) > 0
	}, message)
	require.Len(s.t, found, 1)
	return found[0]
}

// TestANodesRefusalIsCountedAndWarnedOf, once a minute, and the client gets the node's answer.
func TestANodesRefusalIsCountedAndWarnedOf(t *testing.T) {
	const unauthorized, forbidden = `cluster_refusals_total{status="401"}`, `cluster_refusals_total{status="403"}`
	s := newSceneOf(t, withMetrics(withTransport("")), append(refusingNode(t), "{{settings}}", optional)...)
	alice := s.httpClient(s.clients.client("alice", "analysts"))
	require.Equal(t, http.StatusOK, s.get(alice, "/").StatusCode)

	before := s.metrics()
	require.Contains(t, before, unauthorized)
	require.Contains(t, before, forbidden)
	for range 3 {
		a := s.get(alice, "/unauthorized")
		require.Equal(t, http.StatusUnauthorized, a.StatusCode)
		require.Equal(t, "the node's own answer", a.body)
		require.Equal(t, `Bearer realm="security"`, a.Header.Get("Www-Authenticate"))
	}
	require.InDelta(t, 3, s.gained(before, unauthorized), 0)
	warning := s.loggedOnce("a node refuses tokens of this proxy with 401")
	require.Equal(t, "warn", warning["level"])
	require.InDelta(t, 1, warning["times"], 0)
	require.Equal(t, "https://es.example.com", warning["issuer"])
	require.Equal(t, []any{"https://elasticsearch.example.com:9200"}, warning["audience"])
	require.Equal(t, "RS256", warning["algorithm"])
	require.Equal(t, "id_token", warning["token_type"])
	require.Equal(t, "default", warning["keys"])
	require.Equal(t, s.jwks().Keys[0].KeyID, warning["kid"])
	require.Equal(t, false, warning["shared_secret"])
	require.NotEmpty(t, warning["node"])
	for _, setting := range []string{
		"RealmsAuthenticator", "org.opensearch.security.auth", "allowed_issuer", "no slash at its end", "allowed_audiences",
		"allowed_signature_algorithms", "client_authentication.type is none", "pkc_jwkset_path",
	} {
		require.Contains(t, warning["advice"], setting)
	}

	require.JSONEq(t, mayNot, s.get(alice, "/forbidden").body)
	require.JSONEq(t, readOnly, s.get(alice, "/read-only").body, "it is not about the user")
	require.JSONEq(t, mayNot, s.get(alice, "/in-pieces").body)
	require.Len(t, s.get(alice, "/long").body, 100_000+len(mayNot), "it is looked at to some point, and whole all the same")
	for _, path := range []string{"/compressed", "/empty"} {
		require.Equal(t, http.StatusForbidden, s.get(alice, path).StatusCode)
	}
	require.InDelta(t, 4, s.gained(before, forbidden), 0)
	note := s.loggedOnce("a node refuses users of this proxy with 403")
	require.Equal(t, "info", note["level"])
	require.Equal(t, "alice", note["user"])
	require.InDelta(t, 1, note["groups"], 0)
	require.Contains(t, note["advice"], "role mapping on realm.name")

	before = s.metrics()
	nobody := s.httpClient()
	for _, path := range []string{"/unauthorized", "/forbidden"} {
		s.get(nobody, path, "Authorization", "Basic YWJj")
	}
	require.InDelta(t, 0, s.gained(before, unauthorized), 0, "a client's own password is its own business")
	require.InDelta(t, 0, s.gained(before, forbidden), 0)
	require.NotContains(t, s.logs.String(), "eyJ", "no token is in any line")
}

// TestA403ToATokenWithoutGroupsIsAWarning, since no role mapping on groups can match it.
func TestA403ToATokenWithoutGroupsIsAWarning(t *testing.T) {
	for name, c := range map[string]struct{ settings, level, advice string }{
		"by default":    {"", "warn", "no value for groups {cert.o}:"},
		"other groups":  {"groups {cert.ou}\ngroup_pattern OU=(x)", "warn", "groups {cert.ou}, group_pattern OU=(x)"},
		"on purpose":    {"groups off", "info", "role mapping"},
		"as the advice": {"groups everybody", "info", "role mapping"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, withTransport(""), append(refusingNode(t), "{{settings}}", c.settings)...)
			s.get(s.httpClient(s.clients.client("alice")), "/forbidden")
			line := s.loggedOnce("a node refuses users of this proxy with 403")
			require.Equal(t, c.level, line["level"])
			require.Contains(t, line["advice"], c.advice)
		})
	}
}

// TestTheAdviceFitsWhatWasSent to a node that refuses it.
func TestTheAdviceFitsWhatWasSent(t *testing.T) {
	secret := writeFile(t, "secret", []byte("not-so-secret"))
	caddyfile := strings.NewReplacer(
		"	auto_https", "	elasticsearch_jwt {\n		keys default storage {\n			algorithm ES256\n		}\n	}\n	auto_https",
		"tls_trust_pool", "shared_secret {file."+secret+"}\n			tls_trust_pool",
		"issuer   https://es.example.com", "issuer https://es.example.com/",
	).Replace(withTransport(""))
	s := newSceneOf(t, caddyfile, append(refusingNode(t), "{{settings}}", "token_type access_token")...)
	require.Equal(t, http.StatusUnauthorized, s.get(s.httpClient(s.clients.client("alice")), "/unauthorized").StatusCode)
	line := s.loggedOnce("a node refuses tokens of this proxy with 401")
	require.Equal(t, "ES256", line["algorithm"])
	require.Equal(t, true, line["shared_secret"])
	for _, text := range []string{
		"it has a slash at its end here", "it is [RS256] unless it is set", "OpenSearch takes none of ES*",
		"token_type is access_token", "with the same secret as here",
	} {
		require.Contains(t, line["advice"], text)
	}
	require.NotContains(t, s.logs.String(), "not-so-secret")
}

// TestARefusalThatEndsWithTheSecondAttemptIsNone: the node has only just learnt the key.
func TestARefusalThatEndsWithTheSecondAttemptIsNone(t *testing.T) {
	var asked atomic.Int32
	node := nodeOf(t, httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})))
	s := newSceneOf(t, withMetrics(withTransport("")), append(node, "{{settings}}", "")...)
	before := s.metrics()
	require.Equal(t, http.StatusOK, s.get(s.httpClient(s.clients.client("alice")), "/").StatusCode)
	require.EqualValues(t, 2, asked.Load())
	require.InDelta(t, 0, s.gained(before, `cluster_refusals_total{status="401"}`), 0)
	require.Empty(t, s.linesWith("a node refuses"))
}
