package esjwt_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// withPool is the site ownPool with another trust_pool.
func withPool(pool string) string {
	return strings.Replace(ownPool, "trust_pool file {{clients}}", "trust_pool "+pool, 1)
}

// TestEverySourceOfAuthoritiesIsATrustPool: all of tls.ca_pool.source.* that standard Caddy has.
func TestEverySourceOfAuthoritiesIsATrustPool(t *testing.T) {
	clients, others := newAuthority(t, "clients authority"), newAuthority(t, "another authority")
	issuing := clients.intermediate("issuing authority")
	ca, err := os.ReadFile(clients.file())
	require.NoError(t, err)
	storage := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(storage, "clients.pem"), ca, 0o600))
	serve := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(ca) })
	plain, secure := httptest.NewServer(serve), httptest.NewTLSServer(serve)
	defer plain.Close()
	defer secure.Close()
	serverCA := clients.write("server-ca.pem", pemOf(secure.Certificate().Raw))

	pki := "skip_install_trust\npki {\nca clients {\nroot {\ncert " + clients.file() + "\nkey " + clients.keyFile() +
		"\n}\nintermediate {\ncert " + issuing.file() + "\nkey " + issuing.keyFile() + "\n}\n}\n}"
	const unverified = "unverified"
	tests := []struct {
		source, pool, global string
		byRoot, byIssuing,
		bySentRoot string // who clients are: of the root; of the one below it, alone and with its certificate
	}{
		{
			"inline", "inline {\ntrust_der " + base64.StdEncoding.EncodeToString(clients.cert.Raw) + "\n}", "", "root []",
			unverified, "below []",
		},
		{"file", "file " + clients.file(), "", "root []", unverified, "below []"},
		{"file of an intermediate", "file " + issuing.file(), "", unverified, "below []", "below []"},
		{"pki_root", "pki_root clients", pki, "root []", unverified, "below []"},
		{"pki_intermediate", "pki_intermediate clients", pki, unverified, "below []", "below []"},
		{"storage", "storage clients.pem", "", "root []", unverified, "below []"},
		{
			"storage of its own", "storage {\nstorage file_system " + storage + "\nkeys clients.pem\n}", "", "root []",
			unverified, "below []",
		},
		{"http", "http " + plain.URL, "", "root []", unverified, "below []"},
		{
			"https", "http {\nendpoints " + secure.URL + "\ntls {\nca file " + serverCA + "\n}\n}", "", "root []", unverified,
			"below []",
		},
		{
			"combined", "combined {\nsource file " + issuing.file() + "\nsource inline {\ntrust_der " +
				base64.StdEncoding.EncodeToString(clients.cert.Raw) + "\n}\n}", "", "root []", "below []", "below []",
		},
	}
	for _, tt := range tests {
		t.Run(tt.source, func(t *testing.T) {
			s := newSceneOf(t, strings.Replace(withPool(tt.pool), "admin off", "admin off\n"+tt.global, 1), "{{settings}}", "",
				"{{storage}}", storage)
			require.Equal(t, tt.byRoot, s.sends(clients.client("root")))
			require.Equal(t, tt.byIssuing, s.sends(issuing.client("below")))
			require.Equal(t, tt.bySentRoot, s.sends(along(issuing.client("below"), issuing.cert)))
			require.Equal(t, unverified, s.sends(others.client("eve")))
			require.Equal(t, unverified, s.sends(along(others.client("eve"), clients.cert)),
				"an authority beside it does not make it theirs")
		})
	}
}

// withAuthorityOfTheSystem runs a test in a process of its own, in which the system trusts an authority:
// crypto/x509 reads the system's once.
func withAuthorityOfTheSystem(t *testing.T, test func(system *authority)) {
	t.Helper()
	const own = "ESJWT_TEST_SYSTEM_POOL"
	if os.Getenv(own) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), own+"=1")
		output, err := cmd.CombinedOutput()
		require.NoError(t, err, string(output))
		require.Contains(t, string(output), "--- PASS: "+t.Name())
		return
	}
	system := newAuthority(t, "an authority of the system")
	t.Setenv("SSL_CERT_FILE", system.file())
	test(system)
}

