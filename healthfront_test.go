package esjwt_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAHealthCheckIsOfTheHandlerInFront of the reverse_proxy, whatever others there are. Of several that make other
// tokens it is the first, and a warning says so.
func TestAHealthCheckIsOfTheHandlerInFront(t *testing.T) {
	const other = `		elasticsearch_jwt {
			issuer https://other.example.com
			audience other
		}
`
	checked := checkedSite("health_principal caddy-health", "")
	before, ours, found := strings.Cut(checked, "	elasticsearch_jwt {")
	require.True(t, found)
	handler, proxy, found := strings.Cut(ours, "	reverse_proxy")
	require.True(t, found)
	handler, proxy = "	elasticsearch_jwt {"+handler, "	reverse_proxy"+strings.TrimSuffix(proxy, "}\n")

	s, node := newCheckedScene(t, before+"handle /other* {\n"+other+
		"reverse_proxy {{upstream}} {\ntransport elasticsearch_jwt\n}\n}\nhandle {\n"+handler+proxy+"}\n}\n",
		"", wantsBearer)
	require.Equal(t, "https://es.example.com", s.token(node.next(t)).claims["iss"])
	require.Empty(t, s.linesWith("the elasticsearch_jwt in front of this reverse_proxy have different"))

	s, node = newCheckedScene(t, before+"route /other* {\n"+other+"}\nroute /rest* {\n"+handler+"}\n"+proxy+"}\n",
		"", wantsBearer)
	require.Equal(t, "https://other.example.com", s.token(node.next(t)).claims["iss"])
	s.loggedOnce("the elasticsearch_jwt in front of this reverse_proxy have different settings or keys")
}

// TestAHealthCheckIsOfTheInnerProxy, if one reverse_proxy is in the handle_response of another.
func TestAHealthCheckIsOfTheInnerProxy(t *testing.T) {
	before, inner, found := strings.Cut(checkedSite("health_principal caddy-health", ""), "	reverse_proxy")
	require.True(t, found)
	outer := "	reverse_proxy 127.0.0.1:1 {\nhealth_uri /\nhealth_headers {\nAuthorization \"Basic YWJj\"\n}\n" +
		"handle_response {\nreverse_proxy" + strings.TrimSuffix(inner, "}\n") + "}\n}\n}\n"
	require.NoError(t, validateChecked(t, before+outer, "127.0.0.1:1", newAuthority(t, "nodes").file()))
}
