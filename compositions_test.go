package esjwt_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// composition is a site in which the handler could be lost, reordered or overruled. In its text {{jwt}} is the handler,
// {{to}} a reverse_proxy to the node with our transport, and {{other}} the address of another server.
type composition struct {
	before string // the site: named routes and snippets
	site   string

	// Which clients reach the node with which path. Everything else must not. Empty: the configuration does not load.
	reaches []string
	says    string // the error, if it does not load
}

const certainly = "elasticsearch_jwt"

var compositions = map[string]composition{
	"the plain order": {
		site:    "{{to}}\n{{jwt}}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"route": {
		site:    "route {\n{{jwt}}\n{{to}}\n}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"route for some paths": {
		site:    "route /a/* {\n{{jwt}}\n}\n{{to}}",
		reaches: []string{"alice /a/x"},
	},
	"route in the wrong order for some paths": {
		site: "@a path /a/*\nroute {\nreverse_proxy @a {{upstream}} {\ntransport elasticsearch_jwt\n}\n{{jwt}}\n{{to}}\n}",
		says: certainly,
	},
	"handle": {
		site:    "handle /a/* {\n{{jwt}}\n{{to}}\n}\nhandle {\nrespond 404\n}",
		reaches: []string{"alice /a/x"},
	},
	"handle_path": {
		site:    "handle_path /a/* {\n{{jwt}}\n{{to}}\n}",
		reaches: []string{"alice /a/x"},
	},
	"a handle that falls through": {
		site:    "route {\nhandle /a/* {\n{{jwt}}\n}\n{{to}}\n}",
		reaches: []string{"alice /a/x"},
	},
	"handle_errors": {
		site:    "{{jwt}}\nroute {\nerror /a/* 500\ninvoke to\n}\nhandle_errors {\ninvoke to\n}",
		before:  "&(to) {\n{{to}}\n}",
		reaches: []string{"alice /", "alice /b/x"},
	},
	"invoke of the handler": {
		before:  "&(auth) {\n{{jwt}}\n}",
		site:    "route {\ninvoke auth\n{{to}}\n}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"invoke of the handler after another directive": {
		before:  "&(auth) {\nheader X-Y z\n{{jwt}}\n}",
		site:    "route {\ninvoke auth\n{{to}}\n}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"invoke of the handler before another directive": {
		before:  "&(auth) {\n{{jwt}}\nrequest_header X-Y z\n}",
		site:    "route {\ninvoke auth\n{{to}}\n}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"invoke of everything": {
		before:  "&(all) {\n{{jwt}}\n{{to}}\n}",
		site:    "invoke all",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"invoke of everything, with the JWKS": {
		before:  "&(all) {\nelasticsearch_jwks\n{{jwt}}\n{{to}}\n}",
		site:    "invoke all",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"invoke of the proxy from two places": {
		before:  "&(to) {\n{{to}}\n}",
		site:    "route {\ninvoke /a/* to\n{{jwt}}\ninvoke to\n}",
		reaches: []string{"alice /", "alice /b/x"},
	},
	"import": {
		before:  "(both) {\n{{jwt}}\n{{to}}\n}",
		site:    "import both",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"import of the handler": {
		before:  "(auth) {\n{{jwt}}\n}",
		site:    "handle /a/* {\nimport auth\n{{to}}\n}\nhandle {\nimport auth\n{{to}}\n}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"forward_auth before": {
		site: "route {\nforward_auth {{other}} {\nuri /auth\ncopy_headers Authorization es-security-runas-user X-Proxy-User\n}\n" +
			"{{jwt}}\n{{to}}\n}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"forward_auth after": {
		site:    "route {\n{{jwt}}\nforward_auth {{other}} {\nuri /auth\ncopy_headers Authorization es-security-runas-user\n}\n{{to}}\n}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"intercept": {
		site:    "route {\nintercept {\n@any status 418\nhandle_response @any {\ninvoke to\n}\n}\n{{jwt}}\nrespond /a/* 418\ninvoke to\n}",
		before:  "&(to) {\n{{to}}\n}",
		reaches: []string{"alice /", "alice /b/x"},
	},
	"handle_response": {
		site: "route {\n{{jwt}}\nreverse_proxy {{other}} {\n@any status 2xx\nhandle_response @any {\n" +
			"{{to}}\n}\n}\n}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"handle_response that does nothing": { // after which Caddy goes on
		site: "route {\n{{jwt}}\nreverse_proxy {{other}} {\ntransport elasticsearch_jwt\nhandle_response {\n}\n}\n" +
			"reverse_proxy {{upstream}}\n}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"header_up": {
		site: "{{jwt}}\nreverse_proxy {{upstream}} {\ntransport elasticsearch_jwt\nheader_up Authorization \"Basic YTpi\"\n" +
			"header_up es-security-runas-user elastic\n}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"request_header": {
		site: "route {\n{{jwt}}\nrequest_header Authorization \"Basic YTpi\"\nrequest_header es-security-runas-user elastic\n" +
			"{{to}}\n}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"retries": {
		site: "{{jwt}}\nreverse_proxy 127.0.0.1:1 {{upstream}} {\ntransport elasticsearch_jwt\nlb_policy first\nlb_retries 2\nfail_duration 1m\n" +
			"header_up Authorization \"Basic YTpi\"\n}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"a matcher of vars": {
		before: "&(to) {\n{{to}}\n}",
		site: "@a vars elasticsearch_jwt.client alice\nroute {\nvars elasticsearch_jwt.client alice\ninvoke @a to\n" +
			"{{jwt}}\ninvoke to\n}",
	},
	"vars behind the handler, with its own name": {
		site: "route {\n{{jwt}}\nvars elasticsearch_jwt.client alice\n{{to}}\n}",
	},
	"a map that makes the handler's own name": {
		site:    "route {\n{{jwt}}\nmap {path} {http.vars.elasticsearch_jwt.client} {\ndefault bob\n}\n{{to}}\n}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"a method that makes a tunnel of each request": {
		site: "route {\n{{jwt}}\nmethod CONNECT\n{{to}}\n}",
	},
	"templates that include another path": { // in a request of Caddy's own, which has no certificate
		site: "route {\n{{jwt}}\nhandle /a/* {\ntemplates {\nbetween [[ ]]\n}\nheader Content-Type text/html\n" +
			"respond `included: [[httpInclude \"/b/x\"]]`\n}\n{{to}}\n}",
		reaches: []string{"alice /", "alice /b/x"},
	},
	"templates around the handler": {
		site: "handle /a/* {\ntemplates {\nbetween [[ ]]\n}\nheader Content-Type text/html\n" +
			"respond `included: [[httpInclude \"/b/x\"]]`\n}\nhandle {\n{{jwt}}\n{{to}}\n}",
		reaches: []string{"alice /", "alice /b/x"},
	},
	"try_files, rewrites and their like": {
		site:    "root * /nonexistent\nuri strip_suffix /x\nrewrite /b /a\n{{jwt}}\n{{to}}",
		reaches: []string{"alice /", "alice /a/x", "alice /b/x"},
	},
	"two handlers for different paths": {
		site:    "handle /a/* {\n{{jwt}}\n{{to}}\n}\nhandle /b/* {\n{{jwt}}\n{{to}}\n}",
		reaches: []string{"alice /a/x", "alice /b/x"},
	},
	"a reverse_proxy before the handler": {
		site: "route {\n{{to}}\n{{jwt}}\n}", says: certainly,
	},
	"two handlers in one chain": {
		site: "route {\n{{jwt}}\n{{jwt}}\n{{to}}\n}", says: certainly,
	},
	"only a reverse_proxy": {
		site: "handle /a/* {\n{{to}}\n}\nhandle {\n{{jwt}}\n{{to}}\n}", says: certainly,
	},
	"a reverse_proxy in handle_errors": {
		site: "{{jwt}}\n{{to}}\nhandle_errors {\n{{to}}\n}", says: certainly,
	},
}

// TestNoCompositionSendsARequestAsSomebodyElse, or as nobody: the node gets a request of alice's with her own identity
// and nothing else, or no request.
func TestNoCompositionSendsARequestAsSomebodyElse(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Authorization", "Basic ZWxhc3RpYzpjaGFuZ2VtZQ==")
		w.Header().Set("Es-Security-Runas-User", "elastic")
		w.Header().Set("X-Proxy-User", "elastic")
	}))
	defer other.Close()
	for name, c := range compositions {
		t.Run(name, func(t *testing.T) {
			expand := strings.NewReplacer(
				"{{jwt}}", "elasticsearch_jwt {\nissuer https://es.example.com\naudience https://elasticsearch.example.com:9200\n}",
				"{{to}}", "reverse_proxy {{upstream}} {\ntransport elasticsearch_jwt\n}",
				"{{other}}", strings.TrimPrefix(other.URL, "http://"),
			)
			head, tail, _ := strings.Cut(minimal, "{{site}} {")
			tls, _, _ := strings.Cut(tail, "	elasticsearch_jwks")
			caddyfile := head + expand.Replace(c.before) + "\n{{site}} {" + tls + expand.Replace(c.site) + "\n}\n"
			if c.says != "" {
				s := newScene(t, "")
				require.ErrorContains(t, s.tryReload(caddyfile, s.replacements()...), c.says)
				return
			}
			s := newSceneOf(t, caddyfile)
			var reached []string
			for who, client := range map[string]*http.Client{
				"alice": s.httpClient(s.clients.client("alice", "analysts")), "nobody": s.httpClient(),
			} {
				for _, path := range []string{"/", "/a/x", "/b/x"} {
					s.get(client, path,
						"Authorization", "Basic ZWxhc3RpYzpjaGFuZ2VtZQ==", "es-security-runas-user", "elastic", "X-Proxy-User", "elastic")
					for _, r := range s.upstream.take() {
						require.Len(t, r.Header["Authorization"], 1)
						require.Equal(t, "alice", unverifiedClaims(r.Header.Get("Authorization"))["sub"])
						require.Equal(t, "alice", who)
						require.Empty(t, r.Header["Es-Security-Runas-User"])
						require.Empty(t, r.Header["X-Proxy-User"])
						reached = append(reached, who+" "+path)
					}
				}
			}
			slices.Sort(reached)
			require.Equal(t, c.reaches, reached)
		})
	}
}

