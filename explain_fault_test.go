package esjwt_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// explainAll is what the handlers of a Caddyfile make of a file of certificates.
func explainAll(t *testing.T, caddyfile string, certs ...[]byte) []explained {
	t.Helper()
	var file bytes.Buffer
	for _, cert := range certs {
		file.Write(pemOf(cert))
	}
	out, err := command(t, "explain", writeFile(t, "client.pem", file.Bytes()), "--json", "--config",
		writeFile(t, "Caddyfile", []byte(caddyfile)))
	var explanations []explained
	require.NoError(t, json.Unmarshal([]byte(out), &explanations), "%s %v", out, err)
	return explanations
}

// signedWithSHA1 changes a certificate with an ECDSA signature so that it says that it is signed with SHA-1. FIPS
// 140-only mode cannot make such a signature, and crypto/x509 does not look at it.
func signedWithSHA1(t *testing.T, der []byte) []byte {
	t.Helper()
	sha256, err := asn1.Marshal(pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}})
	require.NoError(t, err)
	sha1, err := asn1.Marshal(pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}})
	require.NoError(t, err)
	var cert struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	_, err = asn1.Unmarshal(der, &cert)
	require.NoError(t, err)
	require.Equal(t, sha256, cert.Algorithm.FullBytes)
	cert.TBS.FullBytes = nil
	cert.TBS.Bytes = bytes.Replace(cert.TBS.Bytes, sha256, sha1, 1)
	cert.Algorithm.FullBytes = sha1
	changed, err := asn1.Marshal(cert)
	require.NoError(t, err)
	return changed
}

