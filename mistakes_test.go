package esjwt_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// recommended is the site of the README.
const recommended = `{
	admin {{admin}}
	storage file_system {{storage}}
	auto_https disable_redirects
}
{{site}} {
	tls {{tls}} {
		client_auth {
			mode request
		}
	}
	elasticsearch_jwks
	elasticsearch_jwt {
		issuer https://es.example.com
		audience https://elasticsearch.example.com:9200
		trust_pool file {{clients}}
	}
	reverse_proxy https://{{node}} {
		transport elasticsearch_jwt {
			tls_trust_pool file {{node-ca}}
		}
	}
}
`

// The parts of it that the mistakes change.
const (
	itsHandler = `	elasticsearch_jwt {
		issuer https://es.example.com
		audience https://elasticsearch.example.com:9200
		trust_pool file {{clients}}
	}
`
	itsPool  = "		trust_pool file {{clients}}\n"
	itsProxy = `	reverse_proxy https://{{node}} {
		transport elasticsearch_jwt {
			tls_trust_pool file {{node-ca}}
		}
	}
`
	plainProxy = `	reverse_proxy https://{{node}} {
		transport http {
			tls_trust_pool file {{node-ca}}
		}
	}
`
	itsAuth    = " {\n		client_auth {\n			mode request\n		}\n	}\n"
	setting    = "		issuer https://es.example.com\n" // more settings of the handler can follow
	verifying  = "mode require_and_verify\n			trust_pool file {{clients}}"
	esSet      = "	elasticsearch_jwt {\n		keys es256 storage {\n			algorithm ES256\n		}\n	}\n"
	administer = `header_up Authorization "Basic ZWxhc3RpYzpjaGFuZ2VtZQ=="`
)

// when is where an operator is told of a mistake.
type when string

const (
	atLoad    when = "by an error of caddy validate and caddy run"
	atStart   when = "by a warning, when it is loaded"
	atRefusal when = "by a line in the log, at the first request"
	nowhere   when = "in the documentation alone, since it cannot be known"
)

// mistake is one that operators have made, and what they are told of it.
type mistake struct {
	edits    []string // of the recommended Caddyfile: old, new, …
	told     when
	says     []string // all in one line; of a mistake that cannot be known, in docs/elasticsearch.md
	level    string   // of the line; not looked at if empty
	client   string   // whose certificate comes, one of those below; "-" means none; alice by default
	path     string   // what is asked for; /_security/_authenticate by default
	password bool     // the client sends one too
	status   int      // of the answer; 0 means that there is none to look at
	metric   string   // counts it
}

func (m *mistake) caddyfile(t *testing.T) string {
	t.Helper()
	text := recommended
	for i := 0; i < len(m.edits); i += 2 {
		require.Contains(t, text, m.edits[i])
		text = strings.Replace(text, m.edits[i], m.edits[i+1], 1)
	}
	return text
}

func globally(options string) []string {
	return []string{"	auto_https disable_redirects\n", "	auto_https disable_redirects\n" + options}
}

func withSet(set string) []string { return globally("	elasticsearch_jwt {\n		keys " + set + "\n	}\n") }

func withSetting(line string) []string { return []string{setting, setting + "		" + line + "\n"} }

func withSecret(value string) []string {
	return []string{"			tls_trust_pool", "			shared_secret " + value + "\n			tls_trust_pool"}
}

