package esjwt_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/require"
)

// validateCaddyfile is `caddy validate` for a Caddyfile. It returns the plugin's warnings as well. The storage is a
// folder of the test.
func validateCaddyfile(t *testing.T, caddyfile string) (warnings []string, err error) {
	t.Helper()
	return validateWarnings(t, adapt(t, caddyfile))
}

func validateWarnings(t *testing.T, config []byte) (warnings []string, err error) {
	t.Helper()
	logs := new(logBuffer)
	logOutputs.Store(t.Name(), logs)
	defer logOutputs.Delete(t.Name())
	var parsed map[string]any
	require.NoError(t, json.Unmarshal(config, &parsed))
	parsed["admin"] = map[string]any{"disabled": true}
	parsed["storage"] = map[string]any{"module": "file_system", "root": folderOfCaddy(t)}
	parsed["logging"] = map[string]any{"logs": map[string]any{"default": map[string]any{
		"writer": map[string]any{"output": "test", "name": t.Name()}, "level": "WARN",
		"encoder": map[string]any{"format": "json"}, "include": []string{"elasticsearch_jwt"},
	}}}
	config, err = json.Marshal(parsed)
	require.NoError(t, err)
	var c caddy.Config
	require.NoError(t, caddy.StrictUnmarshalJSON(config, &c))
	err = caddy.Validate(&c)
	for line := range strings.Lines(logs.String()) {
		var entry struct {
			Msg              string
			Sites, Upstreams []string
		}
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		warnings = append(warnings, strings.TrimSpace(
			strings.Join(entry.Sites, " ")+" ["+strings.Join(entry.Upstreams, " ")+"] "+entry.Msg))
	}
	return warnings, err
}

// The parts of the Caddyfiles below.
var routeParts = strings.NewReplacer(
	"AUTH2", "elasticsearch_jwt {\nissuer https://two.example.com\naudience es\n}\n",
	"AUTH", "elasticsearch_jwt {\nissuer https://es.example.com\naudience es\n}\n",
	"TLS", "tls internal {\nclient_auth {\nmode request\n}\n}\n",
	"OURS", "transport elasticsearch_jwt\n",
)

// siteOf is a Caddyfile with one site that has these directives.
func siteOf(directives string) string {
	return routeParts.Replace("{\nauto_https off\n}\nhttps://es.example.com {\nTLS" +
		"elasticsearch_jwks\n" + directives + "\n}\n")
}