// TestAnExplanationNamesTheCertificateAtFault, and what is the matter with it.
func TestAnExplanationNamesTheCertificateAtFault(t *testing.T) {
	ca, others := newAuthority(t, "clients authority"), newAuthority(t, "another authority")
	issued := func(a *authority, template x509.Certificate) []byte {
		if template.Subject.CommonName == "" {
			template.Subject.CommonName = "alice"
		}
		return a.issue(template).Certificate[0]
	}
	below := func(template x509.Certificate) *authority {
		sub := newAuthority(t, "issuing authority")
		template.Subject, template.SerialNumber = sub.cert.Subject, nextSerial()
		template.BasicConstraintsValid, template.IsCA = true, true
		template.SubjectKeyId, template.AuthorityKeyId = sub.cert.SubjectKeyId, ca.cert.SubjectKeyId
		if template.NotAfter.IsZero() {
			template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		}
		der, err := x509.CreateCertificate(rand.Reader, &template, ca.cert, sub.cert.PublicKey, ca.key)
		require.NoError(t, err)
		sub.cert, err = x509.ParseCertificate(der)
		require.NoError(t, err)
		return sub
	}
	sameName := newAuthority(t, "clients authority")
	critical := []pkix.Extension{{
		Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true,
		Value: []byte{5, 0},
	}}
	serversOnly := below(x509.Certificate{
		KeyUsage:    x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	past := below(x509.Certificate{
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:  time.Date(2021, 2, 3, 4, 5, 6, 0, time.UTC),
	})
	odd := below(x509.Certificate{ExtraExtensions: critical})
	constrained := below(x509.Certificate{ExtraExtensions: []pkix.Extension{{
		Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: true,
		Value: []byte{0x30, 8, 0xa0, 6, 0x30, 4, 0xa4, 2, 0x30, 0}, // permitted: below the empty directoryName
	}}})
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(t, err)
	onP224, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: "alice"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour),
	}, ca.cert, p224.Public(), ca.key)
	require.NoError(t, err)
	withRSA := func(bits int) []byte { // nobody has its private key
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: "alice"}, NotBefore: time.Now().Add(-time.Hour),
			NotAfter: time.Now().Add(time.Hour),
		}, ca.cert, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}, ca.key)
		require.NoError(t, err)
		return der
	}
	pss, err := os.ReadFile("testdata/certificates/rsa-pss.pem")
	require.NoError(t, err)

	tests := map[string]struct {
		certs         [][]byte
		advice, cause string
		not           string
		reason        string
	}{
		"expired": {
			certs: [][]byte{
				issued(ca, x509.Certificate{
					NotAfter:  time.Date(2021, 2, 3, 4, 5, 6, 0, time.UTC),
					NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
				}),
			},
			reason: "expired", cause: "the client's certificate expired at 2021-02-03T04:05:06Z",
		},
		"not valid yet": {
			certs: [][]byte{
				issued(ca, x509.Certificate{
					NotBefore: time.Date(2090, 2, 3, 4, 5, 6, 0, time.UTC),
					NotAfter:  time.Date(2091, 1, 1, 0, 0, 0, 0, time.UTC),
				}),
			},
			reason: "expired", cause: "the client's certificate is not valid before 2090-02-03T04:05:06Z",
		},
		"an intermediate expired": {
			certs:  [][]byte{issued(past, x509.Certificate{}), past.cert.Raw},
			reason: "expired", cause: `the intermediate "CN=issuing authority" expired at 2021-02-03T04:05:06Z`,
		},
		"of an authority that is not in the pool": {
			certs:  [][]byte{issued(others, x509.Certificate{})},
			reason: "unverified", cause: `was issued by "CN=another authority", which is neither among the intermediates that ` +
				`were sent nor in the trust_pool, which has "CN=clients authority"`,
		},
		"of an authority with the same name": {
			certs:  [][]byte{issued(sameName, x509.Certificate{})},
			reason: "unverified", cause: "does it have another key now?",
		},
		// vault and cert-manager issue intermediates for servers; the client's own extended key usage is right.
		"an intermediate for servers": {
			certs:  [][]byte{issued(serversOnly, x509.Certificate{}), serversOnly.cert.Raw},
			reason: "unverified", advice: "an intermediate in the client's chain is not for client authentication",
			not: "the client's certificate is not for",
			cause: `the intermediate "CN=issuing authority" is not for client authentication: its extended key usage must ` +
				`include clientAuth`,
		},
		"for servers": {
			certs:  [][]byte{issued(ca, x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})},
			reason: "unverified", advice: "the client's certificate is not for client authentication",
			cause: "the client's certificate is not for client authentication",
		},
		"a critical extension": {
			certs:  [][]byte{issued(ca, x509.Certificate{ExtraExtensions: critical})},
			reason: "unverified", advice: "critical extension",
			cause: "the client's certificate has the critical extension 1.3.6.1.4.1.99999.1, which Go does not know",
		},
		"a critical extension of an intermediate": {
			certs:  [][]byte{issued(odd, x509.Certificate{}), odd.cert.Raw},
			reason: "unverified", cause: `the intermediate "CN=issuing authority" has the critical extension ` +
				`1.3.6.1.4.1.99999.1`,
		},
		// golang/go#15196.
		"a name constraint for directory names": {
			certs:  [][]byte{issued(constrained, x509.Certificate{}), constrained.cert.Raw},
			reason: "unverified", advice: "if nobody depends on what it forbids", not: "not critical",
			cause: `the intermediate "CN=issuing authority" has a name constraint of a kind that Go cannot check (directoryName)`,
		},
		"a signature with SHA-1": {
			certs:  [][]byte{signedWithSHA1(t, issued(ca, x509.Certificate{}))},
			reason: "unverified", not: "is not signed with that one's key",
			cause: "the client's certificate is signed with SHA-1, which Go does not take: issue it with SHA-256",
		},
		"a key on P-224": {
			certs: [][]byte{onP224}, reason: "unverified", advice: "no client can use the certificate in TLS",
			cause: "on the curve P-224",
		},
		"a key for RSA-PSS": {
			certs: [][]byte{derOf(t, pss)}, reason: "unverified", advice: "no client can use the certificate in TLS",
			cause: "RSA-PSS alone",
		},
		// CVE-2023-29409: crypto/tls ends the handshake, also for one that is only sent along.
		"a large RSA key": {
			certs: [][]byte{withRSA(8193)}, reason: "unverified", advice: "no client can use the certificate in TLS",
			cause: "has 8193 bits",
		},
		"a large RSA key of an intermediate": {
			certs: [][]byte{issued(ca, x509.Certificate{}), withRSA(8193)}, reason: "unverified", advice: "no client can use",
			cause: `the intermediate "CN=alice" has 8193 bits`,
		},
		"a small RSA key": {
			certs: [][]byte{withRSA(1023)}, reason: "unverified", advice: "no client can use the certificate in TLS",
			cause: "has 1023 bits",
		},
		"an RSA key of the largest size": {certs: [][]byte{withRSA(8192)}},
		"nothing is the matter":          {certs: [][]byte{issued(ca, x509.Certificate{})}},
	}
	certFile, keyFile := others.server("in.example.org")
	for name, tt := range tests {
		for where, caddyfile := range map[string]string{
			"client_auth": "mode verify_if_given\ntrust_pool file " + ca.file() + "\n}\n}\nelasticsearch_jwt {\n",
			"own pool":    "mode request\n}\n}\nelasticsearch_jwt {\ntrust_pool file " + ca.file() + "\n",
		} {
			t.Run(name+", "+where, func(t *testing.T) {
				e := explainAll(t, "{\nadmin off\nstorage file_system "+t.TempDir()+
					"\nauto_https off\n}\nhttps://in.example.org {\ntls "+certFile+" "+keyFile+
					" {\nclient_auth {\n"+caddyfile+"issuer i\naudience a\n}\nreverse_proxy localhost:9200\n}\n", tt.certs...)[0]
				require.Equal(t, tt.reason, e.Reason)
				require.Contains(t, e.Cause, tt.cause)
				require.Contains(t, e.Advice, tt.advice)
				if tt.not != "" {
					require.NotContains(t, e.Advice+e.Cause, tt.not)
				}
				require.NotContains(t, e.Advice, "authority\"", "the advice is for the client too, and has no name in it")
			})
		}
	}
}

