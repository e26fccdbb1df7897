package esjwt_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCredentialsThatOutliveACertificateAreNotMade (an API key or a token that a client mints goes on
// to work at the node after its certificate is denied), in any spelling that gets past Caddy.
func TestCredentialsThatOutliveACertificateAreNotMade(t *testing.T) {
	const host = " HTTP/1.1\r\nHost: " + site + "\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
	refused := []string{
		"POST /_security/api_key", "PUT /_security/api_key", "PATCH /_security/api_key", "post /_security/api_key",
		"POST /_security/api_key/", "POST //_security//api_key", "POST /_security/api_key?pretty&wait",
		"POST /_security/./api_key",
		"POST /x/../_security/api_key", "POST /_security/x/../api_key", "POST /%5fsecurity/api%5Fkey",
		"POST /_security%2Fapi_key",
		"POST /_security/api%255fkey", "POST /_security/api_key;a=b", "POST /_Security/Api_Key", "POST /_security/api_key%20",
		"POST /_security/api_key%00",
		"POST https://" + site + "/_security/api_key", "POST /_security/api_key/grant",
		"POST /_security/oauth2/token", "GET /_security/enroll/kibana",
		"POST /_plugins/_security/api/generateonbehalfoftoken",
	}
	through := []string{
		"GET /_security/api_key", "DELETE /_security/api_key", "POST /_security/api_key/_query",
		"POST /logs/_search", "POST /_security/user/_has_privileges",
	}

	t.Run("refuse", func(t *testing.T) {
		s := newSceneOf(t, ownPool, "{{settings}}", "certificate optional\ncredential_apis refuse")
		alice := s.clients.client("alice")
		for _, request := range refused {
			res := s.raw(alice, request+host)
			if res.StatusCode != http.StatusBadRequest { // net/http's own answer to what is no request
				require.Equal(t, http.StatusForbidden, res.StatusCode, request)
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.Equal(t, "credential_api", string(body), request)
			}
			s.upstream.requireNone(t)
		}
		for _, request := range through {
			require.Equal(t, http.StatusOK, s.raw(alice, request+host).StatusCode, request)
			s.upstream.last(t)
		}
		a := s.get(s.httpClient(), "/_security/enroll/node", "Authorization", "Basic YWxpY2U6c2VjcmV0")
		require.Equal(t, http.StatusForbidden, a.StatusCode, "with its own credentials too")
		a = s.get(s.httpClient(), "/_security/enroll/node")
		require.Equal(t, "no_certificate", a.body, "who nobody knows is told that")
	})
	t.Run("allow", func(t *testing.T) {
		s := newSceneOf(t, ownPool, "{{settings}}", "")
		require.Equal(t, http.StatusOK, s.raw(s.clients.client("alice"), "POST /_security/api_key"+host).StatusCode)
		require.True(t, strings.HasSuffix(s.upstream.last(t).URL.Path, "/_security/api_key"))
	})
}
