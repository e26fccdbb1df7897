package esjwt_test

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
)

var (
	oidCN = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidO  = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidOU = asn1.ObjectIdentifier{2, 5, 4, 11}
)

// TestOnlyACertificateThatCanBeBelievedIsAnIdentity: one for servers is for no client (Envoy
// CVE-2022-21657), and a name is what a field has, not what it looks like in a rendered name (RFC 4514;
// Elasticsearch's PKI realm CVE-2025-37731, GHSA-m9gh-789g-q5pv).
func TestOnlyACertificateThatCanBeBelievedIsAnIdentity(t *testing.T) {
	s := newSceneOf(t, ownPool, "{{settings}}", "")
	others := newAuthority(t, "another authority")
	many := make([][]pkix.AttributeTypeAndValue, 0, 2001)
	for i := range 2000 {
		many = append(many, rdn(oidO, utf8String, fmt.Sprintf("group-%d", i)))
	}
	many = append(many, rdn(oidCN, utf8String, "alice"))

	tests := []struct {
		name   string
		cert   *tls.Certificate
		status int
		want   string // the reason of a refusal, or who the upstream sees
	}{
		{"no certificate", nil, 401, "no_certificate"},
		{"from another authority", new(others.client("alice")), 401, "unverified"},
		{"expired", new(s.clients.issue(x509.Certificate{
			Subject: pkix.Name{CommonName: "alice"}, NotBefore: time.Now().Add(-2 * time.Hour),
			NotAfter: time.Now().Add(-time.Hour),
		})), 401, "expired"},
		{"not valid yet", new(s.clients.issue(x509.Certificate{
			Subject: pkix.Name{CommonName: "alice"}, NotBefore: time.Now().Add(time.Hour),
		})), 401, "expired"},
		{"for servers only", new(s.clients.issue(x509.Certificate{
			Subject: pkix.Name{CommonName: "alice"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})), 401, "unverified"},
		{"for an unknown use only", new(s.clients.issue(x509.Certificate{
			Subject: pkix.Name{CommonName: "alice"}, ExtKeyUsage: []x509.ExtKeyUsage{},
			UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 2, 3}},
		})), 401, "unverified"},
		{"for any use", new(s.clients.issue(x509.Certificate{
			Subject: pkix.Name{CommonName: "alice"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})), 200, "alice []"},
		{"without a stated use", new(s.clients.issue(x509.Certificate{
			Subject: pkix.Name{CommonName: "alice"}, ExtKeyUsage: []x509.ExtKeyUsage{},
		})), 200, "alice []"},
		{"without a CN", new(s.clients.issue(x509.Certificate{
			Subject: pkix.Name{Organization: []string{"admins"}},
		})), 403, "no_principal"},
		{"with an empty CN", new(s.clients.issue(x509.Certificate{
			RawSubject: subject(t, rdn(oidCN, utf8String, "")),
		})), 403, "invalid_name"},
		{"with two CNs", new(s.clients.issue(x509.Certificate{
			RawSubject: subject(t, rdn(oidCN, utf8String, "alice"), rdn(oidCN, utf8String, "admin")),
		})), 403, "no_principal"},
		{"with a NUL in its CN", new(s.clients.issue(x509.Certificate{
			RawSubject: subject(t, rdn(oidCN, utf8String, "admin\x00.evil")),
		})), 403, "invalid_name"},
		{"with a newline in its CN", new(s.clients.issue(x509.Certificate{
			RawSubject: subject(t, rdn(oidCN, utf8String, "admin\nalice")),
		})), 403, "invalid_name"},
		{"with a comma and another attribute in its CN", new(s.clients.issue(x509.Certificate{
			RawSubject: subject(t, rdn(oidCN, utf8String, "eve, OU=admin")),
		})), 200, "eve, OU=admin []"},
		{"with an O that the PKI realm's pattern takes for a CN", new(s.clients.issue(x509.Certificate{
			RawSubject: subject(t, rdn(oidCN, utf8String, "eve"), rdn(oidOU, utf8String, "x,CN=admin")),
		})), 200, "eve []"},
		{"with a CN and an OU in one RDN", new(s.clients.issue(x509.Certificate{
			RawSubject: subject(t, append(rdn(oidCN, utf8String, "bob"), rdn(oidOU, utf8String, "eng")...)),
		})), 200, "bob []"},
		{"with a comma in a group", new(s.clients.client("alice", "Acme, Inc.")), 200, "alice [Acme, Inc.]"},
		{"with a group that a DN rule could match", new(s.clients.client("alice", "a,ou=y")), 403, "invalid_group"},
		{
			"with a group that a DN rule could match, with a semicolon", new(s.clients.client("alice", "cn=a;ou=y")), 403,
			"invalid_group",
		},
		{
			"with a group that is another spelling of a DN", new(s.clients.client("alice", `cn=\61dmins`)), 403, "invalid_group",
		},
		{"with an empty group", new(s.clients.issue(x509.Certificate{
			RawSubject: subject(t, rdn(oidO, utf8String, ""), rdn(oidCN, utf8String, "alice")),
		})), 403, "invalid_group"},
		{"with the same group twice", new(s.clients.issue(x509.Certificate{
			RawSubject: subject(t, rdn(oidO, utf8String, "a"), rdn(oidO, utf8String, "a"), rdn(oidCN, utf8String, "alice")),
		})), 200, "alice [a]"},
		{"with letters of other scripts", new(s.clients.client("аdmin", "Ελλάδα")), 200, "аdmin [Ελλάδα]"},
		{"with 2,000 groups", new(s.clients.issue(x509.Certificate{RawSubject: subject(t, many...)})), 431, "too_large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var certs []tls.Certificate
			if tt.cert != nil {
				certs = append(certs, *tt.cert)
			}
			a := s.get(s.httpClient(certs...), "/")
			require.Equal(t, tt.status, a.StatusCode, a.body)
			if tt.status != http.StatusOK {
				require.Equal(t, tt.want, a.body)
				s.upstream.requireNone(t)
				return
			}
			require.Equal(t, tt.want, s.token(s.upstream.last(t)).who())
		})
	}
}

