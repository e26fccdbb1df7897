package esjwt_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// explained is an explanation as its JSON has it.
type explained struct {
	Issuer, Trust, Reason, Advice, Cause, Principal string

	Groups []string
	Claims []explainedClaim

	Credential struct {
		Kind                  string
		Sends, Needs, Missing []string
	}
}

type explainedClaim struct {
	Name  string
	Value any
	From  string
}

// TestTheAdminAPIExplainsACertificate: who it is, each claim and where it comes from, or why it
// is nobody.
func TestTheAdminAPIExplainsACertificate(t *testing.T) {
	admin := freeAddress(t)
	s := newSceneOf(t, strings.Replace(ownPool, "admin off", "admin "+admin, 1), "{{settings}}",
		"groups {cert.o} staff\nclaim email {cert.san.email}\nclaim kind client")
	explain := func(body []byte) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+admin+"/elasticsearch_jwt/explain",
			bytes.NewReader(body))
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(answer)
	}
	one := func(body []byte) explained {
		status, answer := explain(body)
		require.Equal(t, http.StatusOK, status, answer)
		var explanations []explained
		require.NoError(t, json.Unmarshal([]byte(answer), &explanations))
		require.Len(t, explanations, 1)
		return explanations[0]
	}

	e := one(pemOf(s.clients.client("alice", "analysts").Certificate[0]))
	require.Empty(t, e.Reason)
	require.Equal(t, "alice", e.Principal)
	require.Equal(t, []string{"analysts", "staff"}, e.Groups)
	require.Equal(t, e, one(append([]byte("\ufeff"), pemOf(s.clients.client("alice", "analysts").Certificate[0])...)),
		"a byte order mark is no part of it")
	require.Equal(t, []explainedClaim{
		{Name: "iss", Value: "https://es.example.com", From: "issuer"},
		{Name: "aud", Value: []any{"https://elasticsearch.example.com:9200"}, From: "audience"},
		{Name: "sub", Value: "alice", From: "principal {cert.cn}"},
		{Name: "roles", Value: []any{"analysts", "staff"}, From: "groups {cert.o} staff"},
		{Name: "kind", Value: "client", From: "claim kind client"},
	}, e.Claims)

	e = one(pemOf(newAuthority(t, "another authority").client("eve").Certificate[0]))
	require.Equal(t, "unverified", e.Reason)
	require.Contains(t, e.Advice, "trust_pool")
	require.Empty(t, e.Claims)

	status, answer := explain([]byte("nonsense"))
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "no certificate")
	require.NotContains(t, s.logs.String(), "token signed", "nothing is signed")
}

