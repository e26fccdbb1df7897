package esjwt_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNothingReachesTheUpstreamUnstripped, however the handler gets into a site: Caddy puts named routes, snippets
// and blocks together in its own ways.
func TestNothingReachesTheUpstreamUnstripped(t *testing.T) {
	const (
		auth = "elasticsearch_jwt {\nissuer https://es.example.com\naudience es\n}\n"
		up   = "reverse_proxy {{upstream}}\n"
	)
	named := func(inside string) string { return "&(auth) {\n" + inside + "\n}\n" }
	snippet := func(inside string) string { return "(auth) {\n" + inside + "\n}\n" }
	for name, tt := range map[string]struct{ options, before, site string }{
		"alone in a named route":          {before: named(auth), site: "invoke auth\n" + up},
		"after a header in a named route": {before: named("header X y\n" + auth), site: "invoke auth\n" + up},
		"before a header in a named route": {
			before: named("route {\n" + auth + "request_header X y\n}"), site: "invoke auth\n" + up,
		},
		"with all its site in a named route": {
			before: named("header X y\nelasticsearch_jwks\n" + auth + up), site: "invoke auth\n",
		},
		"after a JWKS in a named route": {before: named("elasticsearch_jwks\n" + auth), site: "invoke auth\n" + up},
		"after others in a named route": {
			before: named("header X y\nrequest_header X y\nvars a b\nencode\n" + auth),
			site:   "invoke auth\n" + up,
		},
		"between matchers in a named route": {
			before: named("header /x X y\n" + auth + "respond /never never\n"), site: "invoke auth\n" + up,
		},
		"in a handle of a named route": {
			before: named("handle {\nheader X y\n" + auth + "}"), site: "invoke auth\n" + up,
		},
		"in a handle of a named route, after another": {
			before: named("header X y\nhandle /never {\nrespond never\n}\nhandle {\n" + auth + "}"), site: "invoke auth\n" + up,
		},
		"in a handle_path of a named route": {
			before: named("header X y\nhandle_path /* {\n" + auth + "}"), site: "invoke auth\n" + up,
		},
		"in a named route of a named route": {
			before: "&(inner) {\nheader X y\n" + auth + "}\n" + named("invoke inner"), site: "invoke auth\n" + up,
		},
		"invoked in a route":  {before: named("header X y\n" + auth), site: "route {\ninvoke auth\n" + up + "}"},
		"invoked in a handle": {before: named("header X y\n" + auth), site: "handle {\ninvoke auth\n" + up + "}"},
		"invoked in a handle_path": {
			before: named("header X y\n" + auth), site: "handle_path /* {\ninvoke auth\n" + up + "}",
		},
		"in a snippet": {before: snippet("header X y\n" + auth), site: "import auth\n" + up},
		"in a snippet that is in a named route": {
			before: snippet("header X y\n"+auth) + "&(named) {\nimport auth\n}\n", site: "invoke named\n" + up,
		},
		"in a snippet that is in a route": {
			before: snippet("header X y\n" + auth), site: "route {\nimport auth\n" + up + "}",
		},
		"in a snippet with an argument": {
			before: snippet("header X {args[0]}\n" + auth + "reverse_proxy {args[1]}"), site: "import auth y {{upstream}}\n",
		},
		"in a snippet with a block": {before: snippet(auth + "{block}"), site: "import auth {\n" + up + "}"},
		"ordered first":             {options: "order elasticsearch_jwt first", site: "header X y\n" + auth + up},
		"ordered right before the proxy": {
			options: "order elasticsearch_jwt before reverse_proxy", site: "header X y\n" + auth + up,
		},
		"ordered first in a named route": {
			options: "order elasticsearch_jwt first", before: named("header X y\n" + auth), site: "invoke auth\n" + up,
		},
		"in a route":            {site: "route {\nheader X y\n" + auth + up + "}"},
		"in a route in a route": {site: "route {\nroute {\nheader X y\n" + auth + "}\n" + up + "}"},
		"in a handle":           {site: "handle /other* {\nrespond no\n}\nhandle {\n" + auth + up + "}"},
		"with handle_errors": {
			before: named("header X y\n" + auth),
			site:   "invoke auth\n" + up + "handle_errors {\nheader X y\nrespond {err.status_code}\n}",
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := strings.Replace(minimal, "{{settings}}\n", "", 1)
			head, _, _ := strings.Cut(file, "	elasticsearch_jwks")
			head = strings.Replace(head, "	auto_https", "	"+tt.options+"\n	auto_https", 1)
			head = strings.Replace(head, "{{site}} {", tt.before+"{{site}} {", 1)
			s := newSceneOf(t, head+tt.site+"\n}\n")
			forged := []string{"Authorization", "Basic ZXZlOmV2ZQ==", "Es-Security-Runas-User", "admin"}

			a := s.get(s.httpClient(s.clients.client("alice", "analysts")), "/", forged...)
			require.Equal(t, http.StatusOK, a.StatusCode, a.body)
			r := s.upstream.last(t)
			require.Equal(t, "alice", unverifiedClaims(r.Header.Get("Authorization"))["sub"])
			require.Empty(t, r.Header["Es-Security-Runas-User"])

			a = s.get(s.httpClient(), "/", forged...)
			require.Equal(t, http.StatusUnauthorized, a.StatusCode)
			s.upstream.requireNone(t)
		})
	}
}

// TestTwoHandlersInANamedRouteAreAnError: Caddy would keep the first of them, without a word.
func TestTwoHandlersInANamedRouteAreAnError(t *testing.T) {
	const auth = "elasticsearch_jwt {\nissuer i\naudience a\n}\n"
	site := "https://es.example.com {\ninvoke auth\nreverse_proxy https://es1:9200\n}\n"
	_, err := tryAdapt("&(auth) {\n" + auth + auth + "}\n" + site)
	require.ErrorContains(t, err, "elasticsearch_jwt is there twice")
	_, err = tryAdapt("&(auth) {\nhandle /a {\n" + auth + "}\nhandle /b {\n" + auth + "}\n}\n" +
		"&(other) {\n" + auth + "}\n" + site)
	require.NoError(t, err)
}

// TestAHandlerThatCaddyDropsIsAnError: the route of another directive, with the handler inside it, cannot be kept from
// being merged.
func TestAHandlerThatCaddyDropsIsAnError(t *testing.T) {
	const auth = "elasticsearch_jwt {\nissuer i\naudience a\n}\n"
	site := "https://es.example.com {\ninvoke auth\nreverse_proxy https://es1:9200\n}\n"
	for name, inside := range map[string]string{
		"in a handle":                     "header X y\nhandle {\n" + auth + "}\n",
		"in a route":                      "header X y\nroute {\n" + auth + "}\n",
		"in a route, before another":      "route {\n" + auth + "}\nrespond no\n",
		"deep inside":                     "header X y\nhandle {\nroute {\n" + auth + "}\n}\n",
		"with matchers that are not used": "@x path /x\nheader X y\nhandle {\n" + auth + "}\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tryAdapt("&(auth) {\n" + inside + "}\n" + site)
			require.ErrorContains(t, err, "put everything in the named route into one handle block")
			_, err = tryAdapt("&(auth) {\nhandle {\n" + inside + "}\n}\n" + site)
			require.NoError(t, err)
		})
	}
	t.Run("with an invoke that is lost", func(t *testing.T) {
		_, err := validateCaddyfile(t, "&(inner) {\n"+auth+"}\n&(auth) {\nheader X y\ninvoke inner\n}\n"+site)
		require.ErrorContains(t, err, "the named route inner, which nothing invokes")
	})
}