// TestABadCertificateEndsTheHandshakeWhereTheTLSLayerVerifies is what the same clients meet
// under a verifying client_auth mode: no HTTP answer at all.
func TestABadCertificateEndsTheHandshakeWhereTheTLSLayerVerifies(t *testing.T) {
	s := newScene(t, "")
	others := newAuthority(t, "another authority")
	for name, cert := range map[string]tls.Certificate{
		"from another authority": others.client("alice"),
		"expired": s.clients.issue(x509.Certificate{
			Subject: pkix.Name{CommonName: "alice"}, NotBefore: time.Now().Add(-2 * time.Hour),
			NotAfter: time.Now().Add(-time.Hour),
		}),
		"for servers only": s.clients.issue(x509.Certificate{
			Subject: pkix.Name{CommonName: "alice"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.try(s.httpClient(cert), "/")
			require.Error(t, err) // an alert, or a connection that was closed while the client wrote
			s.upstream.requireNone(t)
		})
	}
}

// TestACertificateThatNobodyVerifiedIsRefused: `mode request` and `mode require` take any
// certificate, and without a trust_pool of its own the handler has nothing to go by.
func TestACertificateThatNobodyVerifiedIsRefused(t *testing.T) {
	for _, mode := range []string{"request", "require"} {
		t.Run(mode, func(t *testing.T) {
			s := newSceneOf(t, strings.Replace(ownPool, "mode request", "mode "+mode, 1), "trust_pool file {{clients}}", "",
				"{{settings}}", "")
			a := s.get(s.httpClient(s.clients.client("alice")), "/")
			require.Equal(t, http.StatusUnauthorized, a.StatusCode)
			require.Equal(t, "unverified", a.body)
			require.Contains(t, s.logs.String(), "give elasticsearch_jwt a trust_pool", "the log says what to write")
			s.upstream.requireNone(t)
		})
	}
}

// TestACertificateThatExpiresOnALiveConnectionIsRefused (APISIX#9525, istio#7630).
func TestACertificateThatExpiresOnALiveConnectionIsRefused(t *testing.T) {
	for name, caddyfile := range map[string]string{"verified by TLS": minimal, "verified by the handler": ownPool} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, caddyfile, "{{settings}}", "")
			end := time.Now().Add(2 * time.Second).Truncate(time.Second).Add(time.Second)
			client := s.httpClient(s.clients.issue(x509.Certificate{Subject: pkix.Name{CommonName: "alice"}, NotAfter: end}))
			a := s.get(client, "/")
			require.Equal(t, http.StatusOK, a.StatusCode, a.body)
			token := s.token(s.upstream.last(t))
			require.Equal(t, end.Unix(), int64(token.claims["exp"].(float64)), "a token never outlives the certificate")

			time.Sleep(time.Until(end) + 10*time.Millisecond)
			a = s.get(client, "/")
			require.Equal(t, http.StatusUnauthorized, a.StatusCode)
			s.upstream.requireNone(t)
		})
	}
}

