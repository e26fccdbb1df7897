package credentialpath

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// made has the requests that make or change credentials, from the documentation of Elasticsearch and
// OpenSearch.
var made = []struct{ method, path string }{
	{"POST", "/_security/api_key"},
	{"PUT", "/_security/api_key"},
	{"POST", "/_security/api_key/grant"},
	{"POST", "/_security/api_key/clone"},
	{"PUT", "/_security/api_key/VuaCfGcBCdbkQm-e5aOx"},
	{"POST", "/_security/api_key/_bulk_update"},
	{"POST", "/_security/cross_cluster/api_key"},
	{"PUT", "/_security/cross_cluster/api_key/VuaCfGcBCdbkQm-e5aOx"},
	{"POST", "/_security/oauth2/token"},
	{"POST", "/_xpack/security/oauth2/token"},
	{"POST", "/_security/service/elastic/fleet-server/credential/token"},
	{"PUT", "/_security/service/elastic/fleet-server/credential/token/name"},
	{"POST", "/_security/delegate_pki"},
	{"POST", "/_security/saml/authenticate"},
	{"POST", "/_security/saml/prepare"},
	{"POST", "/_security/oidc/authenticate"},
	{"POST", "/_security/user/alice/_password"},
	{"PUT", "/_security/user/_password"},
	{"PUT", "/_security/user/mallory"},
	{"POST", "/_security/profile/_activate"},
	{"GET", "/_security/enroll/kibana"},
	{"GET", "/_security/enroll/node"},
	{"POST", "/_plugins/_security/api/authtoken"},
	{"POST", "/_opendistro/_security/api/authtoken"},
	{"POST", "/_plugins/_security/api/generateonbehalfoftoken"},
	{"POST", "/_plugins/_security/api/apitokens"},
	{"PUT", "/_plugins/_security/api/internalusers/mallory"},
	{"PATCH", "/_plugins/_security/api/internalusers"},
	{"POST", "/_opendistro/_security/api/internalusers/service/authtoken"},
	{"PUT", "/_opendistro/_security/api/user/mallory"},
	{"PUT", "/_plugins/_security/api/account"},
}

func TestRequestsThatMakeCredentials(t *testing.T) {
	for _, request := range made {
		require.True(t, Makes(request.method, parse(t, request.path)), "%s %s", request.method, request.path)
	}
}

// TestSpellingsOfAPath has spellings that a node, a proxy or a library may take for the same path.
func TestSpellingsOfAPath(t *testing.T) {
	for _, path := range []string{
		"/_security/api_key/", "/_security/api_key///", "//_security/api_key", "/_security//api_key",
		"/./_security/./api_key",
		"/x/../_security/api_key", "/_security/x/../api_key", "/_security/../_security/api_key", "/../_security/api_key",
		"/%5fsecurity/api_key", "/_security/api%5Fkey", "/_security/%61pi_key", "/_security%2fapi_key",
		"/_security%2Fapi_key",
		"/_security/api%255fkey", "/%25255fsecurity/api_key", "/_security/api_key%2f", "/_security/api_key%3Fx",
		"/_security/api_key%23",
		"/_security;v=1/api_key;x", "/_security/api_key%3Bx", "/_Security/API_Key", "/_security/api_key%20",
		"/_security/api_key%00", "/%20_security/api_key",
		`/_security%5Capi_key`, "/_security/api_key?pretty", "/prefix/_security/api_key", "/_security/%2e/api_key",
		"/_security/x/%2e%2e/api_key",
		"/_security/api_key/%2e%2e/api_key", "/_security/api_key/..", "/_security/api_ke%C0%AF", "/_security/ａpi_key",
		"/_security/api_key,x",
		"/_security/api_key%3F/_query", "/_security/api_key%23/_query", "/_security/api_key;/_query",
		"/_security/api_key/_query/..", "/_security/api_key/%2e%2e/api_key/_query",
		"/_security/user%3F/_has_privileges", "/_security/api_key//_query", `/_security/api_key%5C_query`,
		"x:_security/api_key", "x:/_security/api_key", "x:%5fsecurity/api_key", "http://node:9200/_security/api_key",
	} {
		for _, method := range []string{"POST", "PUT", "PATCH", "post", "CONNECT", "X"} {
			require.True(t, Makes(method, parse(t, path)), "%s %s", method, path)
		}
	}
}

