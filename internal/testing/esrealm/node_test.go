package esrealm

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

func TestANodeIsServedOnce(t *testing.T) {
	n := newTestNode(t, Config{})
	require.NoError(t, n.Close(), "also if it is not served")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	certificate := pki.NewCA("nodes").Server("127.0.0.1").TLS
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	require.NoError(t, n.Serve(listener, config))
	require.Error(t, n.Serve(nil, nil))
	conn, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, n.Close())
	_, err = net.Dial("tcp", listener.Addr().String())
	require.Error(t, err)
}

func TestANodeTellsItsVersion(t *testing.T) {
	n := newTestNode(t, Config{Version: "8.17.0", Users: []User{
		{Name: "admin", Password: "secret", Roles: []string{"superuser"}},
		{Name: "plain", Password: "secret"},
	}})
	res := do(n, "admin:secret", http.MethodGet, "/")
	require.Equal(t, http.StatusOK, res.Code)
	header := map[string][]string(res.Header()) // a node's spelling is not Go's
	require.Equal(t, []string{"Elasticsearch"}, header[productHeaderName])
	require.Contains(t, res.Body.String(), `"number":"8.17.0"`)
	require.Equal(t, http.StatusForbidden, do(n, "plain:secret", http.MethodGet, "/").Code)
	require.Equal(t, http.StatusOK, do(n, "admin:secret", http.MethodHead, "/").Code)
	require.Contains(t, do(n, "admin:secret", http.MethodGet, "/_cluster/health").Body.String(), `"status":"green"`)
}