// TestTheHostMustBeTheServerNameOfTheHandshake (caddy#2099, envoy#6767): another site of the
// same server may trust other authorities.
func TestTheHostMustBeTheServerNameOfTheHandshake(t *testing.T) {
	const twoSites = `{
		admin off
		storage file_system {{storage}}
		auto_https disable_redirects
		servers {
			strict_sni_host insecure_off
		}
	}
	https://es.example.com:{{port}} {
		tls {{tls}} {
			client_auth {
				mode verify_if_given
				trust_pool file {{clients}}
			}
		}
		elasticsearch_jwt {
			issuer   https://es.example.com
			audience https://elasticsearch.example.com:9200
			{{settings}}
		}
		reverse_proxy {{upstream}}
	}
	https://other.example.com:{{port}} {
		tls {{tls}} {
			client_auth {
				mode verify_if_given
				trust_pool file {{others}}
			}
		}
		respond "the other site"
	}`
	others := newAuthority(t, "another authority")
	request := func(s *scene, cert tls.Certificate, serverName, host string) int {
		client := s.httpClient(cert)
		client.Transport.(*http.Transport).TLSClientConfig.ServerName = serverName
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+site+"/", nil)
		require.NoError(t, err)
		req.Host = host
		a, err := s.do(client, req)
		require.NoError(t, err)
		return a.StatusCode
	}

	s := newSceneOf(t, twoSites, "{{others}}", others.file(), "{{settings}}", "")
	require.Equal(t, 421, request(s, others.client("admin"), "other.example.com", site),
		"verified by the other site's authorities")
	s.upstream.requireNone(t)
	for _, host := range []string{site, "ES.example.com", site + ":8443"} {
		require.Equal(t, 200, request(s, s.clients.client("alice"), site, host), host)
		s.upstream.last(t)
	}

	s.load(twoSites, s.replacements("{{others}}", others.file(), "{{settings}}", "trust_pool file "+s.clients.file())...)
	require.Equal(t, 401, request(s, others.client("admin"), "other.example.com", site),
		"the handler's own authorities decide")
	s.upstream.requireNone(t)
	require.Equal(t, 200, request(s, s.clients.client("alice"), site, site))
}

// TestNoSpellingOfTheServerNameBorrowsAnotherSitesAuthorities: Caddy picks the TLS settings by the
// server name and the route by the Host, and neither folds names as the other does.
func TestNoSpellingOfTheServerNameBorrowsAnotherSitesAuthorities(t *testing.T) {
	const twoSites = `{
		admin off
		storage file_system {{storage}}
		auto_https disable_redirects
		fallback_sni es.example.com
		{{strict}}
	}
	https://es.example.com:{{port}} {
		tls {{tls}} {
			client_auth {
				mode verify_if_given
				trust_pool file {{clients}}
			}
		}
		elasticsearch_jwt {
			issuer   https://es.example.com
			audience https://elasticsearch.example.com:9200
		}
		reverse_proxy {{upstream}}
	}
	https://{{other}} {
		tls {{tls}} {
			client_auth {
				mode verify_if_given
				trust_pool file {{others}}
			}
		}
		elasticsearch_jwt {
			issuer   https://es.example.com
			audience https://elasticsearch.example.com:9200
			principal other-{cert.cn}
		}
		reverse_proxy {{upstream}}
	}`
	others := newAuthority(t, "another authority")
	admin := others.client("admin", "superuser")
	for _, strict := range []string{"", "servers {\nstrict_sni_host insecure_off\n}"} {
		for _, other := range []string{"*.example.com:{{port}}", ":{{port}}"} {
			t.Run(strict+other, func(t *testing.T) {
				s := newSceneOf(t, strings.NewReplacer("{{strict}}", strict, "{{other}}", other).Replace(twoSites), "{{others}}",
					others.file())
				for _, sni := range []string{
					"e\u017f.example.com", "ES.example.com", "[es.example.com", "es.example.com]",
					"es.example.com.", "x.example.com",
				} {
					for _, host := range []string{
						"es.example.com", "[es.example.com", "es.example.com]", "es.example.com.",
						"es.example.com.:443", "x.example.com.", "E\u017f.example.com",
					} {
						conn, err := tls.Dial("tcp", s.address, &tls.Config{
							InsecureSkipVerify: true, ServerName: sni, NextProtos: []string{"http/1.1"},
							GetClientCertificate: present([]tls.Certificate{admin}),
						})
						if err != nil {
							continue
						}
						_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
						_, _ = io.ReadAll(conn)
						_ = conn.Close()
						s.upstream.mu.Lock()
						for _, r := range s.upstream.requests {
							claims := unverifiedClaims(r.Header.Get("Authorization"))
							require.Equal(t, "other-admin", claims["sub"], "as whom the other site knows him; SNI %q, Host %q", sni, host)
						}
						s.upstream.requests = nil
						s.upstream.mu.Unlock()
					}
				}
			})
		}
	}
}