func TestTheSystemsAuthoritiesAreATrustPool(t *testing.T) {
	withAuthorityOfTheSystem(t, func(system *authority) {
		s := newSceneOf(t, withPool("system"), "{{settings}}", "")
		require.Equal(t, "alice []", s.sends(system.client("alice")))
		require.Equal(t, "unverified", s.sends(s.clients.client("alice")))
	})
}

// TestAPoolWithNobodyInItIsNotTheSystems (Caddy CVE-2026-27586): for crypto/x509, no pool means all public
// authorities.
func TestAPoolWithNobodyInItIsNotTheSystems(t *testing.T) {
	withAuthorityOfTheSystem(t, func(system *authority) {
		alice := referenceRequest(system.client("alice").Leaf, system.cert)
		_, err := alice.TLS.PeerCertificates[0].Verify(
			x509.VerifyOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		require.NoError(t, err, "the system trusts her authority")
		changing.Store(system.pool())
		h := configured(t, `,"trust_pool":{"provider":"test_changing"}`)
		require.Equal(t, "alice []", identityOf(h, alice))
		for _, pool := range []*x509.CertPool{nil, x509.NewCertPool()} {
			changing.Store(pool)
			require.Equal(t, "refused: unverified", identityOf(h, alice))
		}
	})
}

// TestAFileOfAuthoritiesThatIsMissingIsAnError (Caddy CVE-2026-27586), and never a pool with somebody else
// in it.
func TestAFileOfAuthoritiesThatIsMissingIsAnError(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.pem")
	s := newSceneOf(t, minimal, "{{settings}}", "")
	for name, caddyfile := range map[string]string{
		"of the handler":      withPool("file " + none),
		"of the TLS layer":    strings.Replace(minimal, "file {{clients}}", "file "+none, 1),
		"for the nodes":       strings.Replace(withTransport(""), "{{node-ca}}", none, 1),
		"one of several":      withPool("file {{clients}} " + none),
		"as part of another":  withPool("combined {\nsource file {{clients}}\nsource file " + none + "\n}"),
		"in Caddy's storage":  withPool("storage none.pem"),
		"of an authority URL": withPool("http http://127.0.0.1:1/none.pem"),
	} {
		t.Run(name, func(t *testing.T) {
			config := adapt(t, strings.NewReplacer(s.replacements("{{settings}}", "",
				"{{site}}", "https://"+site+":0", "{{tls}}", "internal", "{{storage}}", t.TempDir())...).Replace(caddyfile))
			require.Error(t, validate(t, config, t.TempDir()))
		})
	}
}

// changingPool is a source of authorities that are others from one moment to the next, as a module
// of somebody else's may be.
type changingPool struct{}

var changing atomic.Pointer[x509.CertPool]

func init() { caddy.RegisterModule(changingPool{}) }

func (changingPool) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.ca_pool.source.test_changing", New: func() caddy.Module { return new(changingPool) }}
}

func (changingPool) CertPool() *x509.CertPool { return changing.Load() }

// TestATrustPoolThatChangesCountsFromTheNextRequest, on connections that live.
func TestATrustPoolThatChangesCountsFromTheNextRequest(t *testing.T) {
	first, second := newAuthority(t, "first authority"), newAuthority(t, "second authority")
	alice, bob := referenceRequest(first.client("alice").Leaf, first.cert),
		referenceRequest(second.client("bob").Leaf, second.cert)
	changing.Store(first.pool())
	h := configured(t, `,"trust_pool":{"provider":"test_changing"}`)
	ask := func(wantAlice, wantBob string) {
		t.Helper()
		for range 2 { // the first time and once it is known
			require.Equal(t, wantAlice, identityOf(h, alice))
			require.Equal(t, wantBob, identityOf(h, bob))
		}
	}
	ask("alice []", "refused: unverified")
	changing.Store(second.pool())
	ask("refused: unverified", "bob []")
	both := first.pool()
	both.AddCert(second.cert)
	changing.Store(both)
	ask("alice []", "bob []")
	changing.Store(x509.NewCertPool())
	ask("refused: unverified", "refused: unverified")
	changing.Store(nil)
	ask("refused: unverified", "refused: unverified")
	changing.Store(first.pool())
	ask("alice []", "refused: unverified")
}

