package esjwt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// handlerBlock is a Caddyfile whose handler has the given settings, from line 5 on.
func handlerBlock(settings ...string) string {
	return "es.example.com {\n" +
		"elasticsearch_jwt {\n" +
		"issuer https://es.example.com\n" +
		"audience https://elasticsearch.example.com:9200\n" +
		strings.Join(settings, "\n") + "\n}\n" +
		"reverse_proxy localhost:9200\n}\n"
}

// jwksBlock is a Caddyfile whose JWKS handler has the given settings, from line 3 on.
func jwksBlock(settings ...string) string {
	return "es.example.com {\nelasticsearch_jwks {\n" + strings.Join(settings, "\n") + "\n}\n}\n"
}

// keysBlock is a Caddyfile whose global option has the given settings, from line 3 on.
func keysBlock(settings ...string) string {
	return "{\nelasticsearch_jwt {\n" + strings.Join(settings, "\n") + "\n}\n}\n"
}

func TestAMisconfiguredCaddyfileIsToldTheSettingTheLineAndWhatToWrite(t *testing.T) {
	tests := map[string]struct {
		caddyfile string
		line      int
		says      []string
	}{
		"no issuer": {
			"es.example.com {\nelasticsearch_jwt {\naudience a\n}\n}\n", 2,
			[]string{"no issuer", "write `issuer https://es.example.com`"},
		},
		"no audience": {
			"es.example.com {\nelasticsearch_jwt {\nissuer a\n}\n}\n", 2,
			[]string{"no audience", "write `audience https://elasticsearch.example.com:9200`"},
		},
		"no settings at all": {"es.example.com {\nelasticsearch_jwt\n}\n", 2, []string{"no issuer"}},
		"an argument": {
			"es.example.com {\nelasticsearch_jwt https://es.example.com\n}\n", 2,
			[]string{`takes no "https://es.example.com"`, "in a block"},
		},
		"a path matcher": {
			"es.example.com {\nelasticsearch_jwt /es/* {\nissuer a\naudience b\n}\n}\n", 2,
			[]string{"takes no matcher", "`handle /es/* { … }`", "together with its reverse_proxy"},
		},
		"a named matcher": {
			"es.example.com {\n@m path /es/*\nelasticsearch_jwt @m {\nissuer a\naudience b\n}\n}\n", 3,
			[]string{"takes no matcher", "`handle @m { … }`"},
		},
		"a matcher nobody knows": {
			"es.example.com {\nelasticsearch_jwt @m {\nissuer a\naudience b\n}\n}\n", 0, []string{"unrecognized matcher", "@m"},
		},
		"an unknown setting": {
			handlerBlock("subject cn"), 5, []string{
				`unknown setting "subject": use one of`,
				"lifetime, max_header_size, name_characters, principal",
			},
		},
		"a setting that is mistyped": {
			handlerBlock("lifetimes 10m"), 5, []string{`unknown setting "lifetimes": did you mean lifetime?`},
		},
		"one with hyphens": {
			handlerBlock("Group-Pattern x"), 5, []string{`"Group-Pattern": did you mean group_pattern?`},
		},
		"one with letters swapped": {handlerBlock("cofnirmation"), 5, []string{"did you mean confirmation?"}},
		"one of the JWKS":          {jwksBlock("maxage 1m"), 3, []string{`unknown setting "maxage": did you mean max_age?`}},
		"one of a key set": {
			keysBlock("keys default storage {", "rotate_evry 1h", "}"), 4, []string{"did you mean rotate_every?"},
		},
		"an empty issuer": {
			"es.example.com {\nelasticsearch_jwt {\naudience a\nissuer \"\"\n}\n}\n", 2, []string{"no issuer"},
		},
		"an empty audience": {handlerBlock(`audience ""`), 5, []string{"audience", "is empty"}},
		"an issuer per client": {
			"es.example.com {\nelasticsearch_jwt {\naudience a\nissuer https://{cert.o}\n}\n}\n", 4,
			[]string{"issuer", "the same for every client"},
		},
		"an audience per client": {handlerBlock("audience {cert.o}"), 5, []string{"audience", "the same for every client"}},
		"two issuers":            {handlerBlock("issuer https://other.example.com"), 5, []string{"issuer is there twice"}},

		"a lifetime that is too short": {
			handlerBlock("keys default", "lifetime 1m"), 6, []string{"lifetime", "use 5m to 24h", "not 1m"},
		},
		"a lifetime that is too long": {
			handlerBlock("lifetime 25h"), 5, []string{"lifetime", "use 5m to 24h", "not 25h"},
		},
		"a lifetime that is negative": {
			handlerBlock("lifetime -10m"), 5, []string{`lifetime "-10m"`, "longer than nothing"},
		},
		"a lifetime that is no duration": {
			handlerBlock("lifetime soon"), 5, []string{`lifetime "soon"`, "such as 10m or 30d"},
		},
		"a lifetime without a value": {handlerBlock("lifetime"), 5, []string{"lifetime takes exactly one value"}},
		"a lifetime with two":        {handlerBlock("lifetime 5m 10m"), 5, []string{"lifetime takes exactly one value"}},
		"a token type that no realm has": {
			handlerBlock("token_type jwt"), 5, []string{`token_type: "jwt"`, "id_token or access_token"},
		},
		"a certificate maybe": {
			handlerBlock("certificate maybe"), 5, []string{`certificate: "maybe"`, "required or optional"},
		},
		"a key set that is not there": {
			handlerBlock("keys inner"), 5, []string{
				`keys: there is no key set "inner"`, "`keys inner storage`",
				"use one of default",
			},
		},
		"two key sets":                  {handlerBlock("keys one two"), 5, []string{"keys takes exactly one value"}},
		"a trust pool without a source": {handlerBlock("trust_pool"), 5, []string{"`trust_pool file clients-ca.pem`"}},
		"a trust pool of unknown source": {
			handlerBlock("trust_pool files a.pem"), 5,
			[]string{`trust_pool: unknown source "files"`, "use one of combined, file,"},
		},
		"a trust pool that is a file": {
			handlerBlock("trust_pool clients-ca.pem"), 5, []string{"`trust_pool file clients-ca.pem`"},
		},
		"a trust pool that is a path": {
			handlerBlock("trust_pool /etc/caddy/ca"), 5, []string{"`trust_pool file /etc/caddy/ca`"},
		},
		"a trust pool of no files": {
			handlerBlock("trust_pool file"), 5, []string{"trust_pool", "no certificates specified"},
		},
		"two trust pools": {
			handlerBlock("trust_pool file a.pem", "trust_pool file b.pem"), 6, []string{"trust_pool is there twice"},
		},
		"an audience claim of id tokens": {
			handlerBlock("audience_claim client_id"), 5, []string{"audience_claim: client_id", "`token_type access_token`"},
		},
		"a principal claim that is taken": {
			handlerBlock("principal_claim roles"), 5, []string{"principal_claim", "the claim roles would be there twice"},
		},
		"a groups claim that is taken": {
			handlerBlock("principal_claim email", "groups_claim email"), 5, []string{"the claim email would be there twice"},
		},
		"a groups claim with a meaning": {
			handlerBlock("groups_claim aud"), 5, []string{"groups_claim: aud has a meaning of its own", "choose another name"},
		},
		"a principal claim with one": {
			handlerBlock("principal_claim iss"), 5, []string{"principal_claim: iss has a meaning of its own"},
		},
		"an audience claim with one": {
			handlerBlock("token_type access_token", "audience_claim sub"), 6,
			[]string{"audience_claim: sub has a meaning of its own"},
		},

		"a principal for everybody": {
			handlerBlock("principal bob"), 5, []string{`principal: "bob"`, "everybody would be the same user"},
		},
		"a principal of the environment": {
			handlerBlock("principal {env.USER}"), 5, []string{"principal", "everybody would be the same user"},
		},
		"a principal from the request": {
			handlerBlock("principal {http.request.uri.path}"), 5,
			[]string{"principal: {http.request.uri.path} comes from the request", "use {cert.c} {cert.cn}"},
		},
		"Caddy's shorthand for a subject": {
			handlerBlock("principal {tls_client_subject}"), 5,
			[]string{"principal: {http.request.tls.client.subject} comes from the request", "{cert.dn}"},
		},
		"Caddy's shorthand for a host": {
			handlerBlock("principal {cert.cn}@{host}"), 5, []string{"principal: {http.request.host} comes from the request"},
		},
		"an audience from the request": {
			handlerBlock("audience {http.request.host}"), 5,
			[]string{"audience: ", "has a placeholder of the request", "use text, {env.*} or {file.*}"},
		},
		"a value that no certificate has": {
			handlerBlock("principal {cert.name}"), 5, []string{"principal: unknown placeholder {cert.name}", "{cert.cn}"},
		},
		"a value that is mistyped": {
			handlerBlock("principal {cert.cnn}"), 5,
			[]string{"principal: unknown placeholder {cert.cnn}: did you mean {cert.cn}?"},
		},
		"an issuer's, mistyped": {
			handlerBlock("claim by {cert.isuer.cn}"), 5,
			[]string{"unknown placeholder {cert.isuer.cn}: did you mean {cert.issuer.cn}?"},
		},
		"a placeholder that nobody knows": {
			handlerBlock("principal {cn}"), 5, []string{"principal: unknown placeholder {cn}", "{cert.cn}"},
		},
		"the token, mistyped": {
			handlerBlock(`header Authorization "Bearer {jtw}"`), 5, []string{"unknown placeholder {jtw}: did you mean {jwt}?"},
		},
		"a placeholder of a header that is none": {
			handlerBlock(`header X-User "{nobody}"`), 5, []string{"unknown placeholder {nobody}: use {jwt}, {cert.c} "},
		},
		"the token, mistyped where it cannot be": {
			handlerBlock("principal {jtw}"), 5, []string{"unknown placeholder {jtw}: use {cert.c} "},
		},
		"a mistyped kind of placeholder": {
			handlerBlock("principal {crt.san.email}"), 5, []string{"did you mean {cert.san.email}?"},
		},
		"a mistyped source of authorities": {
			handlerBlock("trust_pool flie clients-ca.pem"), 5, []string{`unknown source "flie": did you mean file? Otherwise`},
		},
		"an empty placeholder": {handlerBlock(`principal "{}"`), 5, []string{"principal: unknown placeholder {}"}},
		"a brace that does not close": {
			handlerBlock("principal {cert.cn"), 5, []string{"principal", "a { without a }", `\{`},
		},
		"the token as a principal": {
			handlerBlock("principal {jwt}"), 5, []string{"principal: {jwt} can only be used in a header value"},
		},
		"a file without a slash": {
			handlerBlock("principal {cert.cn}@{file.domain}"), 5, []string{"principal", "{file./run/secrets/domain}"},
		},
		"groups from the request": {
			handlerBlock("groups {header.X-Groups}"), 5,
			[]string{"groups: {http.request.header.X-Groups} comes from the request"},
		},
		"groups without a value": {handlerBlock("groups"), 5, []string{"groups takes at least one value"}},
		"an empty group":         {handlerBlock(`groups {cert.o} ""`), 5, []string{"groups: a value is empty"}},
		"a group that looks like a DN": {
			handlerBlock("groups cn=admins,ou=groups"), 5,
			[]string{"groups: a group looks like a distinguished name", "without the comma"},
		},

		"a claim without a value": {handlerBlock("claim email"), 5, []string{"`claim email {cert.san.email}`"}},
		"a claim without a name":  {handlerBlock(`claim "" {cert.san.email}`), 5, []string{"claim : it has no name"}},
		"an empty claim":          {handlerBlock(`claim email ""`), 5, []string{"claim email: a value is empty"}},
		"a claim that we set": {
			handlerBlock("claim a b", "claim exp never"), 6, []string{"claim exp", "choose another name"},
		},
		"a claim with the groups": {
			handlerBlock("claim roles {cert.o}"), 5, []string{"claim roles", "already holds", "choose another name"},
		},
		"a claim that is there twice": {
			handlerBlock("claim a {cert.o}", "claim a {cert.ou}"), 6, []string{"the claim a is there twice", "into one line"},
		},
		"a claim from the request": {
			handlerBlock("claim a b", "claim ip {remote_host}"), 6,
			[]string{"claim ip: {http.request.remote.host} comes from the request"},
		},

		"a pattern that is none": {
			handlerBlock("username_pattern ("), 5, []string{"username_pattern", "a group is not closed"},
		},
		"a pattern without a group": {
			handlerBlock("username_pattern CN=.*"), 5, []string{"username_pattern", "put what is the name in parentheses"},
		},
		"a pattern beside a principal": {
			handlerBlock("username_pattern CN=(.*)", "principal {cert.cn}"), 6, []string{"principal", "keep one of them"},
		},
		"a pattern beside an attribute": {
			handlerBlock("username_pattern CN=(.*)", "username_rdn CN"), 6, []string{"username_rdn", "keep one of them"},
		},
		"an attribute that is none": {handlerBlock("username_rdn NAME"), 5, []string{"username_rdn", "such as CN"}},
		"a group pattern that is none": {
			handlerBlock("group_pattern ("), 5, []string{"group_pattern", "a group is not closed"},
		},
		"two role mappings": {
			handlerBlock("role_mapping a.yml", "role_mapping b.yml"), 6, []string{"role_mapping is there twice"},
		},
		"a required claim that is set": {
			handlerBlock("claim a {cert.o}", "required_claim a {cert.ou}"), 6, []string{"the claim a is there twice"},
		},
		"a flag with a value":            {handlerBlock("confirmation yes"), 5, []string{"confirmation takes no value"}},
		"a stale list that may be":       {handlerBlock("crl_stale maybe"), 5, []string{"crl_stale", "refuse or allow"}},
		"a stale list that there is not": {handlerBlock("crl_stale allow"), 5, []string{"crl_stale", "`crl <file|url>`"}},
		"revocations of nothing":         {handlerBlock("deny"), 5, []string{"deny takes at least one value"}},

		"a header without a value": {
			handlerBlock("header X-User"), 5, []string{"`header Authorization \"Bearer {jwt}\"`"},
		},
		"a header with two": {
			handlerBlock("header X-User a b"), 5, []string{"`header Authorization \"Bearer {jwt}\"`"},
		},
		"an empty header": {
			handlerBlock(`header X-User ""`), 5, []string{"header X-User: it has no value"},
		},
		"a header name that is none": {
			handlerBlock(`header "X User" {jwt}`), 5, []string{"header X User: it is not a header name"},
		},
		"a header value that is none": {
			handlerBlock("header X-User \"a\nb\""), 5, []string{"header X-User", "characters that no header can carry"},
		},
		"a header of the connection": {
			handlerBlock("header transfer-encoding chunked"), 5,
			[]string{"header Transfer-Encoding", "belongs to the connection"},
		},
		"the header of the secret": {
			handlerBlock("header ES-Client-Authentication SharedSecret"), 5,
			[]string{"header Es-Client-Authentication", "`shared_secret {file./path}`"},
		},
		"a header that is there twice": {
			handlerBlock("header X-Token {jwt}", "header x-token {jwt}"), 6, []string{"the header x-token is there twice"},
		},
		"the token nowhere": {
			handlerBlock("header Authorization \"Basic x\""), 5,
			[]string{"header Authorization: no header has {jwt} in it", "`header Authorization \"Bearer {jwt}\"`"},
		},
		"the token beside a name": {
			handlerBlock(`header X-Token "{cert.cn} {jwt}"`), 5, []string{"header X-Token", "use two headers"},
		},
		"a header from the request": {
			handlerBlock("header X-Real-Ip {remote_host}"), 5,
			[]string{"header X-Real-Ip: {http.request.remote.host} comes from the request"},
		},
		"a secret in the Caddyfile": {
			handlerBlock("shared_secret hunter2hunter2"), 5,
			[]string{"shared_secret: a secret in the configuration", "{file./path/to/the/secret} or {env.NAME}"},
		},
		"a secret beside a placeholder": {
			handlerBlock("shared_secret hunter2{env.SECRET}"), 5, []string{"shared_secret: a secret in the configuration"},
		},
		"a secret after a placeholder": {
			handlerBlock("shared_secret {env.SECRET}hunter2"), 5, []string{"shared_secret: a secret in the configuration"},
		},
		"a secret between placeholders": {
			handlerBlock("shared_secret {env.SECRET}hunter2{env.SECRET}"), 5,
			[]string{"shared_secret: a secret in the configuration"},
		},
		"a secret in a variable's default": {
			handlerBlock("shared_secret {$NO_SUCH_SECRET:hunter2}"), 5,
			[]string{"shared_secret: a secret in the configuration", "not {$NAME}"},
		},
		"a secret's file without a slash": {
			handlerBlock("shared_secret {file.es_client_auth}"), 5,
			[]string{"shared_secret: a Caddyfile turns {file.es_client_auth} into", "{file./run/secrets/es_client_auth}"},
		},
		"a secret without a value": {
			handlerBlock("shared_secret"), 5, []string{"shared_secret takes exactly one value"},
		},
		"a secret from the request": {
			handlerBlock("shared_secret {header.X-Secret}"), 5, []string{"shared_secret: a secret in the configuration"},
		},
		"a transport's secret in the clear": {
			"es.example.com {\nreverse_proxy localhost:9200 {\ntransport elasticsearch_jwt {\nshared_secret hunter2hunter2\n" +
				"}\n}\n}\n", 4, []string{"shared_secret: a secret in the configuration"},
		},
		"a transport's file without a slash": {
			"es.example.com {\nreverse_proxy localhost:9200 {\ntransport elasticsearch_jwt {\nshared_secret {file.s}\n}\n}\n}\n",
			4,
			[]string{"shared_secret: a Caddyfile turns {file.s} into"},
		},
		"a transport's secret without a value": {
			"es.example.com {\nreverse_proxy localhost:9200 {\ntransport elasticsearch_jwt {\nshared_secret\n}\n}\n}\n", 4,
			[]string{"shared_secret takes exactly one value"},
		},

		"a JWKS with an argument": {
			"es.example.com {\nelasticsearch_jwks /jwks\n}\n", 2, []string{`takes no "/jwks"`, "`path /.well-known/jwks.json`"},
		},
		"a JWKS with an unknown setting": {
			jwksBlock("maxage 1m"), 3, []string{
				`unknown setting "maxage"`,
				"use one of keys, max_age, openid_configuration, path",
			},
		},
		"a JWKS of an unknown set": {
			jwksBlock("path /jwks", "keys default inner"), 4, []string{`keys: there is no key set "inner"`},
		},
		"a JWKS of one set twice":       {jwksBlock("keys default default"), 3, []string{"keys: default is there twice"}},
		"a JWKS with two lines of sets": {jwksBlock("keys default", "keys default"), 4, []string{"keys is there twice"}},
		"a JWKS of no sets":             {jwksBlock("keys"), 3, []string{"keys takes at least one value"}},
		"a JWKS path without a slash": {
			jwksBlock("max_age 1m", "path jwks.json"), 4, []string{`path: "jwks.json"`, "begins with a slash"},
		},
		"a JWKS path that is a pattern":     {jwksBlock("path /jwks/*"), 3, []string{`path: "/jwks/*"`, "one path"}},
		"a JWKS path with a placeholder":    {jwksBlock("path {path}"), 3, []string{"path", "one path"}},
		"a JWKS that caches too long":       {jwksBlock("max_age 25h"), 3, []string{"max_age", "use 1s to 24h", "not 25h"}},
		"a JWKS that caches for an instant": {jwksBlock("max_age 10ms"), 3, []string{"max_age", "use 1s to 24h", "not 10ms"}},

		"a JWKS where the discovery is": {
			jwksBlock("path /.well-known/openid-configuration", "openid_configuration https://es.example.com"), 3,
			[]string{"path", "choose another"},
		},
		"a discovery over http": {
			jwksBlock("openid_configuration http://es.example.com"), 3, []string{"openid_configuration", "an https URL"},
		},
		"a discovery below a path": {
			jwksBlock("openid_configuration https://es.example.com/es"), 3,
			[]string{"openid_configuration", "must not have a path"},
		},

		"an argument of the option": {"{\nelasticsearch_jwt on\n}\n", 2, []string{`takes no "on"`, "in a block"}},
		"an unknown setting of the option": {
			keysBlock("key default storage"), 3, []string{`unknown setting "key"`, "use one of cache_size, keys"},
		},
		"the option twice": {
			"{\nelasticsearch_jwt {\n}\nelasticsearch_jwt {\n}\n}\n", 4, []string{"is there twice", "into one"},
		},
		"a set without a source": {
			keysBlock("keys default"), 3, []string{"`keys <name> <source> { … }`", "file, kms, secret, storage"},
		},
		"a set of an unknown source": {
			keysBlock("keys default vault"), 3, []string{`keys default: unknown source "vault"`, "file, kms, secret, storage"},
		},
		"a set with a name that is none": {
			keysBlock("keys Default storage"), 3, []string{`key set "Default"`, "lowercase letter"},
		},
		"a set that would leave its folder": {
			keysBlock("keys ../acme storage"), 3, []string{`key set "../acme"`, "lowercase letter"},
		},
		"a set that is there twice": {
			keysBlock("keys a storage", "keys a file x.pem"), 4, []string{"the key set a is there twice"},
		},
		"a cache without a size": {keysBlock("cache_size 0"), 3, []string{"cache_size 0", "positive"}},
		"a cache of no number":   {keysBlock("cache_size many"), 3, []string{`cache_size "many"`, "whole number"}},

		"an argument of a storage set": {
			keysBlock("keys a storage RS256"), 3, []string{`storage takes no "RS256"`, "in a block"},
		},
		"an unknown setting of one": {
			keysBlock("keys a storage {", "alg RS256", "}"), 4,
			[]string{`unknown setting "alg"`, "algorithm, key_size, retire_after, rotate_every"},
		},
		"an algorithm that no realm takes": {
			keysBlock("keys a storage {", "retire_after 1h", "algorithm EdDSA", "}"), 5,
			[]string{`algorithm: unknown algorithm "EdDSA"`, "use one of RS256"},
		},
		"an HMAC of a storage set": {
			keysBlock("keys a storage {", "algorithm HS256", "}"), 4,
			[]string{`algorithm: unknown algorithm "HS256"`, "`keys <name> secret`"},
		},
		"an RSA key that is too small": {
			keysBlock("keys a storage {", "key_size 1024", "}"), 4, []string{"key_size: use 2048, 3072 or 4096, not 1024"},
		},
		"the size of a curve": {
			keysBlock("keys a storage {", "algorithm ES256", "key_size 2048", "}"), 5, []string{"key_size", "leave it out"},
		},
		"a rotation that is too frequent": {
			keysBlock("keys a storage {", "rotate_every 10m", "}"), 4, []string{"rotate_every", "at least 1h", "or never"},
		},
		"a rotation without a value": {
			keysBlock("keys a storage {", "rotate_every", "}"), 4, []string{"rotate_every takes exactly one value"},
		},
		"a rotation with two": {
			keysBlock("keys a storage {", "rotate_every never 1h", "}"), 4, []string{"rotate_every takes exactly one value"},
		},
		"a rotation that is no duration": {
			keysBlock("keys a storage {", "rotate_every monthly", "}"), 4,
			[]string{`rotate_every "monthly"`, "such as 10m or 30d"},
		},
		"a retirement in the past": {
			keysBlock("keys a storage {", "retire_after -1h", "}"), 4, []string{`retire_after "-1h"`, "longer than nothing"},
		},

		"a file set without a file": {keysBlock("keys a file"), 3, []string{"no key file", "`key <file>`"}},
		"a file set with an empty line": {
			keysBlock("keys a file {", "key", "}"), 4, []string{"key takes exactly one value"},
		},
		"a file set with an HMAC": {
			keysBlock("keys a file a.pem {", "algorithm HS256", "}"), 4,
			[]string{`algorithm: unknown algorithm "HS256"`, "use one of RS256"},
		},
		"an unknown setting of a file set": {
			keysBlock("keys a file {", "path a.pem", "}"), 4, []string{`unknown setting "path"`, "algorithm, key"},
		},
		"a secret set without a secret": {
			keysBlock("keys a secret {", "algorithm HS256", "}"), 3,
			[]string{"secret: it is missing", "{file./path/to/the/secret}"},
		},
		"a secret set in the clear": {
			keysBlock("keys a secret {", "secret hunter2hunter2hunter2hunter2hunter2", "}"), 4,
			[]string{"secret: a secret in the configuration"},
		},
		"a secret set as an argument": {keysBlock("keys a secret hunter2hunter2"), 3, []string{"in a block"}},
		"a secret set with an RSA key": {
			keysBlock("keys a secret {", "secret {env.S}", "algorithm RS256", "}"), 5, []string{"algorithm", "use one of HS256"},
		},
		"a KMS with a PIN in the clear": {
			keysBlock("keys a kms {", `uri "pkcs11:token=es;object=jwt?pin-value=hunter2"`, "}"), 4,
			[]string{"uri: a secret in the configuration"},
		},
		"a KMS without a URI": {keysBlock("keys a kms"), 3, []string{"the key's URI is missing"}},
		"a KMS of no known kind": {
			keysBlock("keys a kms {", `uri "hunter2:token=es"`, "}"), 4, []string{"uri: it names no known kind of KMS"},
		},
		"a KMS with an HMAC": {
			keysBlock("keys a kms {", `uri "pkcs11:token=es"`, "algorithm HS256", "}"), 5,
			[]string{`algorithm: unknown algorithm "HS256"`},
		},
		"two algorithms of a file set": {
			keysBlock("keys a file a.pem {", "algorithm RS256", "algorithm PS256", "}"), 5, []string{"algorithm is there twice"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := tryAdapt(test.caddyfile)
			require.Error(t, err)
			for _, part := range test.says {
				require.ErrorContains(t, err, part)
			}
			if test.line > 0 {
				require.Regexp(t, fmt.Sprintf(`, at Caddyfile:%d$`, test.line), err.Error())
			}
			require.NotContains(t, err.Error(), "hunter2", "a secret in an error")
		})
	}
}

func TestSecretsStayPlaceholdersInTheConfiguration(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secretFile, []byte("hunter2hunter2\n"), 0o600))
	t.Setenv("ESJWT_SECRET", "hunter2hunter2")

	for _, placeholder := range []string{"{file." + secretFile + "}", "{env.ESJWT_SECRET}"} {
		config := adapt(t, handlerBlock("shared_secret "+placeholder))
		require.Contains(t, string(config), placeholder)
		require.NotContains(t, string(config), "hunter2")
		require.NoError(t, validate(t, config, t.TempDir()))
	}
}