// TestAResumedSessionProvesNothing (Go CVE-2025-68121, nginx CVE-2025-23419, httpd
// CVE-2025-23048, APISIX#9525): the connection's state alone decides, so it is made by hand.
func TestAResumedSessionProvesNothing(t *testing.T) {
	clients := newAuthority(t, "clients authority")
	leaf := clients.client("alice").Leaf
	h := newHandler(t, benchConfig, `{"source":"storage","algorithm":"ES256"}`)
	tests := map[string]func(*tls.ConnectionState){
		"resumed":                    func(c *tls.ConnectionState) { c.DidResume = true },
		"before the handshake's end": func(c *tls.ConnectionState) { c.HandshakeComplete = false },
		"without a chain":            func(c *tls.ConnectionState) { c.VerifiedChains = nil },
		"with the chain of another": func(c *tls.ConnectionState) {
			c.PeerCertificates = []*x509.Certificate{clients.client("eve").Leaf}
		},
		"with an empty chain":                func(c *tls.ConnectionState) { c.VerifiedChains = [][]*x509.Certificate{{}} },
		"with no server name":                func(c *tls.ConnectionState) { c.ServerName = "" },
		"with no certificate, but one chain": func(c *tls.ConnectionState) { c.PeerCertificates = nil },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			r := referenceRequest(leaf, clients.cert)
			require.NoError(t, h.ServeHTTP(httptest.NewRecorder(), r, nothing), "before the change")
			change(r.TLS)
			err := h.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
				t.Error("the next handler was called")
				return nil
			}))
			var refusal *esjwt.Refusal
			require.ErrorAs(t, err, &refusal)
		})
	}
}