// TestATrustPoolThatChangesIsNoWayAroundADenyList: the chain that leads to the new authorities is
// looked at as the old one was.
func TestATrustPoolThatChangesIsNoWayAroundADenyList(t *testing.T) {
	good, bad := newAuthority(t, "good root"), newAuthority(t, "bad root")
	issuing := good.intermediate("issuing authority")
	alice := issuing.client("alice").Leaf
	r := referenceRequest(alice, good.cert)
	r.TLS.PeerCertificates = []*x509.Certificate{alice, issuing.cert, bad.certify(issuing, time.Now().Add(time.Hour))}
	denied := good.write("denied.txt", []byte("subject CN=bad root\n"))
	changing.Store(good.pool())
	h := configured(t, `,"trust_pool":{"provider":"test_changing"},"deny":["`+denied+`"]`)
	require.Equal(t, "alice []", identityOf(h, r))
	changing.Store(bad.pool())
	require.Equal(t, "refused: revoked", identityOf(h, r))
	both := good.pool()
	both.AddCert(bad.cert)
	changing.Store(both)
	require.Equal(t, "alice []", identityOf(h, r))
}

// TestATrustPoolChangesWithTheConfiguration.
func TestATrustPoolChangesWithTheConfiguration(t *testing.T) {
	second := newAuthority(t, "second authority")
	s := newSceneOf(t, ownPool, "{{settings}}", "")
	alice, bob := s.httpClient(s.clients.client("alice")), s.httpClient(second.client("bob"))
	require.Equal(t, "alice []", s.seen(alice, "/"))
	require.Equal(t, "unverified", s.seen(bob, "/"))
	s.load(withPool("file "+second.file()), s.replacements("{{settings}}", "")...)
	alice.CloseIdleConnections() // the old configuration may end a connection after one more request
	bob.CloseIdleConnections()
	require.Equal(t, "unverified", s.seen(alice, "/"))
	require.Equal(t, "bob []", s.seen(bob, "/"))
}

// TestIntermediates, whoever verifies: the TLS layer or the handler.
func TestIntermediates(t *testing.T) {
	for name, caddyfile := range map[string]string{"verified by TLS": minimal, "verified by the handler": ownPool} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, caddyfile, "{{settings}}", "")
			refused := "unverified"
			if caddyfile == minimal {
				refused = "no handshake"
			}
			upper := s.clients.intermediate("upper authority")
			lower := upper.intermediate("lower authority")
			stranger := newAuthority(t, "another authority").intermediate("upper authority") // the same name, another key
			leafAsCA := s.clients.client("mallory")
			mallory := &authority{t: t, cert: leafAsCA.Leaf, key: leafAsCA.PrivateKey.(*ecdsa.PrivateKey), dir: t.TempDir()}
			alice := lower.client("alice")
			tests := []struct {
				name string
				cert tls.Certificate
				want string
			}{
				{"not sent", alice, refused},
				{"one of two sent", along(alice, lower.cert), refused},
				{"both sent", along(alice, lower.cert, upper.cert), "alice []"},
				{"in another order", along(alice, upper.cert, lower.cert), "alice []"},
				{"with the root", along(alice, lower.cert, upper.cert, s.clients.cert), "alice []"},
				{"one of the same name in its place", along(alice, lower.cert, stranger.cert), refused},
				{"both, among others", along(alice, stranger.cert, lower.cert, newAuthority(t, "X").cert, upper.cert), "alice []"},
				{"a client's certificate in the place of one", along(mallory.client("admin"), leafAsCA.Leaf), refused},
			}
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, s.sends(tt.cert)) })
			}
		})
	}
}

