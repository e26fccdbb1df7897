package integration

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// keyRealm is a realm, and the key sets whose tokens are for it.
type keyRealm struct {
	name      string
	sets      []string
	published bool // over HTTPS
}

// TestOpenSearchDiscoversTheJWKS: from the OpenID Provider's document that openid_configuration adds.
func TestOpenSearchDiscoversTheJWKS(t *testing.T) {
	for _, version := range versions(*openSearchVersions) {
		t.Run(version, func(t *testing.T) {
			proxy := site{port: freePort(t)}
			issuer := strings.TrimSuffix(proxy.url(""), "/")
			security := strings.NewReplacer(
				"jwks_uri: JWKS", "openid_connect_url: "+issuer+"/.well-known/openid-configuration",
				"required_issuer: "+proxyIssuer, "required_issuer: "+issuer,
			).Replace(openSearchSecurity("JWKS"))
			node := newOpenSearch(t, version, security)
			proxy.upstream, proxy.issuer = node.URL(), issuer
			proxy.jwks = "elasticsearch_jwks {\nopenid_configuration " + issuer + "\n}"
			proxy.start(t)
			require.NoError(t, node.Start(t.Context()))
			alice := proxy.authinfo(t, proxy.client(clientCA().Client("alice", "analysts").TLS), nil).searchUser(t)
			require.Equal(t, "alice", alice.Name)
			require.Equal(t, []string{"analysts"}, alice.BackendRoles)
		})
	}
}

// keySourceRealm is a realm with an issuer of its own.
func keySourceRealm(name string, order int, lines ...string) string {
	return fmt.Sprintf(`xpack.security.authc.realms.jwt.%[1]s:
  order: %[2]d
  client_authentication.type: none
  claims.principal: sub
  claims.groups: roles
  allowed_issuer: https://%[1]s.example.com
  allowed_audiences: ["%[3]s"]
  ssl.certificate_authorities: certs/proxy-ca.crt
  %[4]s
`, name, order, nodeAudience, strings.Join(lines, "\n  "))
}

// keySourcesCaddyfile is a site with a path for each key set, and one for the JWKS of each realm.
func keySourcesCaddyfile(t testing.TB, port int, upstream, keys string, realms ...keyRealm) string {
	t.Helper()
	dir, err := certificates()
	require.NoError(t, err)
	var routes strings.Builder
	for _, realm := range realms {
		for _, set := range realm.sets {
			fmt.Fprintf(&routes, `handle_path /%[1]s/* {
	elasticsearch_jwt {
		issuer   https://%[2]s.example.com
		audience %[3]s
		keys     %[1]s
	}
	reverse_proxy %[4]s {
		transport http {
			tls_trust_pool file %[5]s/es-ca.crt
		}
	}
}
`, set, realm.name, nodeAudience, upstream, dir)
		}
		if realm.published {
			fmt.Fprintf(&routes, "elasticsearch_jwks {\nkeys %s\npath /jwks/%s\nmax_age 1s\n}\n", strings.Join(realm.sets, " "),
				realm.name)
		}
	}
	return fmt.Sprintf(`{
	debug
	auto_https disable_redirects
	skip_install_trust
	elasticsearch_jwt {
		%s
	}
}
%s:%d {
	bind 127.0.0.1
	log
	tls %[4]s/site.crt %[4]s/site.key {
		client_auth {
			mode verify_if_given
			trust_pool file %[4]s/clients-ca.crt
		}
	}
	%[5]s
}
`, keys, proxyName, port, dir, routes.String())
}