// TestNamesComeFromWhereTheConfigurationSays.
func TestNamesComeFromWhereTheConfigurationSays(t *testing.T) {
	clients := newAuthority(t, "clients authority")
	spiffe, _ := url.Parse("spiffe://example.org/ns/data/sa/ingest")
	leaf := clients.issue(x509.Certificate{
		Subject: pkix.Name{
			CommonName: "carol", Organization: []string{"analysts"}, OrganizationalUnit: []string{"east", "west"},
			Country: []string{"DE"}, Locality: []string{"Berlin"}, Province: []string{"BE"},
		},
		DNSNames:       []string{"carol.example.org"},
		EmailAddresses: []string{"carol@example.org"},
		URIs:           []*url.URL{spiffe},
	}).Leaf
	tests := []struct{ principal, groups, want string }{
		{"{cert.cn}", "{cert.ou}", "carol [east west]"},
		{"{cert.san.email}", "{cert.c}", "carol@example.org [DE]"},
		{"{cert.san.dns}", "{cert.l}-{cert.st}", "carol.example.org [Berlin-BE]"},
		{"{cert.spiffe_id}", "{cert.uid}", "spiffe://example.org/ns/data/sa/ingest []"},
		{"{cert.san.uri}", "staff", "spiffe://example.org/ns/data/sa/ingest [staff]"},
		{"{cert.cn}@{cert.issuer.cn}", "{cert.o}", "carol@clients authority [analysts]"},
		{
			"{cert.dn}", "{cert.dn_rfc2253}",
			"CN=carol, OU=east + OU=west, O=analysts, L=Berlin, ST=BE, C=DE " +
				"[CN=carol,OU=east+OU=west,O=analysts,L=Berlin,ST=BE,C=DE]",
		},
		{
			"{cert.dn_opensearch}", "{cert.issuer.dn_opensearch}",
			"CN=carol,OU=east+OU=west,O=analysts,L=Berlin,ST=BE,C=DE [CN=clients authority]",
		},
		{`\{{cert.cn}\}`, "{cert.o}", "{carol} [analysts]"},
		{"{cert.san.ip}", "{cert.o}", "refused: no_principal"},
		{"{cert.ou}", "{cert.o}", "refused: no_principal"},
		{"x-{cert.ou}", "{cert.o}", "refused: no_principal"},
		{"{cert.cn}", "x-{cert.ou}", "refused: invalid_group"},
	}
	for _, tt := range tests {
		t.Run(tt.principal+" "+tt.groups, func(t *testing.T) {
			h := newHandler(t, fmt.Sprintf(`{"issuer":"i","audience":["a"],"principal":%q,"groups":[%q]}`, tt.principal,
				tt.groups), `{"source":"storage","algorithm":"ES256"}`)
			require.Equal(t, tt.want, identityOf(h, referenceRequest(leaf, clients.cert)))
		})
	}
}

// TestOneKindOfAlternativeNameIsNeverAnother (Envoy CVE-2022-21656): an authority that checks only DNS
// names may issue one that reads like something else.
func TestOneKindOfAlternativeNameIsNeverAnother(t *testing.T) {
	clients := newAuthority(t, "clients authority")
	mail, err := url.Parse("mailto:admin@example.org")
	require.NoError(t, err)
	const spiffe = "spiffe://example.org/admin"
	for name, c := range map[string]struct {
		template  x509.Certificate
		principal string // where somebody else would be found
	}{
		"an address in a DNS name":      {x509.Certificate{DNSNames: []string{"admin@example.org"}}, "{cert.san.email}"},
		"a URI in a DNS name":           {x509.Certificate{DNSNames: []string{spiffe}}, "{cert.san.uri}"},
		"a SPIFFE ID in a DNS name":     {x509.Certificate{DNSNames: []string{spiffe}}, "{cert.spiffe_id}"},
		"a SPIFFE ID in an e-mail":      {x509.Certificate{EmailAddresses: []string{spiffe}}, "{cert.spiffe_id}"},
		"an IP address in a DNS name":   {x509.Certificate{DNSNames: []string{"192.0.2.1"}}, "{cert.san.ip}"},
		"a DNS name that is an address": {x509.Certificate{IPAddresses: []net.IP{{192, 0, 2, 1}}}, "{cert.san.dns}"},
		"an e-mail in a URI":            {x509.Certificate{URIs: []*url.URL{mail}}, "{cert.san.email}"},
		"a user principal name in an e-mail": {
			x509.Certificate{EmailAddresses: []string{"admin@example.org"}}, "{cert.san.upn}",
		},
		"a common name in a DNS name": {x509.Certificate{DNSNames: []string{"admin"}}, "{cert.cn}"},
		"a DNS name in a common name": {
			x509.Certificate{Subject: pkix.Name{CommonName: "admin.example.org"}}, "{cert.san.dns}",
		},
		"an e-mail in the subject":       {x509.Certificate{EmailAddresses: []string{"admin@example.org"}}, "{cert.email}"},
		"the authority's in the subject": {x509.Certificate{Subject: pkix.Name{CommonName: "alice"}}, "{cert.issuer.o}"},
	} {
		t.Run(name, func(t *testing.T) {
			h := configured(t, `,"principal":"`+c.principal+`"`)
			require.Equal(t, "refused: no_principal", identityOf(h,
				referenceRequest(clients.issue(c.template).Leaf, clients.cert)))
		})
	}
}