// TestAnExplanationChecksWhatTheHandshakeWould: the handler's own authorities, or those of
// client_auth of the sites around it.
func TestAnExplanationChecksWhatTheHandshakeWould(t *testing.T) {
	clients, others := newAuthority(t, "clients authority"), newAuthority(t, "another authority")
	issuing := clients.intermediate("issuing authority")
	file := func(content ...[]byte) string { return writeFile(t, "client.pem", bytes.Join(content, nil)) }
	alice := file(pemOf(clients.client("alice").Certificate[0]))
	bob := file(pemOf(others.client("bob").Certificate[0]))
	carol := issuing.client("carol").Certificate[0]

	const head = "{\nadmin off\nstorage file_system {{storage}}\nauto_https disable_redirects\n}\n"
	const jwt = "elasticsearch_jwt {\nissuer i\naudience a\n{{settings}}\n}\nreverse_proxy localhost:9200\n"
	site := func(name, clientAuth string) string {
		return "https://" + name + " {\ntls {{tls}} {\nclient_auth {\n" + clientAuth + "\n}\n}\n" + jwt + "}\n"
	}
	verifying := head + site("in.example.org", "mode verify_if_given\ntrust_pool file {{clients}}")
	unverifying := head + site("in.example.org", "mode request")
	denied := clients.write("denied.txt", []byte("subject CN=alice\n"))
	old := filepath.Join(t.TempDir(), "clients.crl")
	require.NoError(t, os.WriteFile(old, revocationList(t, clients, time.Now().Add(-time.Second)), 0o600))

	tests := map[string]struct {
		caddyfile, settings, cert string
		principal, reason, trust  string
		cause, advice             string
	}{
		"client_auth takes it": {verifying, "", alice, "alice", "", "client_auth of in.example.org", "", ""},
		"client_auth does not": {
			verifying, "", bob, "", "unverified", "client_auth of in.example.org, which ends the handshake", "",
			"trust_pool of client_auth",
		},
		"client_auth verifies nothing": {
			unverifying, "", alice, "", "unverified", "no client_auth of in.example.org verifies", "",
			"give elasticsearch_jwt a trust_pool",
		},
		"an intermediate is not in the file": {
			verifying, "", file(pemOf(carol)), "", "unverified", "", "", "send the intermediates along",
		},
		"a certificate in DER": {
			verifying, "", file(clients.client("alice").Certificate[0]), "alice", "", "", "", "",
		},
		"an intermediate is in the file": {
			verifying, "", file(pemOf(carol), pemOf(issuing.cert.Raw)), "carol", "", "", "", "",
		},
		"the handler verifies": {
			unverifying, "trust_pool file {{clients}}", alice, "alice", "", "own trust_pool", "", "",
		},
		"the handler does not take it": {
			unverifying, "trust_pool file {{clients}}", bob, "", "unverified", "own trust_pool", "signed by unknown authority",
			"trust_pool of elasticsearch_jwt",
		},
		"a handler of two sites": {
			head + site("in.example.org, https://any.example.org", "mode verify_if_given\ntrust_pool file {{clients}}"), "",
			alice,
			"alice", "", "client_auth of any.example.org, in.example.org", "", "",
		},
		"a principal that it lacks": {
			verifying, "principal {cert.uid}", alice, "", "no_principal", "", "principal {cert.uid}", "choose another principal",
		},
		"a group that looks like a name": {
			verifying, "groups {cert.san.dns} a={cert.cn},b", alice, "", "invalid_group", "", "groups a={cert.cn},b",
			"looks like a distinguished name",
		},
		"a group that has no value": {
			verifying, "groups x-{cert.dc}\nclaim n 1\nrequired_claim unit {cert.ou}", alice, "", "no_claim", "", "",
			"the claim unit",
		},
		"a deny list": {
			verifying, "deny " + denied, alice, "", "revoked", "", "deny " + denied, "denied by its subject",
		},
		"an old revocation list": {verifying, "crl " + old, alice, "", "revoked", "", "crl " + old, "crl_stale allow"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			certFile, keyFile := others.server("in.example.org", "beside.example.org")
			config := writeFile(t, "Caddyfile", []byte(strings.NewReplacer(
				"{{tls}}", certFile+" "+keyFile, "{{storage}}", t.TempDir(), "{{clients}}", clients.file(), "{{others}}",
				others.file(),
			).Replace(strings.ReplaceAll(tt.caddyfile, "{{settings}}", tt.settings))))

			out, err := command(t, "explain", tt.cert, "--json", "--config", config)
			var explanations []explained
			require.NoError(t, json.Unmarshal([]byte(out), &explanations), "%s %v", out, err)
			e := explanations[0]
			require.Equal(t, tt.principal, e.Principal, out)
			require.Equal(t, tt.reason, e.Reason, out)
			require.Contains(t, e.Trust, tt.trust)
			require.Contains(t, e.Cause, tt.cause)
			require.Contains(t, e.Advice, tt.advice)
			require.Equal(t, tt.reason != "", err != nil, "the exit code says whether somebody refuses it")

			text, _ := command(t, "explain", tt.cert, "--config", config)
			require.Contains(t, text, e.Trust)
			require.Contains(t, text, e.Cause)
		})
	}
	_, err := command(t, "explain", alice, "--config", "Caddyfile", "--address", "localhost:2019")
	require.ErrorContains(t, err, "none of the others can be")
}
