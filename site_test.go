package esjwt_test

import (
	"net/http"
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
		strangers      = "client_auth verifies and has no trust_pool"
		siteSilent     = "sites ask clients for no certificate"
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
		"mode request":   {one(unverifying + plain), nobodyVerifies},
		"mode require":   {one(tls("mode require") + plain), nobodyVerifies},
		"no authorities": {one(tls("mode verify_if_given") + plain), anyAuthority},
		"no authorities, and the handler has some":              {one(tls("mode verify_if_given") + own), strangers},
		"the handshake verifies as the handler does":            {one(verifying + own), ""},
		"the JWKS where all need a certificate":                 {one(insisting + jwks + plain), noJWKS},
		"the JWKS where all need one that the handler verifies": {one(tls("mode require") + jwks + own), noJWKS},
		"the JWKS on a site of its own": {
			one(insisting+plain) + at("https://jwks.example.com:{{port}}", withoutTLS+jwks), "",
		},
		"another site asks": {
			one(withoutTLS+plain) + at("https://other.example.com:{{port}}", verifying+plain), siteSilent,
		},
		"another site asks, and a certificate is optional": {
			one(withoutTLS+handle+"certificate optional\n}\n"+proxy) +
				at("https://other.example.com:{{port}}", verifying+plain), "",
		},
		"another site asks, and the handler is for every host": {
			head + at(":{{port}}", withoutTLS+plain) + at("https://other.example.com:{{port}}", verifying+plain), "",
		},
		"another site asks, in whose handshake a client may come here": {
			strings.Replace(head, "auto_https", "servers {\nstrict_sni_host insecure_off\n}\nauto_https", 1) +
				at("{{site}}", withoutTLS+plain) + at("https://other.example.com:{{port}}", verifying+plain), "",
		},
		"a wildcard asks, and a site of its own does not": {
			head + at("https://*.example.com:{{port}}", verifying+plain) + at("{{site}}", withoutTLS+plain), siteSilent,
		},
		"a wildcard does not ask, and a site of its own does": {
			head + at("https://*.example.com:{{port}}", withoutTLS+plain) + at("{{site}}", verifying+plain), "",
		},
		"a site that is a wildcard": {
			head + at("https://*.example.com:{{port}}", verifying+jwks+plain), "",
		},
		"a site that is shielded from a wildcard that verifies": {
			head + at("https://*.example.com:{{port}}", verifying+"respond hello\n") + at("{{site}}", withoutTLS+plain),
			siteSilent,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, tt.caddyfile)
			for _, warning := range []string{nobodyAsks, siteSilent, nobodyVerifies, anyAuthority, strangers, noJWKS} {
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

// TestASiteThatNobodyNamesInTheHandshakeIsWarnedOf: Caddy insists on a name where a site asks for certificates.
func TestASiteThatNobodyNamesInTheHandshakeIsWarnedOf(t *testing.T) {
	const (
		byAddress = "every client of a site by address gets 421"
		byLabel   = "clients in Java, and so the nodes, get 421"
		asking    = "tls {{tls}} {\nclient_auth {\nmode request\n}\n}\n"
		handler   = "elasticsearch_jwt {\nissuer https://es.example.com\naudience es\ntrust_pool file {{clients}}\n}\n" +
			"reverse_proxy {{upstream}}\n"
		asksNobody = "tls {{tls}}\nelasticsearch_jwks\n"
	)
	at := func(address, content string) string { return address + " {\n" + content + "}\n" }
	for name, tt := range map[string]struct{ options, sites, warning, named string }{
		"a name":             {"", at("{{site}}", asking+handler), "", ""},
		"an address":         {"", at("https://127.0.0.1:{{port}}", asking+handler), byAddress, `["127.0.0.1"]`},
		"an address of IPv6": {"", at("https://[::1]:{{port}}", asking+handler), byAddress, `["::1"]`},
		"a single label":     {"", at("https://localhost:{{port}}", asking+handler), byLabel, `["localhost"]`},
		"a name, and the JWKS by address beside it": {
			"", at("{{site}}", asking+handler) + at("https://127.0.0.1:{{port}}", asksNobody), byAddress, `["127.0.0.1"]`,
		},
		"no name at all": {"", at(":{{port}}", asking+handler), "", ""},
		"a wildcard":     {"", at("https://*.example.com:{{port}}", asking+handler), "", ""},
		"nobody asks":    {"", at("https://127.0.0.1:{{port}}", "tls {{tls}}\n"+handler), "", ""},
		"any Host is let in": {
			"servers {\nstrict_sni_host insecure_off\n}\n", at("https://localhost:{{port}}", asking+handler), "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, "{\nadmin off\nstorage file_system {{storage}}\nauto_https disable_redirects\nskip_install_trust\n"+
				tt.options+"}\n"+tt.sites)
			for _, warning := range []string{byAddress, byLabel} {
				require.Equal(t, warning == tt.warning, strings.Contains(s.logs.String(), warning), warning)
			}
			if tt.named != "" {
				require.Contains(t, s.logs.String(), `"sites":`+tt.named)
			}
		})
	}
}

// TestAClientAuthWithoutAuthoritiesIsWarnedOf: Caddy takes a file without a certificate, and skips what is damaged.
func TestAClientAuthWithoutAuthoritiesIsWarnedOf(t *testing.T) {
	const warning = "client_auth uses what it can read of this file of authorities"
	const file, combined = "trust_pool file {{clients}}", "trust_pool combined {\nsource file {{clients}}\n}"
	require.Contains(t, minimal, file)
	ca := newAuthority(t, "clients authority")
	whole := string(pemOf(ca.cert.Raw))
	key := strings.ReplaceAll(whole, "CERTIFICATE", "PRIVATE KEY")
	for name, tt := range map[string]struct{ pool, content, says string }{
		"a certificate":        {file, whole, ""},
		"nothing":              {file, "", "there is no certificate in it"},
		"a key":                {file, key, "there is no certificate in it"},
		"one and a half":       {file, whole + whole[:100], "damaged"},
		"a combined pool":      {combined, whole, ""},
		"a damaged file of it": {combined, whole + whole[:100], "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, strings.Replace(minimal, file, tt.pool, 1), "{{settings}}", "",
				"{{clients}}", writeFile(t, "ca.pem", []byte(tt.content)))
			require.Equal(t, tt.says != "", strings.Contains(s.logs.String(), warning))
			require.Contains(t, s.logs.String(), tt.says)
		})
	}
}

// TestASiteByAddressAnswersNobody is what the warning says, of a Go client and its certificate.
func TestASiteByAddressAnswersNobody(t *testing.T) {
	s := newSceneOf(t, strings.Replace(ownPool, "{{site}}", "https://127.0.0.1:{{port}}", 1), "{{settings}}", "")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.address+"/", nil)
	require.NoError(t, err)
	a, err := s.do(s.httpClient(s.clients.client("alice")), req)
	require.NoError(t, err)
	require.Equal(t, http.StatusMisdirectedRequest, a.StatusCode)
	s.upstream.requireNone(t)
}