// derOf is the certificate of a PEM file.
func derOf(t *testing.T, file []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(file)
	require.NotNil(t, block)
	return block.Bytes
}

// TestAnExplanationAsksAboutTheSiteOfEachHandler, and about no other site of the server.
func TestAnExplanationAsksAboutTheSiteOfEachHandler(t *testing.T) {
	a, b := newAuthority(t, "authority of a"), newAuthority(t, "authority of b")
	certFile, keyFile := a.server("a.example.org", "b.example.org", "c.example.org")
	siteOf := func(name, clientAuth, content string) string {
		return "https://" + name + ".example.org {\ntls " + certFile + " " + keyFile + " {\n" + clientAuth + "}\n" + content +
			"}\n"
	}
	jwt := func(issuer string) string {
		return "elasticsearch_jwt {\nissuer " + issuer + "\naudience a\n}\nreverse_proxy localhost:9200\n"
	}
	trusting := func(a *authority) string {
		return "client_auth {\nmode verify_if_given\ntrust_pool file " + a.file() + "\n}\n"
	}
	caddyfile := "{\nadmin off\nstorage file_system " + t.TempDir() + "\nauto_https off\n}\n" +
		"&(shared) {\nroute {\n" + jwt("named") + "}\n}\n" +
		siteOf("a", trusting(a), "handle /x/* {\n"+jwt("a")+"}\n") +
		siteOf("b", trusting(b), "handle {\nroute {\n"+jwt("b")+"}\n}\nhandle /n/* {\ninvoke shared\n}\n") +
		siteOf("c", "", "handle {\n"+strings.Replace(jwt("c"), "audience a", "audience a\ntrust_pool file "+a.file(), 1)+
			"}\n")
	byIssuer := map[string]explained{}
	for _, e := range explainAll(t, caddyfile, a.client("alice").Certificate[0]) {
		byIssuer[e.Issuer] = e
	}
	require.Len(t, byIssuer, 4)
	require.Equal(t, "alice", byIssuer["a"].Principal)
	require.Equal(t, "checked against the client_auth of a.example.org", byIssuer["a"].Trust)
	require.Equal(t, "unverified", byIssuer["b"].Reason)
	require.Equal(t, "checked against the client_auth of b.example.org, which ends the handshake", byIssuer["b"].Trust)
	require.Equal(t, "checked against the client_auth of b.example.org, which ends the handshake", byIssuer["named"].Trust)
	require.Equal(t, "no_certificate", byIssuer["c"].Reason, "its own pool would take it, but the site asks for none")
}

// TestEveryCertificateOfAFileIsExplained, or it is an error: one that was passed over would be missed, and the wrong
// one blamed.
func TestEveryCertificateOfAFileIsExplained(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	leaf := ca.client("alice", "analysts").Certificate[0]
	text := pemOf(leaf)
	config := writeFile(t, "Caddyfile", []byte(siteFor(t, ca.file())))
	trusted := append(bytes.Clone(leaf), 0x30, 0x00) // what OpenSSL adds: whom it trusts the certificate for
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"as openssl x509 -trustout writes it": {
			pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: trusted}), `"alice"`,
		}, // rustls/rustls#2079
		"glued together": {append(bytes.TrimSpace(text), text...), "begin on a line of its own"}, // pomerium/pomerium#5645
		"with a byte order mark in the middle": {
			slices.Concat(text, []byte("\ufeff"), text), "begin on a line of its own",
		}, // openssl/openssl#6281
		"a key": {
			pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), "there is no certificate in it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := command(t, "explain", writeFile(t, "client.pem", c.file), "--json", "--config", config)
			if err != nil {
				out = err.Error()
			}
			require.Contains(t, out, c.says)
		})
	}
}

// TestAnEmptyTrustPoolIsNamed: a file with a byte order mark has no authority for Caddy.
func TestAnEmptyTrustPoolIsNamed(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	file := writeFile(t, "ca.pem", append([]byte("\ufeff"), pemOf(ca.cert.Raw)...))
	explanations := explainAll(t, siteFor(t, file), ca.client("alice", "analysts").Certificate[0])
	require.Len(t, explanations, 1)
	require.Contains(t, explanations[0].Cause, "no authority in it: is its file PEM, without a byte order mark?")
}

// siteFor is the minimal site with a file of authorities, for commands that serve nothing.
func siteFor(t *testing.T, clients string) string {
	t.Helper()
	return strings.NewReplacer(
		"{{site}}", "es.example.com", "{{upstream}}", "127.0.0.1:1", "{{tls}}", "internal", "{{settings}}", "",
		"{{clients}}", clients, "{{storage}}", t.TempDir(),
	).Replace(minimal)
}