// mistakes are those in the configuration, in a certificate or in the cluster's realm. Not among them are those which
// only the node can see, such as a JWKS over plain HTTP, and a trust_pool whose file is replaced
// (TestAChangedFileOfTheTrustPoolCounts).
func mistakes(file func(name, content string) string) map[string]mistake {
	const (
		cluster401 = `cluster_refusals_total{status="401"}`
		cluster403 = `cluster_refusals_total{status="403"}`
	)
	refused := func(reason string) string { return `requests_total{reason="` + reason + `",result="refused"}` }
	handshake := func(reason string) string { return `refused_handshakes_total{reason="` + reason + `"}` }
	verify := []string{"mode request", verifying}
	secret := file("secret", "another-secret-another-secret-another")
	named := func(content string) []string {
		return []string{
			itsHandler, "	invoke auth\n",
			"{{site}} {", "&(auth) {\n	header X-Frame-Options DENY\n" + content + "}\n{{site}} {",
		}
	}
	return map[string]mistake{
		// The realm has other settings.
		"another audience than the realm's": {
			edits: []string{"audience https://elasticsearch", "audience https://elsewhere"}, told: atRefusal,
			says: []string{"refuses tokens", "allowed_audiences", "elsewhere"}, level: "warn", status: 401, metric: cluster401,
		},
		"an issuer with a slash at its end": {
			edits: []string{"issuer https://es.example.com", "issuer https://es.example.com/"}, told: atRefusal,
			says: []string{"allowed_issuer", "it has a slash at its end here"}, level: "warn", status: 401, metric: cluster401,
		},
		"no shared secret": {
			edits: []string{"{{node}}", "{{secret-node}}"}, told: atRefusal,
			says:  []string{"no shared secret was sent", "write `shared_secret {file."},
			level: "warn", status: 401, metric: cluster401,
		},
		"another shared secret": {
			edits: append(withSecret("{file."+secret+"}"), "{{node}}", "{{secret-node}}"), told: atRefusal,
			says: []string{"with the same secret as here"}, level: "warn", status: 401, metric: cluster401,
		},
		"a shared secret for a realm that asks for none": {
			edits: withSecret("{file." + secret + "}"), told: nowhere, status: 200,
			says: []string{"client_authentication.type: none`, leave `shared_secret` out", "Caddy cannot know that"},
		},
		"an algorithm that the realm does not allow": {
			edits: append(append(globally(esSet), withSetting("keys es256")...), "jwks\n",
				"jwks {\n		keys default es256\n	}\n"),
			told:   atRefusal,
			says:   []string{"allowed_signature_algorithms has ES256", "it is [RS256] unless it is set"},
			status: 401, metric: cluster401,
		},
		"a role mapping that is not for this user": {
			client: "bob", path: "/sales/_search", told: atRefusal, level: "info", status: 403, metric: cluster403,
			says: []string{"refuses users", "a role mapping on realm.name", "GET /_security/_authenticate", "user:bob"},
		},
		"a certificate without a group, whose user needs a role": {
			client: "groupless", path: "/sales/_search", told: atRefusal, level: "warn", status: 403, metric: cluster403,
			says: []string{"whose tokens have no groups", "`groups {cert.ou}`"},
		},
		"a certificate without a group": {
			client: "another groupless", told: atRefusal, level: "info", status: 200,
			says: []string{"clients have no group", "groups {cert.o}", "issue certificates with groups"},
		},
		"a mistyped path of the JWKS": {
			client: "-", path: "/.well-known/jwk.json", told: atRefusal, status: 401, metric: refused("no_certificate"),
			says: []string{"there is no JWKS at this path", "pkc_jwkset_path", "/.well-known/jwks.json"},
		},

		// The shared secret.
		"a secret whose file is missing": {
			edits: withSecret("{file./no/such}"), told: atLoad, says: []string{"/no/such", "name a file"},
		},
		"a secret whose variable is not set": {
			edits: withSecret("{env.NOT_SET}"), told: atLoad, says: []string{"NOT_SET", "set the variable"},
		},
		"a secret that is written out": {
			edits: withSecret("hunter2hunter2"), told: atLoad, says: []string{"write it as {file."},
		},

		// Clients' certificates.
		"another authority": {
			client: "stranger", told: atRefusal, status: 401, metric: refused("unverified"),
			says: []string{"trust_pool of elasticsearch_jwt", "CN=another authority"},
		},
		"expired": {
			client: "expired", told: atRefusal, status: 401, metric: refused("expired"),
			says: []string{"renew it", "expired at"},
		},
		"not valid yet": {
			client: "future", told: atRefusal, status: 401, metric: refused("expired"),
			says: []string{"is not valid before"},
		},
		"for servers": {
			client: "server", told: atRefusal, status: 401, metric: refused("unverified"),
			says: []string{"must include clientAuth"},
		},
		"none": {
			client: "-", told: atRefusal, status: 401, level: "info", metric: refused("no_certificate"),
			says: []string{"sent no certificate", "connect with"},
		},
		"without CN": {
			client: "nameless", told: atRefusal, status: 403, metric: refused("no_principal"),
			says: []string{"issue it with such a name"},
		},
		"with two CNs": {
			client: "two names", told: atRefusal, status: 403, metric: refused("no_principal"),
			says: []string{"several values", "choose a principal"},
		},
		"with a group like a DN": {
			client: "dn", told: atRefusal, status: 403, metric: refused("invalid_group"),
			says: []string{"without the equals sign"},
		},
		"with a password as well": {
			password: true, told: atRefusal, status: 200, level: "info",
			says: []string{"own Authorization was replaced", "leave one of them out"},
		},
		"another authority, under a client_auth that verifies": {
			edits: verify, client: "stranger", told: atRefusal, metric: handshake("unverified"),
			says: []string{"set client_auth { mode request }", "trust_pool of client_auth", "CN=another authority"},
		},
		"expired, under a client_auth that verifies": {
			edits: verify, client: "expired", told: atRefusal, metric: handshake("expired"),
			says: []string{"in the TLS handshake", "renew it"},
		},
		"not valid yet, under a client_auth that verifies": {
			edits: verify, client: "future", told: atRefusal, metric: handshake("expired"),
			says: []string{"is not valid before"},
		},
		"for servers, under a client_auth that verifies": {
			edits: verify, client: "server", told: atRefusal, metric: handshake("unverified"),
			says: []string{"must include clientAuth"},
		},
		"a revocation list that is out of date": {
			edits: withSetting("crl {{stale}}"), told: atStart, level: "warn",
			says: []string{"out of date", "crl_stale is allow", "renew it"},
		},
		"a decimal serial in a deny list": {
			edits: withSetting("deny " + file("decimal", "serial 642360046467016679785684928406999012603016242849\n")),
			told:  atLoad,
			says:  []string{"is decimal", "write 0x7084"},
		},

		// client_auth.
		"client_auth without a trust_pool": {
			edits: []string{"mode request", "mode verify_if_given", itsPool, ""}, told: atStart,
			says: []string{"client_auth has no trust_pool", "`trust_pool file clients-ca.pem` in elasticsearch_jwt"},
		},
		"client_auth without a trust_pool, which the handler has": {
			edits: []string{"mode request", "mode verify_if_given"}, told: atStart,
			says: []string{"the handshake ends for every client", "set client_auth { mode request }"},
		},
		"mode request, and no trust_pool": {
			edits: []string{itsPool, ""}, told: atStart,
			says: []string{"write `trust_pool file clients-ca.pem` into elasticsearch_jwt"},
		},
		"no client_auth": {
			edits: []string{itsAuth, "\n"}, told: atStart,
			says: []string{"write `tls { client_auth { mode request } }` into the site"},
		},
		"a JWKS where every client needs a certificate": {
			edits: verify, told: atStart, says: []string{"nodes that fetch the JWKS", "set client_auth { mode request }"},
		},
		"a site by address": {
			edits: []string{"{{site}}", "https://127.0.0.1:{{port}}"}, told: atStart,
			says: []string{"421", "give the site a name with a dot"},
		},
		"a site whose name is one label": {
			edits: []string{"{{site}}", "https://localhost:{{port}}"}, told: atStart,
			says: []string{"421", "give the site a name with a dot"},
		},

		// Settings.
		"a matcher": {
			edits: []string{"elasticsearch_jwt {", "elasticsearch_jwt /api/* {"}, told: atLoad,
			says: []string{"takes no matcher", "`handle /api/* "},
		},
		"a mistyped setting": {
			edits: []string{"audience", "audiance"}, told: atLoad,
			says: []string{"did you mean audience?", "Caddyfile:15"},
		},
		"a setting twice": {
			edits: withSetting("issuer https://es2.example.com"), told: atLoad,
			says: []string{"issuer is there twice"},
		},
		"a lifetime that is too short": {
			edits: withSetting("lifetime 1m"), told: atLoad, says: []string{"use 5m to 24h"},
		},
		"a set that is not there": {
			edits: withSetting("keys other"), told: atLoad, says: []string{"`keys other storage`"},
		},
		"a placeholder of the request": {
			edits: withSetting("principal {header.X-User}"), told: atLoad,
			says: []string{"comes from the request", "{cert.cn}"},
		},
		"a mistyped placeholder": {
			edits: withSetting("principal {cert.cnn}"), told: atLoad, says: []string{"did you mean {cert.cn}?"},
		},
		"a mistyped {jwt}": {
			edits: withSetting("header X-Token {jtw}"), told: atLoad, says: []string{"did you mean {jwt}?"},
		},

		// The order of handlers.
		"a reverse_proxy before elasticsearch_jwt": {
			edits: []string{itsHandler, "	route {\n" + plainProxy + itsHandler + "	}\n"}, told: atLoad,
			says: []string{"comes before elasticsearch_jwt", "write elasticsearch_jwt first"},
		},
		"a second reverse_proxy, without elasticsearch_jwt": {
			edits: []string{
				itsHandler, "	handle /other/* {\n" + plainProxy + "	}\n	handle {\n" + itsHandler,
				itsProxy + "}", itsProxy + "	}\n}",
			},
			told: atStart, says: []string{"reverse_proxy without elasticsearch_jwt", "put elasticsearch_jwt in front of it"},
		},
		"elasticsearch_jwt twice": {
			edits: []string{itsHandler, "	route {\n" + itsHandler + itsHandler + "	}\n"}, told: atLoad,
			says: []string{"keep one of the two"},
		},
		"a forgotten header_up": {
			edits: []string{itsProxy, strings.Replace(plainProxy, "		transport", "		"+administer+"\n		transport", 1)},
			told:  atLoad,
			says:  []string{"header_up Authorization", "every client would be the same user", "take it out"},
		},
		"a forgotten header_up, where the transport has the last word": {
			edits: []string{"		transport", "		" + administer + "\n		transport"}, told: atStart, status: 200,
			says: []string{"header_up Authorization has no effect", "take it out"},
		},
		"a named route with another directive": { // the handler stays in it
			edits: named(itsHandler), client: "-", told: atRefusal, status: 401, says: []string{"no_certificate"},
		},
		"a named route with the handler in a block": {
			edits: named("	handle {\n" + itsHandler + "	}\n"), told: atLoad,
			says: []string{"would drop this elasticsearch_jwt", "write it directly into the named route"},
		},

		// Keys.
		"a set that nobody publishes": {
			edits: append(globally(esSet), withSetting("keys es256")...), told: atStart,
			says: []string{"no elasticsearch_jwks", "with `keys es256`"},
		},
		"a key file that is a certificate": {
			edits: withSet("default file {{clients}}"), told: atLoad,
			says: []string{"CERTIFICATE", "use PEM (PKCS#1"},
		},
		"a key file that is garbage": {
			edits: withSet("default file " + file("garbage", "garbage\n")), told: atLoad,
			says: []string{"no private key", "use PEM (PKCS#1"},
		},
		"a key of 1024 bits": {
			edits: withSet("default file {{rsa1024}}"), told: atLoad, says: []string{"1024 bits", "under 2048"},
		},
		"a key on Ed25519": {
			edits: withSet("default file {{ed25519}}"), told: atLoad,
			says: []string{"ed25519", "make one of RSA or on P-256"},
		},
		"a short secret to sign with": {
			edits: withSet("default secret {\n			secret {file." + file("short", "short") + "}\n		}"), told: atLoad,
			says: []string{"5 bytes", "`openssl rand -hex 64`"},
		},
		"another algorithm for a set that has keys": {
			edits: withSet("default storage {\n			algorithm ES256\n		}"), told: atStart,
			says: []string{"it takes 2 rotations", "`caddy elasticsearch-jwt rotate default`"},
		},
		"HS256 from the storage": {
			edits: withSet("default storage {\n			algorithm HS256\n		}"), told: atLoad, says: []string{"`keys <name> secret`"},
		},
		"a storage that cannot be written": {
			edits: []string{"{{storage}}", filepath.Join(secret, "folder")}, told: atStart, level: "error",
			says: []string{"storage"},
		},

		// The way to the nodes.
		"http:// to a node that speaks TLS": {
			edits: []string{itsProxy, "	reverse_proxy http://{{node}} {\n		transport elasticsearch_jwt\n	}\n"}, told: atStart,
			says: []string{"plain HTTP", "write https://"},
		},
		"a node of an authority that Caddy does not know": {
			edits: []string{"{{node-ca}}", "{{clients}}"}, told: atRefusal, status: 502, level: "error",
			says: []string{"write `tls_trust_pool file es-ca.pem` into the transport"},
		},
	}
}