// TestOtherRequestsGoThrough: requests that read, those that remove credentials, and all others.
func TestOtherRequestsGoThrough(t *testing.T) {
	for _, request := range []struct{ method, path string }{
		{"GET", "/_security/api_key"},
		{"HEAD", "/_security/api_key"},
		{"DELETE", "/_security/api_key"},
		{"GET", "/_security/_query/api_key"},
		{"POST", "/_security/_query/api_key"},
		{"POST", "/_security/api_key/_query"},
		{"DELETE", "/_security/oauth2/token"},
		{"GET", "/_security/_authenticate"},
		{"POST", "/_security/user/_has_privileges"},
		{"POST", "/_security/user/alice/_has_privileges"},
		{"GET", "/_security/user/_privileges"},
		{"GET", "/_security/user"},
		{"POST", "/_security/profile/_suggest"},
		{"PUT", "/_security/role/reader"},
		{"GET", "/_plugins/_security/authinfo"},
		{"GET", "/_plugins/_security/api/account"},
		{"PUT", "/_plugins/_security/api/rolesmapping/x"},
		{"POST", "/logs/_search"},
		{"POST", "/security-logs/_search"},
		{"POST", "/_security"},
		{"PUT", "/logs/_doc/a%2Fb%20c"},
		{"PUT", "/logs/_doc/_security"},
		{"PUT", "/security/api_key/_doc"},
		{"POST", "/"},
		{"OPTIONS", "*"},
	} {
		require.False(t, Makes(request.method, parse(t, request.path)), "%s %s", request.method, request.path)
	}
}

func parse(t testing.TB, requestURI string) *url.URL {
	t.Helper()
	u, err := url.ParseRequestURI(requestURI)
	require.NoError(t, err)
	return u
}

// FuzzNoSpellingEscapes tries other spellings of the paths that make credentials.
func FuzzNoSpellingEscapes(f *testing.F) {
	f.Add(uint8(0), []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
	f.Add(uint8(5), []byte{0x11, 0x11, 0x11, 0x11})
	f.Add(uint8(20), []byte("any text"))
	f.Fuzz(func(t *testing.T, which uint8, choices []byte) {
		request := made[int(which)%len(made)]
		spelled := respell(request.path, choices)
		u, err := url.ParseRequestURI(spelled)
		if err != nil {
			return // servers refuse it
		}
		require.True(t, Makes(request.method, u), "%s %s", request.method, spelled)
	})
}

// respell returns another spelling of a path. Each choice has the place of a change and its kind.
func respell(path string, choices []byte) string {
	for _, choice := range choices {
		at := int(choice>>4) * len(path) / 16
		switch c := path[at]; choice & 0xf {
		case 0, 1:
			path = path[:at] + fmt.Sprintf("%%%02x", c) + path[at+1:]
		case 2:
			path = path[:at] + fmt.Sprintf("%%%02X", c) + path[at+1:]
		case 3:
			path = path[:at] + strings.ToUpper(path[at:at+1]) + path[at+1:]
		case 4:
			path = strings.Replace(path, "/", "//", 1+at%3)
		case 5:
			path = strings.Replace(path, "/", "/./", 1+at%3)
		case 6:
			path = strings.Replace(path, "/", "/x/../", 1+at%3)
		case 7:
			path += "/"
		case 8:
			path = "/prefix" + path
		case 9:
			path = strings.ReplaceAll(path, "%", "%25")
		case 10:
			path += ";v=1"
		case 11:
			path += "?pretty"
		case 12:
			path = strings.Replace(path, "/", "%2f", 1+at%3)
		}
		if len(path) > 2000 {
			break
		}
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return path
}

// FuzzMakes checks that a path makes credentials if its decoded form does.
func FuzzMakes(f *testing.F) {
	f.Add("POST", "/_security/api%5fkey")
	f.Add("GET", "/_security/%zz")
	f.Add("POST", "%%%")
	f.Fuzz(func(t *testing.T, method, path string) {
		decoded := decode(path)
		require.Equal(t, decoded, decode(decoded))
		if makes(method, decoded) {
			require.True(t, makes(method, path))
		}
	})
}

func BenchmarkMakes(b *testing.B) {
	for name, path := range map[string]string{
		"ordinary": "/logs-2026.11.27/_search",
		"security": "/_security/_authenticate",
	} {
		b.Run(name, func(b *testing.B) {
			u := parse(b, path)
			b.ReportAllocs()
			for b.Loop() {
				Makes(http.MethodPost, u)
			}
		})
	}
}

// BenchmarkDecode decodes a path that is as long as a request line can be, and encoded as many times as
// fit into it.
func BenchmarkDecode(b *testing.B) {
	path := "/_security/%" + strings.Repeat("25", 8000) + "61pi_key"
	b.SetBytes(int64(len(path)))
	for b.Loop() {
		makes(http.MethodPost, path)
	}
}