func TestAWrongRouteIsAnErrorWhenValidating(t *testing.T) {
	tests := map[string]struct {
		directives string
		says       []string
	}{
		"a reverse_proxy first": {
			"route {\nreverse_proxy https://es1:9200\nAUTH}",
			[]string{"es.example.com: a reverse_proxy comes before elasticsearch_jwt", "write elasticsearch_jwt first"},
		},
		"a reverse_proxy in a handle first": {
			"route {\nhandle {\nreverse_proxy https://es1:9200\n}\nAUTH}", []string{"a reverse_proxy comes before"},
		},
		"a reverse_proxy first, for whatever is left": {
			"route {\nrespond /x no\nreverse_proxy https://es1:9200\nroute {\nAUTH}\n}",
			[]string{"a reverse_proxy comes before"},
		},
		"two handlers": {
			"AUTH\nAUTH2\nreverse_proxy https://es1:9200",
			[]string{"every request that comes to this elasticsearch_jwt", "keep one of the two"},
		},
		"two handlers, one in a handle": {
			"AUTH\nhandle /x* {\nAUTH2\nreverse_proxy https://es1:9200\n}", []string{"keep one of the two"},
		},
		"the transport alone": {
			"reverse_proxy https://es1:9200 {\nOURS}",
			[]string{"no request goes through elasticsearch_jwt before", "not_admitted"},
		},
		"the transport in error routes": {
			"AUTH\nreverse_proxy https://es1:9200 {\nOURS}\nhandle_errors {\nreverse_proxy https://es1:9200 {\nOURS}\n}",
			[]string{"no request in error routes has been let in", "take it out of handle_errors"},
		},
		"another user by header_up": {
			"AUTH\nreverse_proxy https://es1:9200 {\nheader_up Authorization \"Basic aHVudGVyMg==\"\n}",
			[]string{"header_up Authorization changes who the request is", "every client would be the same user: take it out"},
		},
		"another user by one more header": {
			"AUTH\nreverse_proxy https://es1:9200 {\nheader_up +es-security-runas-user aHVudGVyMg==\n}",
			[]string{"header_up +Es-Security-Runas-User changes who"},
		},
		"another user in another spelling": {
			"AUTH\nreverse_proxy https://es1:9200 {\nheader_up es_security.runas-USER aHVudGVyMg==\n}",
			[]string{"header_up Es_security.runas-User changes who"},
		},
		"another user by a replacement": {
			"AUTH\nreverse_proxy https://es1:9200 {\nheader_up Authorization Bearer aHVudGVyMg==\n}",
			[]string{"header_up Authorization changes who"},
		},
		"another user by request_header": {
			"route {\nAUTH\nrequest_header Authorization aHVudGVyMg==\nreverse_proxy https://es1:9200\n}",
			[]string{"request_header Authorization changes who"},
		},
		"another user by request_header, for some": {
			"route {\nAUTH\nrequest_header /x Authorization aHVudGVyMg==\nreverse_proxy https://es1:9200\n}",
			[]string{"request_header Authorization changes who"},
		},
		"another user by copy_headers": {
			"route {\nAUTH\nforward_auth https://auth:9091 {\nuri /verify\n" +
				"copy_headers Remote-User>Es-Security-Runas-User\n}\n" +
				"reverse_proxy https://es1:9200\n}",
			[]string{"request_header Es-Security-Runas-User changes who"},
		},
		"another value of a header of the handler's": {
			"elasticsearch_jwt {\nissuer i\naudience a\nheader X-Who {cert.cn}\nheader X-Token {jwt}\n}\n" +
				"reverse_proxy https://es1:9200 {\nheader_up X-Who aHVudGVyMg==\n}",
			[]string{"header_up X-Who changes who"},
		},
		"nobody": {
			"AUTH\nreverse_proxy https://es1:9200 {\nheader_up -Authorization\n}",
			[]string{"header_up -Authorization removes what elasticsearch_jwt has set", "every client would be nobody"},
		},
		"nobody, by a prefix": {
			"AUTH\nreverse_proxy https://es1:9200 {\nheader_up -Auth*\n}", []string{"header_up -Auth* removes"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := validateCaddyfile(t, siteOf(test.directives))
			require.Error(t, err)
			for _, part := range test.says {
				require.ErrorContains(t, err, part)
			}
			require.NotContains(t, err.Error(), "aHVudGVyMg", "a secret in an error")
		})
	}
}