// TestEachMistakeIsToldWithWhatToDo, to an operator who makes it.
func TestEachMistakeIsToldWithWhatToDo(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
		return name
	}
	o := newOperator(t)
	t.Run("none", func(t *testing.T) {
		begin := len(o.logs.String())
		o.make(t, &mistake{told: atRefusal, status: 200, says: []string{"token signed"}})
		require.NotRegexp(t, `"level":"(warn|error)",[^}]*elasticsearch_jwt`, o.logs.String()[begin:])
	})
	for name, m := range mistakes(file) {
		t.Run(name, func(t *testing.T) { o.make(t, &m) })
	}
}

// TestAMistakeOnTheCommandLineIsToldWithWhatToDo, with the status 1.
func TestAMistakeOnTheCommandLineIsToldWithWhatToDo(t *testing.T) {
	nobody := freeAddress(t)
	for name, tt := range map[string]struct {
		args []string
		says []string
	}{
		"Caddy does not run":    {[]string{"keys", "--address", nobody}, []string{nobody, "is Caddy running"}},
		"a mistyped subcommand": {[]string{"rotat"}, []string{"did you mean rotate?"}},
		"a mistyped flag":       {[]string{"keys", "--jsno"}, []string{"did you mean --json?"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := command(t, tt.args...)
			require.Error(t, err)
			requireAll(t, err.Error(), tt.says)
		})
	}
}