// TestRealmsWithSharedSecrets: with each algorithm, and in both forms that a realm's secret has.
// docs/keys.md has the commands.
func TestRealmsWithSharedSecrets(t *testing.T) {
	const text = "a secret that is as long as the longest hash: 64 bytes of it, or more"
	octets := make([]byte, 64)
	copy(octets, "these octets are not text: ")
	octets[63] = 0xff
	jwk, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "oct", "alg": "HS512", "k": base64.RawURLEncoding.EncodeToString(octets),
	}}})
	require.NoError(t, err)

	dir := t.TempDir()
	secret := func(name, content string) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(content+"\n"), 0o600))
		return "{file." + file + "}"
	}
	keys := fmt.Sprintf(`keys hs256 secret {
	algorithm HS256
	secret %[1]s
}
keys hs384 secret {
	algorithm HS384
	secret %[1]s
}
keys hs512 secret {
	algorithm HS512
	secret %[2]s
	encoding base64url
}
`, secret("text", text), secret("octets", base64.RawURLEncoding.EncodeToString(octets)))
	var realms []keyRealm
	settings := ""
	for i, name := range []string{"hs256", "hs384", "hs512"} {
		realms = append(realms, keyRealm{name: name, sets: []string{name}})
		settings += keySourceRealm(name, i+1, "allowed_signature_algorithms: ["+strings.ToUpper(name)+"]")
	}
	const realm = "xpack.security.authc.realms.jwt."
	keystore := map[string]string{
		realm + "hs256.hmac_key":    text,
		realm + "hs384.hmac_key":    text,
		realm + "hs512.hmac_jwkset": string(jwk),
	}
	for _, version := range versions(*elasticsearchVersions) {
		t.Run(version, func(t *testing.T) {
			config := nodeConfig(version, settings)
			config.Keystore = keystore
			es := newElasticsearch(t, config)
			require.NoError(t, es.Start(t.Context()))
			proxy := site{port: freePort(t)}
			server := StartCaddy(t, keySourcesCaddyfile(t, proxy.port, es.URL(), keys, realms...))
			alice := proxy.client(clientCA().Client("alice", "analysts").TLS)
			for _, realm := range realms {
				got := send(t, alice, http.MethodGet, proxy.url("/"+realm.name+"/_security/_authenticate"), "", nil).user(t)
				require.Equal(t, "alice", got.Username, realm.name)
				require.Equal(t, realm.name, got.Realm.Name)
			}
			log := server.LogSince(0)
			require.Contains(t, log, `"level":"debug"`)
			require.Contains(t, log, `"user_id":"alice"`)
			require.NotContains(t, log, text)
			require.NotContains(t, log, base64.RawURLEncoding.EncodeToString(octets))
		})
	}
}

// TestClusterThatReadsTheJWKSFromAFile follows docs/keys.md: install the file, rotate, install the
// next one, rotate again. Nobody is refused.
func TestClusterThatReadsTheJWKSFromAFile(t *testing.T) {
	const keys = `keys default storage {
	rotate_every never
}
`
	for _, version := range versions(*elasticsearchVersions) {
		t.Run(version, func(t *testing.T) {
			es := newElasticsearch(t, nodeConfig(version, keySourceRealm("bundle", 1, "pkc_jwkset_path: bundle/jwkset.json")))
			program, err := fastCaddy()
			require.NoError(t, err)
			proxy := site{port: freePort(t)}
			server := &replica{caddyOf(t, program), proxy}
			require.NoError(t, server.Run(t.Context(), keySourcesCaddyfile(t, proxy.port, es.URL(), keys,
				keyRealm{name: "bundle", sets: []string{"default"}, published: true})))

			first := server.signing(t)
			install := func() {
				t.Helper()
				require.NoError(t, es.WriteConfig("bundle/jwkset.json", []byte(server.command(t, "jwks"))))
			}
			install()
			require.NoError(t, es.Start(t.Context()))
			alice := proxy.client(clientCA().Client("alice", "analysts").TLS)
			bob := proxy.client(clientCA().Client("bob", "operators").TLS)
			both := func() {
				t.Helper()
				for name, client := range map[string]*http.Client{"alice": alice, "bob": bob} {
					require.Equal(t, name, send(t, client, http.MethodGet, proxy.url("/default/_security/_authenticate"), "",
						nil).user(t).Username)
				}
			}
			both()
			signing := first
			for range 2 {
				server.command(t, "rotate")
				for began := time.Now(); server.signing(t) == signing; {
					require.Less(t, time.Since(began), time.Minute, "the rotation")
					both()
				}
				signing = server.signing(t)
				both()
				install()
				both()
			}
		})
	}
}