func TestADoubtfulRouteIsAWarningWhenValidating(t *testing.T) {
	const (
		plain = `es.example.com [es1:9200] this reverse_proxy has Caddy's http transport`
		ours  = "reverse_proxy https://es1:9200 {\nOURS}\n"
	)
	tests := map[string]struct {
		directives string
		warnings   []string // what each begins with
	}{
		"nothing":                 {"AUTH\n" + ours, nil},
		"nothing in a handle":     {"handle /es* {\nAUTH\n" + ours + "}\nhandle {\nrespond no\n}", nil},
		"nothing beside others":   {"AUTH\nencode\nheader X y\nrequest_header X y\nlog_append a b\n" + ours, nil},
		"another cluster without": {"handle /es* {\nAUTH\n" + ours + "}\nreverse_proxy https://other:9200", nil},
		"forward_auth in front": {
			"forward_auth https://auth:9091 {\nuri /verify\ncopy_headers Remote-User Authorization\n}\nAUTH\n" + ours, nil,
		},
		"a header nobody cares for": {
			"AUTH\nreverse_proxy https://es1:9200 {\nheader_up X-Real-Ip 1\nheader_up -Es-Security-Runas-User\nOURS}", nil,
		},
		"a socket":                     {"AUTH\nreverse_proxy unix//run/es.sock {\nOURS}", nil},
		"two handlers for two parts":   {"handle /a* {\nAUTH\n" + ours + "}\nhandle {\nAUTH2\n" + ours + "}", nil},
		"an error page of another":     {"AUTH\n" + ours + "handle_errors {\nreverse_proxy https://pages:443\n}", nil},
		"the plain transport":          {"AUTH\nreverse_proxy https://es1:9200", []string{plain}},
		"the plain transport, written": {"AUTH\nreverse_proxy https://es1:9200 {\ntransport http\n}", []string{plain}},
		"passive health checks that one failure is enough for": {
			"AUTH\nreverse_proxy https://es1:9200 {\nOURSfail_duration 30s\n}",
			[]string{"es.example.com [es1:9200] fail_duration without max_fails takes a node out after a single failure"},
		},
		"passive health checks that a slow client fails": {
			"AUTH\nreverse_proxy https://es1:9200 {\nOURSfail_duration 30s\nmax_fails 10\nunhealthy_latency 5s\n}",
			[]string{"es.example.com [es1:9200] unhealthy_latency counts the time in which a client sends its body"},
		},
		"passive health checks that a wrong request fails": {
			"AUTH\nreverse_proxy https://es1:9200 {\nOURSfail_duration 30s\nmax_fails 10\nunhealthy_status 503 4xx\n}",
			[]string{"es.example.com [es1:9200] unhealthy_status with 4xx, 5xx, 500 or 502 counts answers that any client can cause"},
		},
		"passive health checks that a 502 of the transport fails": {
			"AUTH\nreverse_proxy https://es1:9200 {\nOURSfail_duration 30s\nmax_fails 10\nunhealthy_status 5xx\n}",
			[]string{"es.example.com [es1:9200] unhealthy_status with 4xx, 5xx, 500 or 502 counts answers that any client can cause"},
		},
		"passive health checks of the node's own errors": {
			"AUTH\nreverse_proxy https://es1:9200 {\nOURSfail_duration 30s\nmax_fails 10\nunhealthy_status 503 504\n}", nil,
		},
		"passive health checks that need many": {
			"AUTH\nreverse_proxy https://es1:9200 {\nOURSfail_duration 30s\nmax_fails 10\n}", nil,
		},
		"plain HTTP": {
			"AUTH\nreverse_proxy http://es1:9200 {\nOURS}",
			[]string{"es.example.com [es1:9200] credentials go to this upstream over plain HTTP"},
		},
		"plain HTTP on this machine": {
			"AUTH\nreverse_proxy 127.0.0.1:9200 {\nOURS}",
			[]string{"es.example.com [localhost:9200] credentials go to this machine over plain HTTP"},
		},
		"a way around": {
			"handle /es* {\nAUTH\n" + ours + "}\nreverse_proxy https://ES1:9200",
			[]string{"es.example.com [es1:9200] requests come to nodes of the cluster through this reverse_proxy without"},
		},
		"a way around, by another name of the machine": {
			"handle /es* {\nAUTH\nreverse_proxy unix//run/es https://localhost:9200 {\nOURS}\n}\n" +
				"reverse_proxy https://127.0.0.1:9200",
			[]string{"es.example.com [localhost:9200] requests come to nodes of the cluster through this reverse_proxy without"},
		},
		"a way around, in error routes": {
			"AUTH\n" + ours + "handle_errors {\nreverse_proxy https://es1:9200\n}",
			[]string{"es.example.com [es1:9200] requests come to nodes of the cluster through this reverse_proxy in error"},
		},
		"a way around, in intercept": {
			"route {\nintercept {\nhandle_response {\nreverse_proxy https://es1:9200\n}\n}\nAUTH\n" + ours + "}",
			[]string{"es.example.com [es1:9200] requests come to nodes of the cluster through this reverse_proxy without"},
		},
		"a handler for some requests": {
			"route {\nroute /es* {\nAUTH}\n" + ours + "}",
			[]string{"es.example.com [es1:9200] some requests reach this reverse_proxy without elasticsearch_jwt"},
		},
		"a second handler for some requests": {
			"route {\nroute /es* {\nAUTH}\nAUTH2\n" + ours + "}",
			[]string{"es.example.com [] some requests come to this elasticsearch_jwt that another one has let in"},
		},
		"a handler that nothing reaches": {
			"redir https://other.example.com\nAUTH\n" + ours,
			[]string{"es.example.com [] no request reaches elasticsearch_jwt, since a respond or redir before it"},
		},
		"a handler in a second handle": {
			"handle {\nrespond no\n}\nhandle {\nAUTH\n" + ours + "}",
			[]string{"es.example.com [] no request reaches elasticsearch_jwt, since a respond or redir before it"},
		},
		"header_up in vain": {
			"AUTH\nreverse_proxy https://es1:9200 {\nheader_up Authorization \"Basic x\"\nOURS}",
			[]string{"es.example.com [es1:9200] header_up Authorization has no effect"},
		},
		"request_header in vain": {
			"route {\nAUTH\nrequest_header -Authorization\n" + ours + "}",
			[]string{"es.example.com [es1:9200] request_header -Authorization has no effect"},
		},
		"the secret in vain": {
			"AUTH\nreverse_proxy https://es1:9200 {\nheader_up ES-Client-Authentication {env.X}\nOURS}",
			[]string{"es.example.com [es1:9200] header_up Es-Client-Authentication has no effect"},
		},
		"the secret by header_up": {
			"AUTH\nreverse_proxy https://es1:9200 {\nheader_up ES-Client-Authentication {env.X}\n}",
			[]string{"es.example.com [es1:9200] header_up Es-Client-Authentication puts the shared secret into", plain},
		},
		"a name that is not known": {
			"AUTH\nreverse_proxy https://es1:9200 {\nheader_up {env.X} y\n}",
			[]string{"es.example.com [es1:9200] header_up {env.X} may change a header that says who", plain},
		},
		"a replacement in all headers": {
			"AUTH\nreverse_proxy https://es1:9200 {\nheader_up * a b\n}",
			[]string{"es.example.com [es1:9200] header_up * may change a header that says who", plain},
		},
		"a change that is not sent": {
			"route {\nAUTH\nhandle /x {\nrequest_header Authorization x\nrespond no\n}\n" + ours + "}", nil,
		},
		"forward_auth behind it": {
			"route {\nAUTH\nforward_auth https://auth:9091 {\nuri /verify\n}\n" + ours + "}",
			[]string{"es.example.com [auth:9091] this reverse_proxy asks a server behind elasticsearch_jwt"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			warnings, err := validateCaddyfile(t, siteOf(test.directives))
			require.NoError(t, err)
			require.Len(t, warnings, len(test.warnings), strings.Join(warnings, "\n"))
			for i, begins := range test.warnings {
				require.True(t, strings.HasPrefix(warnings[i], begins), warnings[i])
			}
		})
	}
}