// TestASPIFFEIDIsThatOfAWorkload (spiffe/go-spiffe#25, spiffe/spiffe#380): the certificate of an authority,
// and an ID that can be read as another one, are nobody's. internal/spiffe has the whole grammar.
func TestASPIFFEIDIsThatOfAWorkload(t *testing.T) {
	clients := newAuthority(t, "clients authority")
	h := configured(t, `,"principal":"{cert.spiffe_id}"`)
	optional := configured(t, `,"principal":"{cert.cn}","claims":{"workload":"{cert.spiffe_id}"}`)
	for name, tt := range map[string]struct {
		uri      string
		template x509.Certificate
		want     string // of the principal
		beside   string // of the same beside another principal
	}{
		"a workload's":         {"spiffe://td/a", x509.Certificate{}, "spiffe://td/a []", "x []"},
		"no SPIFFE ID":         {"https://td/a", x509.Certificate{}, "refused: no_principal", "x []"},
		"an authority's":       {"spiffe://td/a", x509.Certificate{IsCA: true, BasicConstraintsValid: true}, "", ""},
		"one that signs lists": {"spiffe://td/a", x509.Certificate{KeyUsage: x509.KeyUsageCRLSign}, "", ""},
		"a trust domain's":     {"spiffe://td", x509.Certificate{}, "", ""},
		"another segment":      {"spiffe://td/a/../admin", x509.Certificate{}, "", ""},
		"an encoded letter":    {"spiffe://td/%61dmin", x509.Certificate{}, "", ""},
		"a user":               {"spiffe://user@td/a", x509.Certificate{}, "", ""},
		"a scheme in capitals": {"SPIFFE://td/a", x509.Certificate{}, "", ""},
		"a query":              {"spiffe://td/a?b", x509.Certificate{}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			want, beside := cmp.Or(tt.want, "refused: invalid_name"), cmp.Or(tt.beside, "refused: invalid_name")
			uri, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(tt.uri)}})
			require.NoError(t, err)
			tt.template.Subject.CommonName = "x"
			tt.template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: uri}}
			leaf := clients.issue(tt.template).Leaf
			require.Equal(t, want, identityOf(h, referenceRequest(leaf, clients.cert)))
			require.Equal(t, beside, identityOf(optional, referenceRequest(leaf, clients.cert)))
		})
	}
}

// TestACertificateWithoutASubjectHasNoDistinguishedName: its names are the alternative ones, and
// a claim for the other is left out like any that the certificate has no value for.
func TestACertificateWithoutASubjectHasNoDistinguishedName(t *testing.T) {
	clients := newAuthority(t, "clients authority")
	leaf := clients.issue(x509.Certificate{EmailAddresses: []string{"carol@example.org"}}).Leaf
	for _, dn := range []string{"{cert.dn}", "{cert.dn_rfc2253}", "{cert.dn_opensearch}"} {
		h := newHandler(t, fmt.Sprintf(`{"issuer":"i","audience":["a"],"principal":"{cert.san.email}","groups":[%q],`+
			`"claims":{"dn":%[1]q}}`, dn), `{"source":"storage","algorithm":"ES256"}`)
		require.Equal(t, "carol@example.org []", identityOf(h, referenceRequest(leaf, clients.cert)))

		h = newHandler(t, fmt.Sprintf(`{"issuer":"i","audience":["a"],"principal":%q}`, dn),
			`{"source":"storage","algorithm":"ES256"}`)
		require.Equal(t, "refused: no_principal", identityOf(h, referenceRequest(leaf, clients.cert)))
	}
}

// TestAChainThatIsTooLongIsRefusedUnseen: to verify a chain can cost far more than to send it.
func TestAChainThatIsTooLongIsRefusedUnseen(t *testing.T) {
	s := newSceneOf(t, ownPool, "{{settings}}", "")
	cert := s.clients.client("alice")
	for range 10 {
		cert.Certificate = append(cert.Certificate, newAuthority(t, "X").cert.Raw)
	}
	a := s.get(s.httpClient(cert), "/")
	require.Equal(t, http.StatusUnauthorized, a.StatusCode)
	require.Equal(t, "unverified", a.body)
	s.upstream.requireNone(t)

	cert.Certificate = cert.Certificate[:10]
	require.Equal(t, http.StatusOK, s.get(s.httpClient(cert), "/").StatusCode)
}
