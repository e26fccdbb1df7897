package esrealm

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestANodeIsAHandler(t *testing.T) {
	n, err := NewHandler(Config{Realms: []Realm{hmacRealm()}})
	require.NoError(t, err)
	require.Empty(t, n.URL)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/_security/_authenticate", http.NoBody)
	req.Header.Set("Authorization", "Bearer "+hmacToken(t, nil))
	res := httptest.NewRecorder()
	n.ServeHTTP(res, req)
	require.Equal(t, http.StatusOK, res.Code)
	require.JSONEq(t, `"alice"`, strings.SplitN(strings.SplitN(res.Body.String(), `"username":`, 2)[1], ",", 2)[0])
	require.NoError(t, n.Close())
}

func TestANodeIsServedOnce(t *testing.T) {
	n := newTestNode(t, Config{})
	require.Error(t, n.Serve(nil, nil))
	require.NotNil(t, n.Certificate())
	url := n.URL
	require.NoError(t, n.Close())
	_, err := net.Dial("tcp", strings.TrimPrefix(url, "https://"))
	require.Error(t, err)
}

func TestRequestsAreRemembered(t *testing.T) {
	n := newTestNode(t, Config{Realms: []Realm{hmacRealm()}, Users: []User{admin}, RecordLimit: 3})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.URL+"/logs/_search?size=1", struct{ *strings.Reader }{strings.NewReader("{}")})
	require.NoError(t, err)
	token := hmacToken(t, nil)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header["es-security-runas-user"] = []string{"root"}
	req.Trailer = http.Header{"Es-Security-Runas-User": {"mallory"}}
	require.Equal(t, http.StatusForbidden, send(t, n.Client(), req).status)
	requests := n.Requests()
	require.Len(t, requests, 1)
	seen := requests[0]
	require.Equal(t, "POST", seen.Method)
	require.Equal(t, "/logs/_search?size=1", seen.URI)
	require.Equal(t, "HTTP/1.1", seen.Proto)
	require.Equal(t, http.StatusForbidden, seen.Status)
	require.Equal(t, "root", seen.Username)
	require.Equal(t, []string{"Bearer " + token}, seen.Header.Values("Authorization"))
	require.Equal(t, []string{"root"}, seen.Header.Values("es-security-runas-user"))
	require.Equal(t, "mallory", seen.Trailer.Get("es-security-runas-user"))

	require.Equal(t, http.StatusUnauthorized, authenticate(t, n, token+"AAAA").status)
	require.Contains(t, n.Requests()[1].Reason, "the signature does not verify")
	require.NotContains(t, n.Requests()[1].Reason, token)
	require.Empty(t, n.Requests()[1].Username)

	for _, path := range []string{"/a", "/b", "/c", "/d"} {
		do(t, n, "admin:secret", http.MethodGet, path, "")
	}
	var last []string
	for _, r := range n.Requests() {
		last = append(last, r.URI)
	}
	require.Equal(t, []string{"/b", "/c", "/d"}, last, "the oldest first")
	n.ForgetRequests()
	require.Empty(t, n.Requests())
}

func TestUsersOfTheFileRealm(t *testing.T) {
	n := newTestNode(t, Config{FileRealm: "file1", Users: []User{{
		Name: "carol", Password: "secret", Roles: []string{"viewer"}, FullName: "Carol C.", Email: "carol@example.com", Metadata: map[string]any{"a": 1.5},
	}}})
	require.JSONEq(t, `{"username":"carol","roles":["viewer"],"full_name":"Carol C.","email":"carol@example.com","metadata":{"a":1.5},"enabled":true,
		"authentication_realm":{"name":"file1","type":"file"},"lookup_realm":{"name":"file1","type":"file"},"authentication_type":"realm"}`,
		authenticate(t, n, "carol:secret").body)
}

func TestClientsFindElasticsearch(t *testing.T) {
	n := newTestNode(t, Config{Version: "8.17.0", ClusterName: "test", Users: []User{admin, {Name: "plain", Password: "secret"}}})
	res := do(t, n, "admin:secret", http.MethodGet, "/", "")
	require.Equal(t, http.StatusOK, res.status)
	require.Equal(t, "Elasticsearch", res.header.Get("X-Elastic-Product"))
	info := res.json(t)
	require.Equal(t, "test", info["cluster_name"])
	require.Equal(t, "8.17.0", info["version"].(map[string]any)["number"])
	require.Equal(t, http.StatusForbidden, do(t, n, "plain:secret", http.MethodGet, "/", "").status)
	require.Equal(t, http.StatusOK, do(t, n, "admin:secret", http.MethodHead, "/", "").status)
	require.Equal(t, "green", do(t, n, "admin:secret", http.MethodGet, "/_cluster/health", "").json(t)["status"])
}

func TestRoleMappingsOverTheAPI(t *testing.T) {
	n := newTestNode(t, Config{Realms: []Realm{hmacRealm()}, Users: []User{admin}})
	token := hmacToken(t, nil)
	const path = "/_security/role_mapping/analysts"
	body := `{"roles":["viewer"],"enabled":true,"rules":{"field":{"groups":"analysts"}}}`
	require.Equal(t, http.StatusForbidden, do(t, n, token, http.MethodPut, path, body).status)
	require.Equal(t, http.StatusNotFound, do(t, n, "admin:secret", http.MethodGet, path, "").status)
	require.JSONEq(t, `{"role_mapping":{"created":true}}`, do(t, n, "admin:secret", http.MethodPut, path, body).body)
	require.JSONEq(t, `{"role_mapping":{"created":false}}`, do(t, n, "admin:secret", http.MethodPost, path, body).body)
	require.Equal(t, []any{"viewer"}, authenticate(t, n, token).json(t)["roles"])
	require.JSONEq(t, `{"analysts":{"roles":["viewer"],"enabled":true,"rules":{"field":{"groups":"analysts"}},"metadata":{}}}`,
		do(t, n, "admin:secret", http.MethodGet, "/_security/role_mapping", "").body)
	require.Equal(t, http.StatusBadRequest, do(t, n, "admin:secret", http.MethodPut, path, `{"rules":{"no":1}}`).status)
	require.Equal(t, http.StatusBadRequest, do(t, n, "admin:secret", http.MethodPut, path, `x`).status)
	require.JSONEq(t, `{"found":true}`, do(t, n, "admin:secret", http.MethodDelete, path, "").body)
	require.Equal(t, http.StatusNotFound, do(t, n, "admin:secret", http.MethodDelete, path, "").status)
	require.Empty(t, authenticate(t, n, token).json(t)["roles"])
}