// TestAWarningOfManySitesIsOne, which names some of them.
func TestAWarningOfManySitesIsOne(t *testing.T) {
	var file strings.Builder
	file.WriteString("{\nauto_https off\n}\n")
	for i := range 30 {
		fmt.Fprintf(&file, "https://s%d.example.com {\nTLSelasticsearch_jwks\nAUTH\n"+
			"reverse_proxy https://es%d:9200\n}\n", i, i)
	}
	warnings, err := validateCaddyfile(t, routeParts.Replace(file.String()))
	require.NoError(t, err)
	ours := slices.DeleteFunc(warnings, func(w string) bool { return !strings.Contains(w, "reverse_proxy") })
	require.Len(t, ours, 1)
	require.Contains(t, ours[0], "s0.example.com s1.example.com s10.example.com")
	require.Contains(t, ours[0], "and 20 more")
}

// TestTheUseOfKeySetsIsWarnedOfWhenValidating, and not once more when Caddy runs.
func TestTheUseOfKeySetsIsWarnedOfWhenValidating(t *testing.T) {
	const (
		unused      = "nothing uses these keys"
		unpublished = "no elasticsearch_jwks of this configuration publishes these keys"
	)
	for name, tt := range map[string]struct {
		option, directives string
		says               []string
	}{
		"published":          {"", "elasticsearch_jwks\nAUTH\n", nil},
		"default, not there": {"", "AUTH\n", []string{unpublished}},
		"configured":         {"keys default storage", "AUTH\n", []string{unpublished}},
		"not used":           {"keys other storage", "elasticsearch_jwks\nAUTH\n", []string{unused}},
		"only published":     {"keys other storage", "elasticsearch_jwks {\nkeys default other\n}\nAUTH\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			warnings, err := validateCaddyfile(t, routeParts.Replace("{\nauto_https off\n"+
				"elasticsearch_jwt {\n"+tt.option+"\n}\n}\nhttps://es.example.com {\nTLS"+tt.directives+
				"reverse_proxy https://es1:9200 {\nOURS}\n}\n"))
			require.NoError(t, err)
			warnings = slices.DeleteFunc(warnings, func(w string) bool { return !strings.Contains(w, "these keys") })
			require.Len(t, warnings, len(tt.says), warnings)
			for i, says := range tt.says {
				require.Contains(t, warnings[i], says)
			}
		})
	}
	s := newSceneOf(t, strings.Replace(minimal, "	elasticsearch_jwks\n", "", 1), "{{settings}}", "")
	require.Equal(t, 1, strings.Count(s.logs.String(), unpublished))
}
