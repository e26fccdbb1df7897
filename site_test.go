package esjwt_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestASiteThatCannotWorkIsWarnedOfWhenItIsLoaded, and one that can is not.
func TestASiteThatCannotWorkIsWarnedOfWhenItIsLoaded(t *testing.T) {
	const (
		nobodyAsks     = "no site of this server asks clients for a certificate"
		nobodyVerifies = "no site of this server verifies certificates"
		anyAuthority   = "client_auth has no trust_pool"
		noJWKS         = "every site of this server insists on a client certificate"

		head   = "{\nadmin off\nstorage file_system {{storage}}\nauto_https disable_redirects\n}\n"
		handle = "elasticsearch_jwt {\nissuer https://es.example.com\naudience es\n"
		proxy  = "reverse_proxy {{upstream}}\n"
		plain  = handle + "}\n" + proxy
		own    = handle + "trust_pool file {{clients}}\n}\n" + proxy
		jwks   = "elasticsearch_jwks\n"
	)
	tls := func(settings string) string { return "tls {{tls}} {\nclient_auth {\n" + settings + "\n}\n}\n" }
	verifying := tls("mode verify_if_given\ntrust_pool file {{clients}}")
	insisting := tls("trust_pool file {{clients}}")
	unverifying := tls("mode request")
	withoutTLS := "tls {{tls}}\n"
	at := func(address, content string) string { return address + " {\n" + content + "}\n" }
	one := func(content string) string { return head + at("{{site}}", content) }

	tests := map[string]struct{ caddyfile, warning string }{
		"it verifies": {one(verifying + jwks + plain), ""},
		"it verifies, and asks for nothing else than the name": {head + at(":{{port}}", verifying+jwks+plain), ""},
		"the handler verifies what the site asks for":          {one(unverifying + jwks + own), ""},
		"the site does not ask":                                {one(withoutTLS + jwks + plain), nobodyAsks},
		"the site does not ask, and the handler would verify":  {one(withoutTLS + jwks + own), nobodyAsks},
		"the site has no TLS": {
			head + at("http://es.example.com:{{port}}", plain), nobodyAsks,
		},
		"mode request":                          {one(unverifying + plain), nobodyVerifies},
		"mode require":                          {one(tls("mode require") + plain), nobodyVerifies},
		"no authorities":                        {one(tls("mode verify_if_given") + plain), anyAuthority},
		"the JWKS where all need a certificate": {one(insisting + jwks + plain), noJWKS},
		"the JWKS where all need one that the handler verifies": {one(tls("mode require") + jwks + own), noJWKS},
		"the JWKS on a site of its own": {
			one(insisting+plain) + at("https://jwks.example.com:{{port}}", withoutTLS+jwks), "",
		},
		"another site asks, and it may be that one": {
			one(withoutTLS+plain) + at("https://other.example.com:{{port}}", verifying+plain), "",
		},
		"a site that is a wildcard": {
			head + at("https://*.example.com:{{port}}", verifying+jwks+plain), "",
		},
		"a site that is shielded from a wildcard that verifies": {
			head + at("https://*.example.com:{{port}}", verifying+"respond hello\n") + at("{{site}}", withoutTLS+plain), "",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, tt.caddyfile)
			for _, warning := range []string{nobodyAsks, nobodyVerifies, anyAuthority, noJWKS} {
				require.Equal(t, warning == tt.warning, strings.Contains(s.logs.String(), warning), warning)
			}
		})
	}
}

// TestWhatIsSoForAWholeServerIsSaidOnce, and not by each of its handlers.
func TestWhatIsSoForAWholeServerIsSaidOnce(t *testing.T) {
	var file strings.Builder
	file.WriteString("{\nadmin off\nstorage file_system {{storage}}\nauto_https disable_redirects\n}\n")
	for _, name := range []string{"a", "b", "c"} {
		file.WriteString("https://" + name + ".example.com:{{port}} {\ntls {{tls}} {\nclient_auth {\n" +
			"mode require_and_verify\n}\n}\n" +
			"elasticsearch_jwks\nelasticsearch_jwt {\nissuer https://es.example.com\naudience es\n}\n" +
			"reverse_proxy {{upstream}}\n}\n")
	}
	logs := newSceneOf(t, file.String()).logs.String()
	require.Equal(t, 1, strings.Count(logs, "client_auth has no trust_pool"))
	require.Contains(t, logs, `"sites":["a.example.com","b.example.com","c.example.com"]`)
	require.Equal(t, 1, strings.Count(logs, "every site of this server insists on a client certificate"))
}