// TestIntermediatesThatAreSentOnTheNextConnectionCount, though the certificate was refused without
// them, and the connection on which it was is still there.
func TestIntermediatesThatAreSentOnTheNextConnectionCount(t *testing.T) {
	s := newSceneOf(t, ownPool, "{{settings}}", "")
	issuing := s.clients.intermediate("issuing authority")
	alice := issuing.client("alice")
	without, with := s.httpClient(alice), s.httpClient(along(alice, issuing.cert))
	require.Equal(t, "unverified", s.seen(without, "/"))
	require.Equal(t, "alice []", s.seen(with, "/"))
	require.Equal(t, "unverified", s.seen(without, "/"), "each connection stands for itself")
}

// TestACrossSignedChain: one path to an authority is enough, and it must be good as a whole.
func TestACrossSignedChain(t *testing.T) {
	old, recent := newAuthority(t, "old root"), newAuthority(t, "new root")
	issuing := old.intermediate("issuing authority")
	alice := issuing.client("alice")
	past, day := time.Now().Add(-time.Minute), time.Now().Add(24*time.Hour)
	viaOld, viaOldExpired := issuing.cert, old.certify(issuing, past)
	viaNew, viaNewExpired := recent.certify(issuing, day), recent.certify(issuing, past)
	for _, tls := range []bool{true, false} {
		for _, tt := range []struct {
			name    string
			trusted []*authority
			sent    []*x509.Certificate
			good    bool
		}{
			{"both good", []*authority{old, recent}, []*x509.Certificate{viaOld, viaNew}, true},
			{"one expired, the other good", []*authority{old, recent}, []*x509.Certificate{viaOldExpired, viaNew}, true},
			{"one good, the other expired", []*authority{old, recent}, []*x509.Certificate{viaOld, viaNewExpired}, true},
			{"both expired", []*authority{old, recent}, []*x509.Certificate{viaOldExpired, viaNewExpired}, false},
			{
				"one expired, the other good and not trusted", []*authority{old}, []*x509.Certificate{viaOldExpired, viaNew}, false,
			},
			{
				"one good and not trusted, the other expired",
				[]*authority{recent},
				[]*x509.Certificate{viaOld, viaNewExpired},
				false,
			},
			{"one good, the other not trusted", []*authority{recent}, []*x509.Certificate{viaOld, viaNew}, true},
			{"the root itself cross-signed", []*authority{old}, []*x509.Certificate{viaNew, old.certify(recent, day)}, true},
			{
				"the root itself cross-signed, and expired",
				[]*authority{old},
				[]*x509.Certificate{viaNew, old.certify(recent, past)},
				false,
			},
		} {
			t.Run(fmt.Sprintf("%s, TLS verifies: %v", tt.name, tls), func(t *testing.T) {
				pool := "file"
				for _, a := range tt.trusted {
					pool += " " + a.file()
				}
				caddyfile := withPool(pool)
				if tls {
					caddyfile = strings.Replace(minimal, "file {{clients}}", pool, 1)
				}
				s := newSceneOf(t, caddyfile, "{{settings}}", "")
				got := s.sends(along(alice, tt.sent...))
				switch {
				case tt.good:
					require.Equal(t, "alice []", got)
				case tls:
					require.Equal(t, "no handshake", got)
				default:
					require.Contains(t, []string{"unverified", "expired"}, got)
				}
			})
		}
	}
}