// TestOnlyTheTransportSeesTheToken: with it in each reverse_proxy behind the handler, no template, log or header has it.
func TestOnlyTheTransportSeesTheToken(t *testing.T) {
	var seen sync.Map
	for name, c := range map[string]struct{ before, in string }{
		"a deferred header":  {"header >X-Seen {http.request.header.Authorization}", ""},
		"templates":          {"templates", ""},
		"log_append":         {"log_append seen {http.request.header.Authorization}", ""},
		"intercept":          {"intercept {\nhandle_response {\nheader X-Seen {http.request.header.Authorization}\nrespond 200\n}\n}", ""},
		"handle_response":    {"", "handle_response {\nheader X-Seen {http.request.header.Authorization}\nrespond 200\n}"},
		"vars":               {"header >X-Seen {http.vars.elasticsearch_jwt.client}", ""},
		"another variable":   {"header >X-Seen {http.request.header.Es-Client-Authentication}", ""},
		"a header behind it": {"", "header_down X-Seen {http.request.header.Authorization}"},
	} {
		t.Run(name, func(t *testing.T) {
			node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen.Store(name, r.Header.Get("Authorization"))
				w.Header().Set("Content-Type", "text/html")
				_, _ = w.Write([]byte(`seen: {{.Req.Header.Get "Authorization"}}`))
			}))
			defer node.Close()
			site := strings.NewReplacer("	elasticsearch_jwt {\n", "	log\n	route {\n"+c.before+"\n	elasticsearch_jwt {\n",
				"	reverse_proxy {{upstream}}\n", "reverse_proxy {{upstream}} {\n transport elasticsearch_jwt\n"+c.in+"\n}\n}\n",
			).Replace(minimal)
			s := newSceneOf(t, site, "{{settings}}", "", "{{upstream}}", strings.TrimPrefix(node.URL, "http://"))
			a := s.get(s.httpClient(s.clients.client("alice")), "/", "Accept", "text/html")
			require.Equal(t, http.StatusOK, a.StatusCode)
			token, ok := seen.Load(name)
			require.True(t, ok)
			jwt := strings.TrimPrefix(token.(string), "Bearer ")
			require.Equal(t, "alice", unverifiedClaims(token.(string))["sub"])
			for _, where := range []string{a.body, strings.Join(a.Header["X-Seen"], "\n"), s.logs.String()} {
				found := strings.Contains(where, jwt) // NotContains would print it
				require.False(t, found, "the token is there")
			}
		})
	}
}