// TestAPathThatExpiresLeavesTheOther, on a connection that lives on; a token ends with the path that
// speaks for it.
func TestAPathThatExpiresLeavesTheOther(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		old, recent := newAuthority(t, "old root"), newAuthority(t, "new root")
		issuing := old.intermediate("issuing authority")
		alice := issuing.client("alice").Leaf
		short, long := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		r := referenceRequest(alice, old.cert)
		r.TLS.PeerCertificates = []*x509.Certificate{alice, old.certify(issuing, short), recent.certify(issuing, long)}
		h := configured(t, `,"trust_pool":{"provider":"file","pem_files":["`+old.file()+`","`+recent.file()+`"]}`)
		require.Equal(t, "alice []", identityOf(h, r))
		time.Sleep(time.Until(short))
		require.Equal(t, "alice []", identityOf(h, r))
		time.Sleep(time.Until(long) - time.Minute)
		end := unverifiedClaims(tokenOf(t, h, r))["exp"].(float64)
		require.LessOrEqual(t, int64(end), long.Unix())
		time.Sleep(time.Until(long))
		require.Equal(t, "refused: expired", identityOf(h, r))
	})
}

// TestHandlersNeverLendEachOtherAnIdentity: two sites and two parts of a site, each with its own
// authorities, and connections that go to several of them in turn.
func TestHandlersNeverLendEachOtherAnIdentity(t *testing.T) {
	const caddyfile = `{
		admin off
		storage file_system {{storage}}
		auto_https disable_redirects
		servers {
			strict_sni_host insecure_off
		}
	}
	(part) {
		elasticsearch_jwt {
			issuer     https://es.example.com
			audience   https://elasticsearch.example.com:9200
			trust_pool file {args[0]}
			groups     {args[1]}
		}
		reverse_proxy {{upstream}}
	}
	https://es.example.com:{{port}} {
		tls {{tls}} {
			client_auth {
				mode request
			}
		}
		handle /a/* {
			import part {{clients}} at-a
		}
		handle /b/* {
			import part {{others}} at-b
		}
		handle_errors {
			respond "{http.elasticsearch_jwt.reason}"
		}
	}
	https://other.example.com:{{port}} {
		tls {{tls}} {
			client_auth {
				mode verify_if_given
				trust_pool file {{clients}} {{others}}
			}
		}
		import part {{others}} at-other
		handle_errors {
			respond "{http.elasticsearch_jwt.reason}"
		}
	}`
	others := newAuthority(t, "another authority")
	s := newSceneOf(t, caddyfile, "{{others}}", others.file())
	ask := func(client *http.Client, host, path string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+site+path, nil)
		require.NoError(t, err)
		req.Host = host
		a, err := s.do(client, req)
		require.NoError(t, err)
		if a.StatusCode != http.StatusOK {
			s.upstream.requireNone(t)
			return a.body
		}
		claims := unverifiedClaims(s.upstream.last(t).Header.Get("Authorization"))
		return fmt.Sprintf("%v %v", claims["sub"], claims["roles"])
	}
	const other = "other.example.com"
	for _, serverName := range []string{site, other} {
		for _, c := range []struct {
			cert              tls.Certificate
			atA, atB, atOther string
		}{
			{s.clients.client("alice"), "alice [at-a]", "unverified", "unverified"},
			{others.client("bob"), "unverified", "bob [at-b]", "bob [at-other]"},
		} {
			client := s.httpClient(c.cert)
			client.Transport.(*http.Transport).TLSClientConfig.ServerName = serverName
			for range 3 {
				require.Equal(t, c.atA, ask(client, site, "/a/"), serverName)
				require.Equal(t, c.atB, ask(client, site, "/b/"), serverName)
				require.Equal(t, c.atOther, ask(client, other, "/"), serverName)
			}
		}
	}
}

// TestTheHandlersOwnAuthoritiesDecideEvenIfTLSKnowsOthers.
func TestTheHandlersOwnAuthoritiesDecideEvenIfTLSKnowsOthers(t *testing.T) {
	others := newAuthority(t, "another authority")
	own := strings.Replace(minimal, "{{settings}}", "trust_pool file {{clients}}", 1)
	s := newSceneOf(t, strings.Replace(own, "trust_pool file {{clients}}", "trust_pool file {{clients}} "+
		others.file(), 1))
	require.Equal(t, "alice []", s.sends(s.clients.client("alice")))
	a := s.get(s.httpClient(others.client("eve")), "/")
	require.Equal(t, http.StatusUnauthorized, a.StatusCode)
	s.upstream.requireNone(t)
}
